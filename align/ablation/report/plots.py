"""The grid's pictures, drawn by matplotlib without a display: the same outcome, the same bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from align.ablation.grid import AFTER_SFT
from align.ablation.report.outcome import Outcome, Point, Stability
from align.ablation.report.words import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot
    from matplotlib.figure import Figure

INK, QUIET, LINE = "#1c2430", "#5d6878", "#dde2e8"  # the report's own, see curate.pages.html
PALETTE = {"sft": "#7a9a3a", "dpo": "#2f6f8f", "kto": "#d9822b", "kto_s": "#9a5b8f"}
OTHERS = ("#b0483c", "#3d8f7a", "#6b7280", "#a38a2e", "#4f5bd5", "#c2569b")
MARKS = {"sft": "D", "dpo": "s", "kto": "o", "kto_s": "^"}
STYLE: dict[str, object] = {
    "svg.hashsalt": "margins",
    "font.size": 9,
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.grid": True,
    "grid.color": LINE,
    "legend.frameon": False,
}
STRIP = {
    "kl_raw": "z before the clamp, nats",
    "beta_kl": "β·z",
    "grad_norm": "gradient norm",
    "rewards/margins": "reward margin (β·r)",
    "logps/chosen": "log-prob per token, chosen",
    "logps/rejected": "log-prob per token, rejected",
}
DODGE = 1.035  # factor between methods at one size: curves that coincide stay visible side by side
BEYOND = 1.9  # where an arrow for "not reached" stands, in largest sizes
WIDTH = 9.2  # inches


def render(draw: Callable[[Outcome], Figure], outcome: Outcome) -> tuple[str, bytes]:
    """A picture as SVG and as PNG, 160 dots an inch."""
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(STYLE):
        figure = draw(outcome)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return svg.getvalue().decode(), png.getvalue()


def plot_toxicity(outcome: Outcome) -> Figure:
    """Toxic share against data size, every seed a mark, a band for the mean over seeds."""
    from matplotlib.ticker import FuncFormatter

    arms = _arms(outcome)
    figure, plots = _figure(1, len(arms), 3.6)
    base = 100 * (outcome.views["best"].base.value or 0.0)
    for plot, (title, methods) in zip(plots, arms.items(), strict=True):
        for share, line, _ in _references(base):
            plot.axhline(share, color=QUIET, linewidth=1, linestyle=line)
        for method in methods:
            _plot_curve(plot, method, methods, outcome)
        _size_axis(plot, outcome.sizes, title)
        plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        plot.set_ylim(0, base * 1.15)
        for share, _, text in _references(base):
            at = (outcome.sizes[0], share)
            plot.annotate(text, at, textcoords="offset points", xytext=(-8, 3), color=QUIET, fontsize=8)
        plot.legend(loc="upper right", fontsize=8, bbox_to_anchor=(1.0, 0.93))
    plots[0].set_ylabel("toxic completions")
    return figure


def _references(base: float) -> tuple[tuple[float, str, str], ...]:
    """Horizontal lines to compare with: height, style, text."""
    return (base, "-", "base"), (base / 10, ":", "90 % cut")


def _plot_curve(plot: Plot, method: str, methods: Sequence[str], outcome: Outcome) -> None:
    colour, mark = _look(method, outcome)
    points = outcome.views["best"].methods[method].points
    dodge = float(DODGE ** (methods.index(method) - (len(methods) - 1) / 2))
    sizes = [point.size * dodge for point in points]
    low, high = [100 * point.low for point in points], [100 * point.high for point in points]
    plot.fill_between(sizes, low, high, color=colour, alpha=0.13, linewidth=0)
    plot.plot(sizes, [100 * point.toxic for point in points], color=colour, linewidth=1.6, label=label(method))
    for size, point in zip(sizes, points, strict=True):
        known = [100 * value for value in point.by_seed if value is not None]
        plot.plot([size] * len(known), known, mark, color=colour, markersize=3.6, markeredgewidth=0, alpha=0.85)


def plot_needed(outcome: Outcome) -> Figure:
    """Rows for a cut of half and of nine tenths, with intervals; an arrow where the largest size does not reach it."""
    curves = [(method, curve) for method, curve in outcome.curves() if curve.n90 is not None]
    names = [label(method) for method, _ in reversed(curves)]
    figure, plots = _figure(1, 2, 0.5 + 0.34 * max(3, len(curves)))
    smallest, largest = outcome.sizes[0], outcome.sizes[-1]
    beyond = largest * BEYOND
    for plot, (name, title) in zip(plots, (("n50", "50 % cut"), ("n90", "90 % cut")), strict=True):
        for at, (method, curve) in enumerate(curves):
            colour, mark = _look(method, outcome)
            need = curve.n50 if name == "n50" else curve.n90
            assert need is not None, "the two are known together"
            value, low, high = (beyond if end is None else end for end in (need.value, need.low, need.high))
            height = len(curves) - 1 - at
            plot.plot([low, high], [height, height], color=colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
            plot.plot([value], [height], ">" if value == beyond else mark, color=colour, markersize=6)
        plot.axvline(largest * 1.3, color=LINE, linewidth=1)
        _size_axis(plot, outcome.sizes, title, more=beyond)
        plot.set_xlim(smallest * 0.8, beyond * 1.15)
        plot.set_ylim(-0.6, len(curves) - 0.4)
        plot.set_yticks(range(len(curves)), names)
    plots[1].set_yticklabels([])
    return figure


def plot_trade_off(outcome: Outcome) -> Figure:
    """Toxicity against what was forgotten and against over-refusal; ringed: nothing is better in all three."""
    figure, plots = _figure(1, 2, 3.6)
    titles = {"neutral": "neutral perplexity, change from the base", "over_refused": "over-refused"}
    for plot, (cost, title) in zip(plots, titles.items(), strict=True):
        _plot_cost(plot, cost, outcome)
        plot.set_xlabel(f"{title}, %")
    plots[0].set_ylabel("toxic completions, %")
    for objective in dict.fromkeys(method.removeprefix(AFTER_SFT) for method in outcome.methods):
        colour, mark = _look(objective, outcome)
        plots[1].plot([], [], mark, color=colour, label=label(objective))
    plots[1].plot([], [], "o", color=QUIET, markerfacecolor="none", label="hollow: after SFT")
    plots[1].plot([], [], "x", color=INK, label="base")
    plots[1].legend(fontsize=8, loc="upper right")
    return figure


def _plot_cost(plot: Plot, cost: str, outcome: Outcome) -> None:
    """Every point's toxic share against one cost, and the base's."""
    base, front = outcome.base, trade_off_front(outcome)
    for method, curve in outcome.curves():
        colour, mark = _look(method, outcome)
        face = "none" if method.startswith(AFTER_SFT) else colour
        for point in curve.points:
            x = _cost(point, cost, outcome)
            if point.all is None or x is None:
                continue
            y, size = 100 * point.all, 3 + 1.4 * outcome.sizes.index(point.size)
            plot.plot([x], [y], mark, color=colour, markersize=size, markerfacecolor=face, alpha=0.9)
            if (method, point.size) in front:
                plot.plot([x], [y], "o", color=INK, markersize=size + 5, markerfacecolor="none", markeredgewidth=0.7)
    x = 0 if cost == "neutral" else 100 * (base.over_refused or 0)
    plot.plot([x], [100 * (base.all or 0.0)], "x", color=INK, markersize=7)


def _cost(point: Point, cost: str, outcome: Outcome) -> float | None:
    """In percent; None where it was not measured."""
    if cost == "over_refused":
        return None if point.over_refused is None else 100 * point.over_refused
    base = outcome.base.neutral
    return None if point.neutral is None or base is None else 100 * (point.neutral / base - 1)


def trade_off_front(outcome: Outcome) -> set[tuple[str, int]]:
    """(method, size) of the points that no other beats in toxicity, neutral perplexity and over-refusal at once."""
    points = [
        ((method, point.size), (point.all, point.neutral, point.over_refused or 0.0))
        for method, curve in outcome.curves()
        for point in curve.points
        if point.all is not None and point.neutral is not None
    ]
    return {
        name
        for name, mine in points
        if not any(all(b <= a for a, b in zip(mine, other, strict=True)) and other != mine for _, other in points)
    }


def plot_stability(outcome: Outcome) -> Figure:
    """Small multiples over the steps at the largest size; solid from the base, dashed after SFT."""
    figure, plots = _figure(2, 3, 4.6)
    for plot, (name, title) in zip(plots, STRIP.items(), strict=True):
        for method in outcome.methods:
            values = _series(outcome.stability.get(method), name)
            if any(value is not None for value in values):
                style = "--" if method.startswith(AFTER_SFT) else "-"
                colour, _ = _look(method, outcome)
                drawn = [math.nan if value is None else value for value in values]
                plot.plot(range(1, len(values) + 1), drawn, style, color=colour, linewidth=1.1, label=label(method))
        plot.set_title(title, loc="left", fontsize=9, color=INK)
    for plot in plots[3:]:
        plot.set_xlabel("optimizer step")
    handles = {text: handle for plot in plots for handle, text in zip(*plot.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=7, fontsize=8)
    return figure


def _series(course: Stability | None, name: str) -> list[float | None]:
    """A method's values by step; none where it has none."""
    if course is None:
        return []
    if name != "beta_kl":
        return list(course.steps.get(name, []))
    beta = (None if course.drift is None else course.drift.beta) or 1.0
    return [None if value is None else beta * value for value in course.steps.get("kl", [])]


