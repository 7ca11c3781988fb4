"""The grid's figures: each as SVG, PNG and CSV; without matplotlib, as CSV alone."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align.ablation.report.outcome import Outcome
from align.ablation.report.plots import plot_needed, plot_stability, plot_toxicity, plot_trade_off, render, trade_off_front
from curate.core.store import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, object]]

NO_PICTURES = "the pictures are left out, for matplotlib is not installed; hint: pip install 'margins[figures]'"


@dataclass(frozen=True)
class GridFigure:
    """A figure's three forms.

    Attributes:
        name: of its files.
        csv: its numbers.
        svg: a document; None without matplotlib.
        png: the same, 160 dots an inch.
    """

    name: str
    csv: str
    svg: str | None = None
    png: bytes | None = None


def draw_all(outcome: Outcome) -> list[GridFigure]:
    """Every figure of a grid."""
    figures: dict[str, tuple[Rows, Callable[[Outcome], Figure]]] = {
        "toxicity": (_toxicity(outcome), plot_toxicity),
        "rows_needed": (_needed(outcome), plot_needed),
        "trade_off": (_trade_off(outcome), plot_trade_off),
        "stability": (_stability(outcome), plot_stability),
    }
    pictures = importlib.util.find_spec("matplotlib") is not None
    return [GridFigure(name, _csv(rows), *(render(plot, outcome) if pictures else ())) for name, (rows, plot) in figures.items()]


def save(figures: Sequence[GridFigure], folder: Path) -> None:
    """Write each figure's files."""
    for figure in figures:
        write_text(folder / f"{figure.name}.csv", figure.csv)
        if figure.svg is not None and figure.png is not None:
            write_text(folder / f"{figure.name}.svg", figure.svg)
            write_bytes(folder / f"{figure.name}.png", figure.png)


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _toxicity(outcome: Outcome) -> Rows:
    return [
        {
            "view": view,
            "method": method,
            "completions": point.size,
            "prompts": point.prompts,
            "tokens": point.tokens,
            "toxic": point.toxic,
            "low": point.low,
            "high": point.high,
            **{f"seed {seed}": value for seed, value in zip(outcome.seeds, point.by_seed, strict=False)},
        }
        for view in outcome.views
        for method, curve in outcome.curves(view)
        for point in curve.points
    ]


def _needed(outcome: Outcome) -> Rows:
    return [
        {
            "view": view,
            "method": method,
            **{
                f"{name}{suffix}": getattr(estimate, part)
                for name, estimate in (("n50", curve.n50), ("n90", curve.n90), ("area", curve.area))
                if estimate is not None
                for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
            },
        }
        for view in outcome.views
        for method, curve in outcome.curves(view)
    ]


def _trade_off(outcome: Outcome) -> Rows:
    front = trade_off_front(outcome)
    return [
        {
            "method": method,
            "completions": point.size,
            "toxic": point.all,
            "neutral_perplexity": point.neutral,
            "clean_perplexity": point.clean,
            "refused": point.refused,
            "over_refused": point.over_refused,
            "on_front": (method, point.size) in front,
        }
        for method, curve in outcome.curves()
        for point in curve.points
    ]


def _stability(outcome: Outcome) -> Rows:
    courses = [(method, outcome.stability[method].steps) for method in outcome.methods if method in outcome.stability]
    return [
        {"method": method, "step": step + 1, **{name: values[step] for name, values in steps.items()}}
        for method, steps in courses
        for step in range(max(map(len, steps.values()), default=0))
    ]
