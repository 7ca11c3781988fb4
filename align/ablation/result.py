"""What a finished task leaves in the ledger: a run's checkpoints with their figures, and what the run was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from align.data.figures import JsonObject

SplitFigures = JsonObject
"""Figures of one checkpoint on one split, by suite: what `align.evaluation.measure.measure` returns."""

BEST = "best"
"""The view that shows each run at its best checkpoint on validation."""


@dataclass(frozen=True)
class RunStep:
    """One step of a run.

    Attributes:
        flops: operations until then, those of the run that it started from included; None for the base.
        validation: figures on the validation split; None where it was not measured there.
        test: figures on the test split; None where no view shows it.
    """

    flops: int | None = None
    validation: SplitFigures | None = None
    test: SplitFigures | None = None


@dataclass(frozen=True)
class TaskResult:
    """A finished training run, or the measurement of the base, which has step 0 alone.

    Attributes:
        checkpoints: step -> its figures; 0 is where the run started.
        views: view -> the step that it shows; empty for the base.
        prompts: distinct ones that were trained on.
        completions: labelled ones, trained on or not (SFT takes the chosen half).
        pairs: how many of them are in pairs, two to a pair.
        benign: how many of them are benign rows.
        tokens: of all rows, prompts included.
        steps: name in metrics.jsonl -> its value at every step; None where a step has none.
        beta: the objective's; None where it has none.
        diverged: why training ended early; None where it did not.
    """

    checkpoints: Mapping[int, RunStep]
    views: Mapping[str, int] = field(default_factory=dict)
    prompts: int = 0
    completions: int = 0
    pairs: int = 0
    benign: int = 0
    tokens: int = 0
    steps: Mapping[str, list[float | None]] = field(default_factory=dict)
    beta: float | None = None
    diverged: str | None = None

    @property
    def best(self) -> RunStep:
        """What a run that starts from this one starts from."""
        return self.checkpoints[self.views.get(BEST, 0)]

    def to_json(self) -> dict[str, object]:
        """As JSON values; what a checkpoint was not asked for is absent, and so is, for the base, what training has."""
        checkpoints = {
            str(step): {name: value for name, value in vars(one).items() if value is not None}
            for step, one in self.checkpoints.items()
        }
        return (asdict(self) if self.views else {}) | {"checkpoints": checkpoints}

    @classmethod
    def from_json(cls, tree: JsonObject) -> TaskResult:
        """Read what `to_json` wrote."""
        checkpoints = {int(step): RunStep(**one) for step, one in tree["checkpoints"].items()}
        return cls(**{**tree, "checkpoints": checkpoints})


Results = Mapping[str, TaskResult]
"""Key -> result, of finished tasks."""
