"""The grid's tables: plain text cells, for the report, the terminal and Markdown alike."""

from __future__ import annotations

from collections.abc import Sequence

from align.ablation.grid import AFTER_SFT
from align.ablation.report.outcome import Contrast, Curve, Estimate, MeanDivergence, Outcome, Point, TableRow
from align.ablation.report.words import VIEWS, label, span
from curate.pages import tables as text_tables

Cells = tuple[list[str], list[list[str]]]
"""Header and rows."""

MISSING = "cells are missing"
UNKNOWN = "not measured"


def needed(outcome: Outcome) -> Cells:
    """Rows for a cut, and the area under the curve, by method."""
    header = ["", "rows for a 50 % cut", "rows for a 90 % cut", "area under the curve"]
    return header, [[label(method), *_needs(curve, outcome)] for method, curve in outcome.curves()]


def _needs(curve: Curve, outcome: Outcome) -> list[str]:
    if curve.n50 is None or curve.n90 is None or curve.area is None:
        return [MISSING, "", ""]
    return [span(curve.n50, outcome), span(curve.n90, outcome), _interval(curve.area)]


def sizes(outcome: Outcome) -> Cells:
    """What a number of labelled completions is in pairs, benign rows, prompts and tokens; means over the seeds.

    One block for the objectives that take them in the same way; SFT learns from the chosen sides alone.
    """
    blocks: dict[tuple[object, ...], tuple[list[str], Sequence[Point]]] = {}
    for method, curve in outcome.curves():
        shape = tuple((point.size, point.pairs, point.benign, point.tokens) for point in curve.points)
        if shape and not method.startswith(AFTER_SFT):
            blocks.setdefault(shape, ([], curve.points))[0].append(label(method))
    rows = [
        [
            ", ".join(names),
            f"{point.size:,}",
            *(_number(value, 0) for value in (point.pairs, point.benign, point.prompts, point.tokens)),
        ]
        for names, points in blocks.values()
        for point in points
    ]
    return ["", "labelled completions", "pairs", "benign rows", "prompts", "tokens"], rows


def everything(outcome: Outcome) -> Cells:
    """Toxic of all and of what was answered, refused, over-refused and retention, always side by side; largest size."""
    truth = None if outcome.belief.truth is None else outcome.belief.truth.name
    header = [
        "",
        f"toxic %, all ({outcome.belief.judge.name})",
        "toxic %, answered",
        *([f"toxic % (truth: {truth})"] if truth else []),
    ]
    header += ["refused %", "over-refused %"]
    header += ["neutral ppl", "clean ppl", "KL to base", "ended %", "distinct", "not scored"]
    rows = [_line(name, row, outcome) for name, row in _largest(outcome)]
    return header, rows


def divergence(outcome: Outcome) -> Cells:
    """KL(model || base) in nats per token, on what the model draws and on held-out texts; largest size."""
    rows = [[name, _kl(row.kl), _kl(row.kl_neutral), _kl(row.kl_clean)] for name, row in _largest(outcome)]
    return ["", "its own completions", "neutral texts", "clean texts"], rows


def _largest(outcome: Outcome) -> list[tuple[str, TableRow]]:
    """The base, and each method at the largest size that is there."""
    points = [(label(method), curve.points[-1]) for method, curve in outcome.curves() if curve.points]
    return [("base", outcome.base), *points]


def contrasts(outcome: Outcome) -> Cells:
    """The primary comparisons."""
    rows = []
    for one in outcome.contrasts:
        p = "too few seeds" if one.p_holm is None else f"{one.p_holm:.3f}"
        rows.append([f"{label(one.a)} - {label(one.b)}", _interval(one), p, _reading(one)])
    return ["contrast", "difference of areas", "p (Holm)", "reading"], rows


def _reading(contrast: Contrast) -> str:
    low, high = contrast.low, contrast.high
    if low is None or high is None or low <= 0 <= high:
        return "not told apart"
    return f"{label(contrast.a if high < 0 else contrast.b)} needs less"


def views(outcome: Outcome) -> Cells:
    """Rows for a 90 % cut under each view."""
    rows = []
    for method in outcome.methods:
        needs = [outcome.views[view].methods[method].n90 for view in VIEWS]
        rows.append([label(method), *(MISSING if need is None else span(need, outcome) for need in needs)])
    return ["", *VIEWS.values()], rows


def rates(outcome: Outcome) -> Cells:
    """Learning rates that were tried and taken."""
    rows = []
    for search in outcome.rates:
        tried = ", ".join(f"{trial.rate:.2g}: {_percent(trial.toxic)} at step {trial.step}" for trial in search.trials)
        note = " (an edge of what was tried)" if search.edge else ""
        rows.append([label(search.method), f"{search.size:,}", f"{search.rate:.2g}{note}", tried])
    return ["", "completions", "taken", "tried: toxic on validation at the chosen checkpoint"], rows


def drift(outcome: Outcome) -> Cells:
    """How much z there was, at the largest size."""
    drifts = [(method, outcome.stability[method].drift) for method in outcome.methods if method in outcome.stability]
    rows = [
        [label(method), f"{100 * one.kl_positive_share:.0f} %", f"{one.mean_beta_kl:.4f}"]
        for method, one in drifts
        if one is not None
    ]
    return ["", "steps with z > 0", "mean β·z"], rows


def markdown(cells: Cells) -> str:
    """A table for papers and cards."""
    return text_tables.markdown(*cells)


def _line(name: str, row: TableRow, outcome: Outcome) -> list[str]:
    base = outcome.base
    bounds = f" [{100 * row.low:.1f}, {100 * row.high:.1f}]" if isinstance(row, Point) else ""
    return [
        name,
        f"{_share(row.all)}{bounds}",
        _share(row.answered),
        *([] if outcome.belief.truth is None else [_share(row.truth)]),
        _share(row.refused),
        _share(row.over_refused),
        _perplexity(row.neutral, None if row is base else base.neutral),
        _perplexity(row.clean, None if row is base else base.clean),
        _kl(row.kl),
        _share(row.ended),
        _number(row.distinct, 0),
        f"{row.unscored:,}" + (f" ({row.empty:,} empty)" if row.empty else ""),
    ]


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def _perplexity(value: float | None, base: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.2f}" if base is None else f"{value:.2f}\u00a0({100 * (value / base - 1):+.1f}\u00a0%)"


def _kl(kl: MeanDivergence | None) -> str:
    if kl is None:
        return UNKNOWN
    return f"{kl.value:.3f}" if not kl.se else f"{kl.value:.3f}\u00a0±\u00a0{kl.se:.3f}"


def _interval(one: Estimate) -> str:
    return f"{_number(one.value, 3)} [{_number(one.low, 3)}, {_number(one.high, 3)}]"