def _figure(rows: int, columns: int, height: float) -> tuple[Figure, list[Plot]]:
    """A grid of plots, row by row; no pyplot, so no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _size_axis(plot: Plot, sizes: Sequence[int], title: str, more: float | None = None) -> None:
    """Title, and labelled completions in logarithms, one tick a size; `more`: where "more" stands."""
    from matplotlib.ticker import NullLocator

    plot.set_xscale("log")
    further = {} if more is None else {more: "more"}
    plot.set_xticks([*sizes, *further], [*(f"{size:,}" for size in sizes), *further.values()])
    plot.xaxis.set_minor_locator(NullLocator())
    plot.set_title(title, loc="left", fontsize=10, color=INK)
    plot.set_xlabel("labelled completions")


def _arms(outcome: Outcome) -> dict[str, list[str]]:
    """Panels: methods from the base, and those after SFT."""
    after = [method for method in outcome.methods if method.startswith(AFTER_SFT)]
    arms = {"from the base": [method for method in outcome.methods if method not in after]}
    return arms | ({"after SFT on the same completions": after} if after else {})


def _look(method: str, outcome: Outcome) -> tuple[str, str]:
    """Colour and marker of an objective, the same in every figure."""
    names = dict.fromkeys(one.removeprefix(AFTER_SFT) for one in outcome.methods)
    name, others = method.removeprefix(AFTER_SFT), [one for one in names if one not in PALETTE]
    colour = PALETTE.get(name) or OTHERS[others.index(name) % len(OTHERS)]
    return colour, MARKS.get(name, "v")
