"""The grid's figures: each as SVG, PNG and CSV, drawn by matplotlib without a display, the same bytes every time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.ablation.grid import AFTER_SFT
from align.ablation.report.words import label
from curate.core.store import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot
    from matplotlib.figure import Figure

INK, QUIET, LINE = "#1c2430", "#5d6878", "#dde2e8"  # the report's own, see curate.html
PALETTE = {"sft": "#7a9a3a", "dpo": "#2f6f8f", "kto": "#d9822b", "kto_s": "#9a5b8f"}
OTHERS = ("#b0483c", "#3d8f7a", "#6b7280", "#a38a2e", "#4f5bd5", "#c2569b")
MARKS = {"sft": "D", "dpo": "s", "kto": "o", "kto_s": "^"}
STRIP = {
    "kl_raw": "z before the clamp, nats",
    "beta_kl": "β·z",
    "grad_norm": "gradient norm",
    "rewards/margins": "reward margin (β·r)",
    "logps/chosen": "log-prob per token, chosen",
    "logps/rejected": "log-prob per token, rejected",
}
DODGE = 1.035  # factor between methods at one size: curves that coincide stay visible side by side
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """A figure's three forms.

    Attributes:
        name: of its files.
        svg: a document.
        png: the same, 160 dots an inch.
        csv: its numbers.
    """

    name: str
    svg: str
    png: bytes
    csv: str


def draw_all(result: Mapping[str, Any]) -> list[Drawn]:
    """Every figure of a grid that has its numbers."""
    drawn = [
        _drawn("toxicity", _rows_toxicity(result), lambda: _toxicity(result)),
        _drawn("rows_needed", _rows_needed(result), lambda: _needed(result)),
        _drawn("trade_off", _rows_trade(result), lambda: _trade(result)),
        _drawn("stability", _rows_stability(result), lambda: _stability(result)),
    ]
    return drawn


def save(drawn: Sequence[Drawn], folder: Path) -> None:
    """Write each figure's files."""
    for one in drawn:
        write_text(folder / f"{one.name}.svg", one.svg)
        write_bytes(folder / f"{one.name}.png", one.png)
        write_text(folder / f"{one.name}.csv", one.csv)


def _drawn(name: str, rows: Rows, make: Callable[[], Figure]) -> Drawn:
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(
        {
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
    ):
        figure = make()
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Drawn(name, svg.getvalue().decode(), png.getvalue(), _csv(rows))


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _figure(columns: int, width: float, height: float) -> tuple[Figure, list[Plot]]:
    """A row of plots; no pyplot, so no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False, sharey=False)[0])


def _arms(result: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Panels: methods from the base, and those after SFT."""
    plain = [method for method in result["methods"] if not method.startswith(AFTER_SFT)]
    after = [method for method in result["methods"] if method.startswith(AFTER_SFT)]
    return [("from the base", plain), *([("after SFT on the same completions", after)] if after else [])]


def _look(method: str, result: Mapping[str, Any]) -> tuple[str, str]:
    """Colour and marker of an objective, the same in every figure."""
    name = method.removeprefix(AFTER_SFT)
    others = [one for one in dict.fromkeys(m.removeprefix(AFTER_SFT) for m in result["methods"]) if one not in PALETTE]
    colour = PALETTE.get(name) or OTHERS[others.index(name) % len(OTHERS)]
    return colour, MARKS.get(name, "v")


def _dodge(method: str, methods: Sequence[str]) -> float:
    return float(DODGE ** (methods.index(method) - (len(methods) - 1) / 2))


def _rows_toxicity(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "view": view,
            "method": method,
            "completions": point["size"],
            "prompts": point["prompts"],
            "tokens": point["tokens"],
            "toxic": point["toxic"],
            "low": point["low"],
            "high": point["high"],
            **{f"seed {seed}": value for seed, value in zip(result["seeds"], point["by_seed"], strict=False)},
        }
        for view, found in result["views"].items()
        for method, entry in found["methods"].items()
        for point in entry["points"]
    ]


