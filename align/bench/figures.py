"""What a race showed: typed, as JSON and back, and as a table with a verdict on every goal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.bench.messages import Settings
from curate.pages.tables import table_lines

FORMAT = 1
PLACES = ("side", "folder", "model")
"""Settings that say where a side ran: not kept."""


@dataclass(frozen=True)
class SideFigures:
    """One side over the counted steps; seconds are of CPU or of the clock, as the scenario says.

    Attributes:
        seconds_per_step: mean.
        rows_per_second: of the optimizer batch.
        tokens_per_second: of prompts and completions; what is spent on z and the reference is not counted.
        mfu: needed floating-point operations over what the GPU could do in that time; None on a CPU.
        bytes_at_peak: most memory held while there were steps.
        set_up_cpu_seconds: before the first step: loading, tokenising, the reference.
        losses: of every step, the warm-up among them.
    """

    seconds_per_step: float
    rows_per_second: float
    tokens_per_second: float
    mfu: float | None
    bytes_at_peak: int
    set_up_cpu_seconds: float
    losses: list[float]


@dataclass(frozen=True)
class ScenarioFigures:
    """One scenario, all sides.

    Attributes:
        settings: what every side was given.
        tokens_per_step: mean over the counted steps.
        clock: what seconds are: "CPU seconds" or "seconds".
        sides: figures by side.
        times_faster: other side -> how many times as fast ours is.
        loss_differences: other side -> absolute difference from our loss, by step.
        goals: other side -> how many times faster ours is meant to be.
    """

    settings: Settings
    tokens_per_step: float
    clock: str
    sides: dict[str, SideFigures]
    times_faster: dict[str, float]
    loss_differences: dict[str, list[float]]
    goals: dict[str, float]

    def verdicts(self) -> list[tuple[str, bool]]:
        """What the scenario is meant to reach, in words, and whether it does."""
        verdicts = [
            (f">= {goal:g} x {side}: {self.times_faster[side]:.2f}", self.times_faster[side] >= goal)
            for side, goal in self.goals.items()
        ]
        if self.goals:
            ours, theirs = (self.sides[side].bytes_at_peak for side in ("ours", "trl tuned"))
            verdicts.append((f"peak memory <= trl tuned: {ours / theirs:.2f} of it", ours <= theirs))
        return verdicts


@dataclass(frozen=True)
class BenchFigures:
    """A whole `align bench`.

    Attributes:
        machine: its kind, in words.
        versions: package -> version.
        scenarios: figures by scenario.
    """

    machine: str
    versions: dict[str, str]
    scenarios: dict[str, ScenarioFigures]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, as `align bench --json` prints them."""
        values: dict[str, Any] = {"format": FORMAT} | dataclasses.asdict(self)
        for scenario in values["scenarios"].values():
            for place in PLACES:
                del scenario["settings"][place]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BenchFigures:
        """Back from `to_json`."""
        scenarios = {
            name: ScenarioFigures(
                **scenario
                | {
                    "settings": Settings(side="", folder="", model=None, **scenario["settings"]),
                    "sides": {side: SideFigures(**figures) for side, figures in scenario["sides"].items()},
                }
            )
            for name, scenario in values["scenarios"].items()
        }
        return cls(values["machine"], values["versions"], scenarios)


def table(figures: BenchFigures) -> str:
    """The figures as text: a table per scenario, and a verdict on every goal."""
    lines = [figures.machine + "; " + ", ".join(f"{name} {version}" for name, version in figures.versions.items())]
    for name, scenario in figures.scenarios.items():
        settings = scenario.settings
        what = f"{settings.vocabulary:,} tokens of vocabulary, batch {settings.batch}"
        what += ", shared prompts" if settings.paired else ""
        lines += ["", f"{name}: {what}, {scenario.tokens_per_step:.0f} tokens a step, {scenario.clock}"]
        header = ["", "s/step", "rows/s", "tokens/s", "MFU", "peak MB", "ours is", "losses within"]
        lines += table_lines(header, [_row(scenario, side) for side in scenario.sides])
        lines += [f"goal {text}: {'reached' if holds else 'MISSED'}" for text, holds in scenario.verdicts()]
    return "\n".join(lines)


def _row(scenario: ScenarioFigures, side: str) -> list[str]:
    figures, other = scenario.sides[side], side in scenario.times_faster
    return [
        side,
        f"{figures.seconds_per_step:.3f}",
        f"{figures.rows_per_second:.2f}",
        f"{figures.tokens_per_second:.0f}",
        "-" if figures.mfu is None else f"{figures.mfu:.1%}",
        f"{figures.bytes_at_peak / 1e6:,.0f}",
        f"{scenario.times_faster[side]:.2f} x" if other else "",
        f"{max(scenario.loss_differences[side]):.1e}" if other else "",
    ]
