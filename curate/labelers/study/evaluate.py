"""What a labeler's scores are worth on labelled texts: overall, and by every column the user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.labelers.platt import Floats
from curate.labelers.study.measures import calibration_error, errors_cut, f1, interval, pr_auc, roc_auc

LEAST = 10  # texts from which on a line is worth printing


@dataclass(frozen=True)
class Figures:
    """All texts with a score; three numbers are a figure and the ends of its interval.

    Attributes:
        calibration_error: mean distance between score and share of toxic texts, in [0, 1].
        errors_cut_by_abstaining_on_20_percent: share of the errors among the least certain texts; NaN without an error.
    """

    texts: int
    toxic: int
    groups: int
    roc_auc: list[float]
    pr_auc: list[float]
    f1: list[float]
    calibration_error: float
    errors_cut_by_abstaining_on_20_percent: float


@dataclass(frozen=True)
class PartFigures:
    """The texts that have one value of a column: how many the threshold judges right, and ROC-AUC."""

    texts: int
    toxic: int
    right: list[float]
    roc_auc: float


@dataclass(frozen=True)
class LabelerEvaluation:
    """What scores are worth.

    Attributes:
        abstained: texts without a score.
        threshold: from where on a score means toxic.
        by: column -> value -> figures.
    """

    abstained: int
    threshold: float
    overall: Figures
    by: Mapping[str, Mapping[str, PartFigures]]

    def as_json(self) -> dict[str, Any]:
        """As `curate label evaluate --json` prints it."""
        tree = asdict(self)
        parts: dict[str, Any] = tree.pop("by")
        return tree | parts


def evaluate(rows: pl.DataFrame, scores: Floats, threshold: float, by: Sequence[str] = ()) -> LabelerEvaluation:
    """Figures of scores against labels.

    Args:
        rows: `toxic`, `group` (resampled as a whole), and the columns of `by`.
        scores: shape (n,), NaN where the labeler abstained.
        threshold: from where on a score means toxic.
        by: columns such as category, functionality, target group: one line per value.
    """
    scored = ~np.isnan(scores)
    abstained = int((~scored).sum())
    rows, scores = rows.filter(pl.Series(scored)), scores[scored]
    parts: dict[str, dict[str, PartFigures]] = {}
    for column in by:
        values = rows[column].cast(pl.String).fill_null("")
        masks = {value: (values == value).to_numpy() for value in sorted(values.unique())}
        parts[column] = {value: _part(rows, scores, mask, threshold) for value, mask in masks.items() if mask.sum() >= LEAST}
    return LabelerEvaluation(abstained, threshold, _figures(rows, scores, threshold), parts)


def _figures(rows: pl.DataFrame, scores: Floats, threshold: float) -> Figures:
    toxic, groups = rows["toxic"].to_numpy(), rows["group"].to_list()
    decided = scores >= threshold

    def with_interval(measure: Callable[[Floats], float]) -> list[float]:
        return [_round(measure(np.ones(len(toxic)))), *(_round(end) for end in interval(measure, groups))]

    return Figures(
        texts=len(toxic),
        toxic=int(toxic.sum()),
        groups=len(set(groups)),
        roc_auc=with_interval(lambda weight: roc_auc(scores, toxic, weight)),
        pr_auc=with_interval(lambda weight: pr_auc(scores, toxic, weight)),
        f1=with_interval(lambda weight: f1(decided, toxic, weight)),
        calibration_error=_round(calibration_error(scores, toxic)),
        errors_cut_by_abstaining_on_20_percent=_round(errors_cut(scores, toxic)),
    )


def _part(rows: pl.DataFrame, scores: Floats, mask: NDArray[np.bool_], threshold: float) -> PartFigures:
    """Some rows: their own ROC-AUC where both kinds are among them, else against the other kind of all rows."""
    every, groups = rows["toxic"].to_numpy(), rows.filter(pl.Series(mask))["group"].to_list()
    toxic, own = every[mask], scores[mask]
    right = (own >= threshold) == toxic

    def accuracy(weight: Floats) -> float:
        return float((weight * right).sum() / max(weight.sum(), 1e-12))

    if toxic.all() or not toxic.any():
        other = every != toxic[0]
        area = roc_auc(np.concatenate([own, scores[other]]), np.concatenate([toxic, every[other]]))
    else:
        area = roc_auc(own, toxic)
    ends = interval(accuracy, groups, 200)
    return PartFigures(len(toxic), int(toxic.sum()), [_round(float(right.mean())), *(_round(end) for end in ends)], _round(area))


def lines(page: LabelerEvaluation) -> list[str]:
    """An evaluation as plain lines."""
    overall = page.overall
    text = [
        f"{overall.texts:,} texts in {overall.groups:,} groups, {overall.toxic:,} toxic; {page.abstained} without a score",
        _line("roc_auc", overall.roc_auc),
        _line("pr_auc", overall.pr_auc),
        _line(f"f1 at {page.threshold:g}", overall.f1),
        f"calibration error: {overall.calibration_error:.3f}",
    ]
    cut = overall.errors_cut_by_abstaining_on_20_percent
    text.append("no errors" if np.isnan(cut) else f"abstaining on the least certain 20 % cuts the error rate by {cut:.0%}")
    for column, values in page.by.items():
        text.append(f"{column}: texts, toxic, share right [interval], roc_auc")
        for value, one in values.items():
            middle, low, high = one.right
            text.append(f"  {value or '-'}: {one.texts}, {one.toxic}, {middle:.2f} [{low:.2f}, {high:.2f}], {one.roc_auc:.3f}")
    return text


def _line(name: str, figure: Sequence[float]) -> str:
    middle, low, high = figure
    return f"{name}: {middle:.3f} [{low:.3f}, {high:.3f}]"


def _round(value: float) -> float:
    return round(float(value), 4)