def _toxicity(result: Mapping[str, Any]) -> Figure:
    """Toxic share against data size, every seed a mark, a band for the mean over seeds."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    arms = _arms(result)
    figure, plots = _figure(len(arms), 9.2, 3.6)
    found = result["views"]["best"]
    base = 100 * found["base"]["value"]
    for plot, (title, methods) in zip(plots, arms, strict=True):
        plot.axhline(base, color=QUIET, linewidth=1)
        plot.axhline(base / 10, color=QUIET, linewidth=1, linestyle=":")
        for method in methods:
            colour, mark = _look(method, result)
            points = found["methods"][method]["points"]
            sizes = [point["size"] * _dodge(method, methods) for point in points]
            plot.fill_between(
                sizes, [100 * p["low"] for p in points], [100 * p["high"] for p in points], color=colour, alpha=0.13, linewidth=0
            )
            plot.plot(sizes, [100 * p["toxic"] for p in points], color=colour, linewidth=1.6, label=label(method))
            for size, point in zip(sizes, points, strict=True):
                known = [100 * value for value in point["by_seed"] if value is not None]
                plot.plot([size] * len(known), known, mark, color=colour, markersize=3.6, markeredgewidth=0, alpha=0.85)
        plot.set_xscale("log")
        plot.set_xticks(result["sizes"], [f"{size:,}" for size in result["sizes"]])
        plot.xaxis.set_minor_locator(NullLocator())
        plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        plot.set_ylim(0, base * 1.15)
        plot.set_title(title, loc="left", fontsize=10, color=INK)
        plot.set_xlabel("labelled completions")
        plot.annotate("base", (result["sizes"][0], base), textcoords="offset points", xytext=(-8, 3), color=QUIET, fontsize=8)
        plot.annotate(
            "90 % cut", (result["sizes"][0], base / 10), textcoords="offset points", xytext=(-8, 3), color=QUIET, fontsize=8
        )
        plot.legend(loc="upper right", fontsize=8, bbox_to_anchor=(1.0, 0.93))
    plots[0].set_ylabel("toxic completions")
    return figure


def _rows_needed(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "view": view,
            "method": method,
            **{
                f"{name}{suffix}": entry[name][part]
                for name in ("n50", "n90", "area")
                if name in entry
                for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
            },
        }
        for view, found in result["views"].items()
        for method, entry in found["methods"].items()
    ]


def _needed(result: Mapping[str, Any]) -> Figure:
    """Rows for a cut of half and of nine tenths, with intervals; an arrow where the largest size does not reach it."""
    from matplotlib.ticker import NullLocator

    methods = [method for method in result["methods"] if "n90" in result["views"]["best"]["methods"][method]]
    figure, plots = _figure(2, 9.2, 0.5 + 0.34 * max(3, len(methods)))
    smallest, largest = result["sizes"][0], result["sizes"][-1]
    beyond = largest * 1.9
    for plot, (name, title) in zip(plots, (("n50", "50 % cut"), ("n90", "90 % cut")), strict=True):
        for at, method in enumerate(methods):
            colour, mark = _look(method, result)
            found = result["views"]["best"]["methods"][method][name]
            value, low, high = (beyond if found[part] is None else found[part] for part in ("value", "low", "high"))
            height = len(methods) - 1 - at
            plot.plot([low, high], [height, height], color=colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
            plot.plot([value], [height], ">" if value == beyond else mark, color=colour, markersize=6)
        plot.axvline(largest * 1.3, color=LINE, linewidth=1)
        plot.set_xscale("log")
        plot.set_xlim(smallest * 0.8, beyond * 1.15)
        plot.set_xticks([*result["sizes"], beyond], [*(f"{size:,}" for size in result["sizes"]), "more"])
        plot.xaxis.set_minor_locator(NullLocator())
        plot.set_ylim(-0.6, len(methods) - 0.4)
        plot.set_yticks(range(len(methods)), [label(method) for method in reversed(methods)])
        plot.set_title(title, loc="left", fontsize=10, color=INK)
        plot.set_xlabel("labelled completions")
    plots[1].set_yticklabels([])
    return figure


def _rows_trade(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "completions": point["size"],
            "toxic": point["all"],
            "neutral_perplexity": point["neutral"],
            "clean_perplexity": point["clean"],
            "refused": point["refused"],
            "over_refused": point["over_refused"],
            "on_front": (method, point["size"]) in front,
        }
        for front in [_front(result)]
        for method, entry in result["views"]["best"]["methods"].items()
        for point in entry["points"]
    ]


def _front(result: Mapping[str, Any]) -> set[tuple[str, int]]:
    """Points that no other beats in toxicity, neutral perplexity and over-refusal at once."""
    points = [
        ((method, point["size"]), (point["all"], point["neutral"], point["over_refused"] or 0.0))
        for method, entry in result["views"]["best"]["methods"].items()
        for point in entry["points"]
        if point["all"] is not None and point["neutral"] is not None
    ]
    return {
        name
        for name, mine in points
        if not any(all(b <= a for a, b in zip(mine, other, strict=True)) and other != mine for _, other in points)
    }


def _trade(result: Mapping[str, Any]) -> Figure:
    """Toxicity against what was forgotten and against over-refusal; ringed: nothing is better in all three."""
    figure, plots = _figure(2, 9.2, 3.6)
    front = _front(result)
    base = result["base"]
    for plot, (name, title) in zip(
        plots, (("neutral", "neutral perplexity, change from the base"), ("over_refused", "over-refused")), strict=True
    ):
        for method, entry in result["views"]["best"]["methods"].items():
            colour, mark = _look(method, result)
            after = method.startswith(AFTER_SFT)
            for point in entry["points"]:
                if point["all"] is None or point[name] is None:
                    continue
                x = 100 * (point["neutral"] / base["neutral"] - 1) if name == "neutral" else 100 * point[name]
                size = 3 + 1.4 * result["sizes"].index(point["size"])
                plot.plot(
                    [x],
                    [100 * point["all"]],
                    mark,
                    color=colour,
                    markersize=size,
                    markerfacecolor="none" if after else colour,
                    alpha=0.9,
                )
                if (method, point["size"]) in front:
                    plot.plot(
                        [x],
                        [100 * point["all"]],
                        "o",
                        color=INK,
                        markersize=size + 5,
                        markerfacecolor="none",
                        markeredgewidth=0.7,
                    )
        plot.plot(
            [0 if name == "neutral" else 100 * (base["over_refused"] or 0)], [100 * base["all"]], "x", color=INK, markersize=7
        )
        plot.set_xlabel(f"{title}, %")
    plots[0].set_ylabel("toxic completions, %")
    objectives = list(dict.fromkeys(method.removeprefix(AFTER_SFT) for method in result["methods"]))
    for objective in objectives:
        colour, mark = _look(objective, result)
        plots[1].plot([], [], mark, color=colour, label=label(objective))
    plots[1].plot([], [], "o", color=QUIET, markerfacecolor="none", label="hollow: after SFT")
    plots[1].plot([], [], "x", color=INK, label="base")
    plots[1].legend(fontsize=8, loc="upper right")
    return figure


def _rows_stability(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"method": method, "step": step + 1, **{name: values[step] for name, values in entry.items() if isinstance(values, list)}}
        for method, entry in result["stability"].items()
        for step in range(max((len(values) for values in entry.values() if isinstance(values, list)), default=0))
    ]


def _stability(result: Mapping[str, Any]) -> Figure:
    """Small multiples over the steps at the largest size; solid from the base, dashed after SFT."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    plots = list(figure.subplots(2, 3).flat)
    for plot, (name, title) in zip(plots, STRIP.items(), strict=True):
        for method, entry in result["stability"].items():
            series = entry.get("kl" if name == "beta_kl" else name)
            if not series or all(value is None for value in series):
                continue
            factor = _beta(entry) if name == "beta_kl" else 1.0
            colour, _ = _look(method, result)
            values = [None if value is None else factor * value for value in series]
            style = "--" if method.startswith(AFTER_SFT) else "-"
            plot.plot(range(1, len(values) + 1), values, style, color=colour, linewidth=1.1, label=label(method))
        plot.set_title(title, loc="left", fontsize=9, color=INK)
    for plot in plots[3:]:
        plot.set_xlabel("optimizer step")
    handles = {text: handle for plot in plots for handle, text in zip(*plot.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=7, fontsize=8)
    return figure


def _beta(entry: Mapping[str, Any]) -> float:
    return float(entry.get("beta") or 1.0)
