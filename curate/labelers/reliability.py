"""How far each labeler's score is to be believed: numbers fitted beforehand, and the pooling of scores by them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.schema import digest
from curate.labelers.builtin.shipped import WEIGHTS
from curate.labelers.platt import Floats, Platt
from curate.labelers.scoring import log_odds

BUILTIN = WEIGHTS / "reliability.json"
DIGITS = 5


@dataclass(frozen=True)
class LabelerReliability(Platt):
    """What is known of one labeler: the calibration of its log-odds, and how much they count.

    Attributes:
        weight: how much its calibrated log-odds count beside the others'; positive.
    """

    weight: float = 1.0


@dataclass(frozen=True)
class SourceShift:
    """How the rows of one source differ from rows at large.

    Attributes:
        shift: added to the pooled log-odds: how common toxic rows are there.
        weights: by recipe word, how much more, or less, a labeler's calibrated log-odds count there.
    """

    shift: float
    weights: Mapping[str, float]


AT_LARGE = SourceShift(0.0, {})


@dataclass(frozen=True)
class Reliability:
    """Fitted numbers of some labelers.

    Attributes:
        labelers: by recipe word; their weights are those of all of them together.
        basis: "labels" (measured against labelled rows) or "agreement" (from how the labelers agree, no truth known).
        rows: rows it was fitted on.
        subsets: weights by recipe word where some of them speak and the others do not, by who speaks: what one adds depends on
            who else there is, and an expensive labeler speaks about few rows.
        sources: by name of a source, how its rows differ; only where somebody said that its labelled rows are a fair sample.
    """

    labelers: Mapping[str, LabelerReliability]
    basis: str
    rows: int
    subsets: Mapping[frozenset[str], Mapping[str, float]] = field(default_factory=dict)
    sources: Mapping[str, SourceShift] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Of all its numbers."""
        return digest(self.to_json())

    def knows(self, name: str) -> bool:
        """Whether a labeler was measured."""
        return name in self.labelers

    def pool(self, scores: Mapping[str, pl.Series], height: int, sources: pl.Series | None = None) -> pl.Series:
        """Probability of toxicity of each row by the scores it has, null without any; rounded, so that it is the same anywhere.

        Args:
            scores: of each labeler, null or NaN where it has none.
            height: rows.
            sources: the source of each row, for what is known of some; rows at large by default.
        """
        names, calibrated = list(scores), self.calibrated(scores, height)
        pooled = self.pooled(calibrated, names)
        for name, one in self.sources.items() if sources is not None else ():
            rows = pl.Series([name]).eq_missing(sources).to_numpy()
            pooled[rows] = self.pooled(calibrated[rows], names, one)
        with np.errstate(over="ignore"):
            probabilities = np.round(1.0 / (1.0 + np.exp(-pooled)), DIGITS)
        return pl.Series("pooled", probabilities, dtype=pl.Float64).fill_nan(None).cast(pl.Float32)

    def calibrated(self, scores: Mapping[str, pl.Series], height: int) -> Floats:
        """Calibrated log-odds of each labeler, shape (height, labelers), NaN where it has none."""
        odds = np.full((height, len(scores)), np.nan)
        for at, (name, column) in enumerate(scores.items()):
            one = self.labelers.get(name, LabelerReliability())
            values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            there = ~np.isnan(values)
            odds[there, at] = one.logits(log_odds(values[there]))
        return odds

    def pooled(self, calibrated: Floats, names: Sequence[str], own: SourceShift = AT_LARGE) -> Floats:
        """Log-odds of toxicity of a source's rows, by default of rows at large, shape (height,), NaN where nobody spoke.

        Where the weights of those who spoke add up to one or more, their calibrated log-odds are added up by weight, as they were
        fitted; where they do not, they are averaged by weight: a labeler that speaks alone is taken at its calibrated word. A
        source changes these weights, none to below zero.
        """
        odds = np.full(len(calibrated), np.nan)
        for rows, company, scale in self.companies(calibrated, names):
            total = np.zeros(int(rows.sum()))
            for at, weight in company.items():
                total += max(weight + own.weights.get(names[at], 0.0) * scale, 0.0) * calibrated[rows, at]
            odds[rows] = total / scale + own.shift
        return odds

    def companies(self, calibrated: Floats, names: Sequence[str]) -> Iterator[tuple[NDArray[np.bool_], dict[int, float], float]]:
        """Rows, shape (height,), of which the same labelers spoke; their weights by place in `names`; what divides the sum."""
        spoke = ~np.isnan(calibrated)
        for pattern in np.unique(spoke[spoke.any(axis=1)], axis=0):
            places = np.flatnonzero(pattern).tolist()
            weights = self.weights([names[at] for at in places])
            yield (spoke == pattern).all(axis=1), dict(zip(places, weights, strict=True)), min(sum(weights), 1.0)

    def weights(self, names: Sequence[str]) -> list[float]:
        """How much each counts where these speak and nobody else; one that was not measured counts like the least of all.

        Labelers never weighed in this company keep the weights that they have in the company of all.
        """
        if len(names) == 1:
            return [1.0]
        known = frozenset(name for name in names if name in self.labelers)
        fitted = self.subsets.get(known, {name: self.labelers[name].weight for name in known})
        least = min((one.weight for one in self.labelers.values()), default=1.0)
        return [fitted.get(name, least) for name in names]

    def to_json(self) -> str:
        """As a file holds it."""
        sources = {name: vars(one) for name, one in sorted(self.sources.items())}
        tree = {
            "basis": self.basis,
            "rows": self.rows,
            "labelers": {name: vars(one) for name, one in sorted(self.labelers.items())},
            "subsets": [dict(sorted(self.subsets[names].items())) for names in sorted(self.subsets, key=sorted)],
        } | ({"sources": sources} if sources else {})
        return json.dumps(tree, indent=1) + "\n"


@cache
def load_reliability(path: Path | None = None) -> Reliability:
    """Read fitted numbers; those that ship without a path.

    Raises:
        StorageError: not a file that `curate label weigh` made.
    """
    path = path or BUILTIN
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        labelers = {name: LabelerReliability(**_numbers(one)) for name, one in tree["labelers"].items()}
        subsets = {frozenset(one): _numbers(one) for one in tree.get("subsets", ())}
        if any(one.weight <= 0 for one in labelers.values()) or any(min(one.values()) <= 0 for one in subsets.values()):
            raise ValueError("a weight is not positive")
        sources = {
            name: SourceShift(float(one["shift"]), _numbers(one["weights"])) for name, one in tree.get("sources", {}).items()
        }
        return Reliability(labelers, str(tree["basis"]), int(tree["rows"]), subsets, sources)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(f"{path}: cannot read reliabilities", hint="make them with `curate label weigh`") from None


def _numbers(tree: Mapping[str, str | float]) -> dict[str, float]:
    return {name: float(value) for name, value in tree.items()}
