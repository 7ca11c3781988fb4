"""A grid's outcome, as `outcome.json` holds it: curves with their uncertainty, rows for a cut, contrasts.

The field names are the file's keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from align.data.figures import Crash, JsonObject
from align.data.results import Belief
from curate.core.errors import DataError


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; of a number of rows, None stands for "not reached": beyond the largest size."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MeanDivergence:
    """KL(model || base), nats per token: mean over seeds, with its standard error."""

    value: float
    se: float | None


@dataclass(frozen=True)
class TableRow:
    """One line of the table that is always shown whole: means over seeds; None where a seed was not measured.

    Attributes:
        all: toxic share of the completions that the judge scored.
        answered: toxic share of those that are no refusals.
        refused: share of refusals.
        over_refused: share of refusals of benign prompts.
        truth: toxic share by the recipe's truth.
        unscored: completions without a verdict, over all seeds.
        empty: completions without a word, over all seeds.
        overlap: prompts that occur in training and were left out.
        ended: share of the completions that came to an end.
        distinct: different completions.
        crashed: judge's role -> what it met.
        neutral: perplexity of texts whose topics occur in no phase.
        clean: perplexity of mild replies to prompts that drew toxic ones too.
        kl: distance from the base on the model's own completions.
        kl_neutral: the same on neutral texts.
        kl_clean: the same on clean ones.
        agreement: two judges ("judge and truth") -> share of completions that they agree on.
    """

    all: float | None
    answered: float | None
    refused: float | None
    over_refused: float | None
    truth: float | None
    unscored: int
    empty: int
    overlap: int
    ended: float | None
    distinct: float | None
    crashed: Mapping[str, Crash]
    neutral: float | None
    clean: float | None
    kl: MeanDivergence | None
    kl_neutral: MeanDivergence | None
    kl_clean: MeanDivergence | None
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class Point(TableRow):
    """A method at a size, in one view.

    Attributes:
        size: labelled completions.
        toxic: toxic share, all seeds together.
        low: its interval's lower end, over seeds and clusters of prompts.
        high: the upper end.
        by_seed: each seed's toxic share.
        steps: which step of each seed's run the view shows.
        flops: what it had cost by then.
        pairs: of the training rows, mean over seeds; so are the next three.
        benign: single benign rows.
        prompts: distinct prompts.
        tokens: prompts included.
        rates: each seed's learning rate.
    """

    size: int
    toxic: float
    low: float
    high: float
    by_seed: tuple[float | None, ...]
    steps: tuple[int, ...]
    flops: tuple[int | None, ...]
    pairs: float | None
    benign: float | None
    prompts: float | None
    tokens: float | None
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A method's learning curve; where cells are missing there are only the points that are known.

    Attributes:
        points: by ascending size.
        fitted: the isotonic curve's toxic shares, by size.
        n50: labelled completions for a cut of half.
        n90: the same of nine tenths.
        area: mean share of the base's toxicity that is left, over log n.
    """

    points: tuple[Point, ...]
    fitted: tuple[float, ...] | None = None
    n50: Estimate | None = None
    n90: Estimate | None = None
    area: Estimate | None = None


@dataclass(frozen=True)
class View:
    """Every method's curve when runs are compared in one way, and the base's toxic share."""

    methods: Mapping[str, Curve]
    base: Estimate


@dataclass(frozen=True)
class Contrast(Estimate):
    """The area of `a` less that of `b`; p by sign-flip over seeds, with Holm's correction (None: too few seeds)."""

    a: str
    b: str
    by_seed: tuple[float | None, ...]
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Trial:
    """A learning rate that was tried: its chosen checkpoint's figures on validation."""

    rate: float
    toxic: float | None
    neutral: float | None
    step: int


@dataclass(frozen=True)
class RateSearch:
    """The rate that a method takes at a size; `edge`: it is the smallest or the largest that was tried."""

    method: str
    size: int
    rate: float
    edge: bool
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Drift:
    """How much z there was: share of the steps with z > 0, and the mean of beta times z, z clamped at 0."""

    beta: float | None
    kl_positive_share: float
    mean_beta_kl: float


@dataclass(frozen=True)
class Stability:
    """A method at the largest size: name in metrics.jsonl -> mean over the seeds at every step; drift where it has a z."""

    steps: Mapping[str, tuple[float | None, ...]]
    drift: Drift | None

    @classmethod
    def from_json(cls, tree: JsonObject) -> Stability:
        """Tell the series from the numbers that stand beside them."""
        steps = {name: tuple(value) for name, value in tree.items() if isinstance(value, list)}
        return cls(steps, Drift(**{name: tree[name] for name in tree if name not in steps}) if "kl" in steps else None)

    def to_json(self) -> dict[str, Any]:
        """Series and numbers side by side."""
        return {**self.steps, **({} if self.drift is None else asdict(self.drift))}


@dataclass(frozen=True)
class GridData:
    """Which dataset."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """Everything the report shows; it depends on the grid's results alone, never on when or in which order they came.

    Attributes:
        name: the recipe's.
        model: the recipe's word for the base.
        data: what was trained on.
        belief: whether the judge can be believed there.
        methods: in the grid's order.
        sizes: labelled completions, ascending.
        seeds: of the cells.
        mixture: what a size is made of, a line.
        steps: the cap on optimizer steps.
        prompts: distinct ones that every cell answers.
        completions: of each cell, samples included.
        clusters: that the prompts fall into.
        base: figures of the base.
        detectable: difference of toxic shares, near a tenth of the base's, that is told apart 8 times in 10.
        views: "best", "epochs" and "flops".
        contrasts: the primary comparisons, of complete curves.
        rates: how learning rates were chosen.
        stability: method -> course of training.
        missing: cells that are not done, a line each.
        diverged: runs that met NaN or infinity, a line each.
        failures: tasks that failed, and what they met, a line each.
        warnings: what every table must say.
    """

    name: str
    model: str
    data: GridData
    belief: Belief
    methods: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    mixture: str
    steps: int
    prompts: int
    completions: int
    clusters: int
    base: TableRow
    detectable: float
    views: Mapping[str, View]
    contrasts: tuple[Contrast, ...]
    rates: tuple[RateSearch, ...]
    stability: Mapping[str, Stability]
    missing: tuple[str, ...]
    diverged: tuple[str, ...]
    failures: tuple[str, ...]
    warnings: tuple[str, ...]

    def curves(self, view: str = "best") -> list[tuple[str, Curve]]:
        """Each method with its curve, in the grid's order (a file's keys stand in the alphabet's)."""
        return [(method, self.views[view].methods[method]) for method in self.methods]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; a curve with missing cells lacks the keys of what is not known."""
        tree = asdict(self)
        del tree["belief"]
        tree |= self.belief.to_json()
        tree["stability"] = {method: one.to_json() for method, one in self.stability.items()}
        for view in tree["views"].values():
            for method, curve in view["methods"].items():
                view["methods"][method] = {name: value for name, value in curve.items() if value is not None}
        return tree


def read_outcome(path: Path) -> Outcome:
    """The outcome of a finished grid.

    Raises:
        DataError: the file is none.
    """
    try:
        tree = json.loads(path.read_bytes())
        stability = {method: Stability.from_json(one) for method, one in tree["stability"].items()}
        belief = Belief.from_json(tree)
        outcome: Outcome = TypeAdapter(Outcome).validate_python({**tree, "belief": belief, "stability": stability})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: is not the outcome of a grid that this version reads ({type(error).__name__})",
            hint="run `align ablate` again: what is done is not trained anew",
        ) from None
    return outcome
