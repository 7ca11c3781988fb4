"""The grid's tables: plain text cells, for the report, the terminal and Markdown alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from align.ablation.report.words import VIEWS, label, span
from curate.pages import tables as text_tables

Cells = tuple[list[str], list[list[str]]]
"""Header and rows."""


def needed(result: Mapping[str, Any], view: str = "best") -> Cells:
    """Rows for a cut, and the area under the curve, by method."""
    header = ["", "rows for a 50 % cut", "rows for a 90 % cut", "area under the curve"]
    rows = []
    for method, entry in result["views"][view]["methods"].items():
        if "n90" in entry:
            rows.append([label(method), span(entry["n50"], result), span(entry["n90"], result), _interval(entry["area"], 1, 3)])
        else:
            rows.append([label(method), "cells are missing", "", ""])
    return header, rows


def sizes(result: Mapping[str, Any]) -> Cells:
    """What a number of labelled completions is in pairs, benign rows, prompts and tokens; means over the seeds.

    One block for the objectives that take them in the same way; SFT learns from the chosen sides alone.
    """
    kinds: dict[tuple[Any, ...], tuple[list[str], list[Any]]] = {}
    for method in result["methods"]:
        points = result["views"]["best"]["methods"][method]["points"]
        made = tuple((point["size"], point["pairs"], point["benign"], point["tokens"]) for point in points)
        if points and "+" not in method:
            kinds.setdefault(made, ([], points))[0].append(label(method))
    rows = [
        [
            ", ".join(names),
            f"{point['size']:,}",
            *(_number(point[name], 0) for name in ("pairs", "benign", "prompts", "tokens")),
        ]
        for names, points in kinds.values()
        for point in points
    ]
    return ["", "labelled completions", "pairs", "benign rows", "prompts", "tokens"], rows


def everything(result: Mapping[str, Any], view: str = "best") -> Cells:
    """Toxic of all and of what was answered, refused, over-refused and retention, always side by side; largest size."""
    judged = result.get("judge", {}).get("name", "judge")
    truth = (result.get("truth") or {}).get("name")
    header = ["", f"toxic %, all ({judged})", "toxic %, answered", *([f"toxic % (truth: {truth})"] if truth else [])]
    header += ["refused %", "over-refused %"]
    header += ["neutral ppl", "clean ppl", "KL to base", "ended %", "distinct", "not scored"]
    base = result["base"]
    rows = [_line("base", base, base, truth, None)]
    for method, entry in result["views"][view]["methods"].items():
        if entry["points"]:
            point = entry["points"][-1]
            rows.append(_line(label(method), point, base, truth, (point["low"], point["high"])))
    return header, rows


def divergence(result: Mapping[str, Any], view: str = "best") -> Cells:
    """KL(model || base) in nats per token, on what the model draws and on held-out texts; largest size."""
    points = {"base": result["base"]}
    methods = result["views"][view]["methods"].items()
    points |= {label(method): entry["points"][-1] for method, entry in methods if entry["points"]}
    rows = [[name, *(_kl(point[kind]) for kind in ("kl", "kl_neutral", "kl_clean"))] for name, point in points.items()]
    return ["", "its own completions", "neutral texts", "clean texts"], rows


def contrasts(result: Mapping[str, Any]) -> Cells:
    """The primary comparisons."""
    rows = []
    for row in result["contrasts"]:
        p = "too few seeds" if row["p"] is None else f"{row['p_holm']:.3f}"
        sides = row["low"] is not None and row["high"] is not None and (row["low"] > 0 or row["high"] < 0)
        better = "" if not sides else f"{label(row['a'] if row['high'] < 0 else row['b'])} needs less"
        rows.append([f"{label(row['a'])} - {label(row['b'])}", _interval(row, 1, 3), p, better or "not told apart"])
    return ["contrast", "difference of areas", "p (Holm)", "reading"], rows


def views(result: Mapping[str, Any]) -> Cells:
    """Rows for a 90 % cut under each view."""
    header = ["", *VIEWS.values()]
    rows = []
    for method in result["methods"]:
        cells = [result["views"][view]["methods"][method] for view in VIEWS]
        rows.append([label(method), *(span(cell["n90"], result) if "n90" in cell else "cells are missing" for cell in cells)])
    return header, rows


def rates(result: Mapping[str, Any]) -> Cells:
    """Learning rates that were tried and taken."""
    rows = []
    for row in result["rates"]:
        tried = ", ".join(f"{trial['rate']:.2g}: {_percent(trial['toxic'])} at step {trial['step']}" for trial in row["trials"])
        note = " (an edge of what was tried)" if row["edge"] else ""
        rows.append([label(row["method"]), f"{row['size']:,}", f"{row['rate']:.2g}{note}", tried])
    return ["", "completions", "taken", "tried: toxic on validation at the chosen checkpoint"], rows


def drift(result: Mapping[str, Any]) -> Cells:
    """How much z there was, at the largest size."""
    rows = []
    for method, entry in result["stability"].items():
        if "kl_positive_share" in entry:
            rows.append([label(method), f"{100 * entry['kl_positive_share']:.0f} %", f"{entry['mean_beta_kl']:.4f}"])
    return ["", "steps with z > 0", "mean β·z"], rows


def markdown(cells: Cells) -> str:
    """A table for papers and cards."""
    return text_tables.markdown(*cells)


def _line(
    name: str, point: Mapping[str, Any], base: Mapping[str, Any], truth: str | None, ends: tuple[float, float] | None
) -> list[str]:
    bounds = "" if ends is None else f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
    shares = {name: _share(point[name]) for name in ("all", "answered", "truth", "refused", "over_refused", "ended")}
    return [
        name,
        f"{shares['all']}{bounds}",
        shares["answered"],
        *([shares["truth"]] if truth else []),
        shares["refused"],
        shares["over_refused"],
        _perplexity(point["neutral"], base["neutral"], base is point),
        _perplexity(point["clean"], base["clean"], base is point),
        _kl(point["kl"]),
        shares["ended"],
        _number(point["distinct"], 0),
        f"{point['unscored']:,}" + (f" ({point['empty']:,} empty)" if point["empty"] else ""),
    ]


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.1f} %"


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "not measured" if value is None else f"{value:,.{digits}f}"


def _perplexity(value: float | None, base: float | None, first: bool) -> str:
    if value is None:
        return "not measured"
    return f"{value:.2f}" if first or base is None else f"{value:.2f}\u00a0({100 * (value / base - 1):+.1f}\u00a0%)"


def _kl(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not measured"
    return f"{found['value']:.3f}" if not found["se"] else f"{found['value']:.3f}\u00a0±\u00a0{found['se']:.3f}"


def _interval(found: Mapping[str, Any], factor: float, digits: int) -> str:
    value, low, high = (None if found[name] is None else factor * found[name] for name in ("value", "low", "high"))
    return f"{_number(value, digits)} [{_number(low, digits)}, {_number(high, digits)}]"


__all__: Sequence[str] = [
    "Cells",
    "contrasts",
    "divergence",
    "drift",
    "everything",
    "markdown",
    "needed",
    "rates",
    "sizes",
    "views",
]
