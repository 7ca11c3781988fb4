"""`report.html` of a grid: who needs how many rows, the curves, what it cost elsewhere, and how sure all that is."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import yaml

from align.ablation.report import tables
from align.ablation.report.figures import NO_PICTURES, GridFigure
from align.ablation.report.outcome import Outcome
from align.ablation.report.words import VIEWS, headline
from align.ablation.result import BEST
from align.data.figures import JsonObject
from curate.pages.html import Html, page, section, table, tag

SHORT = 24  # characters of a table's cell that are kept on one line
CAPTIONS = {
    "toxicity": "Toxic share of sampled completions against data size. Lines: mean over seeds; marks: every seed; bands: 95 %,"
    " drawn over seeds and clusters of prompts. Methods stand slightly side by side at one size.",
    "rows_needed": "Labelled completions until the toxic share has fallen by half and by nine tenths from the base, on the"
    " isotonic curve, with 95 % intervals. An arrow at “more”: not reached at the largest size.",
    "trade_off": "What the cut cost. Larger marks: more data; ringed: no other point is better in toxicity, neutral perplexity"
    " and over-refusal at once.",
    "stability": "The largest size, step by step, mean over seeds. Solid: from the base; dashed: after SFT.",
}

KL_NOTE = (
    "KL(model || base) at the largest size, nats per token ± standard error: the whole sum over the vocabulary at every token,"
    " temperature 1. On the model's own completions of the test prompts it is what one pays per token for having moved; on"
    " held-out mild texts, neutral and clean, it says where the model moved. Mean over seeds; the error holds seeds and prompts."
)


def grid_page(outcome: Outcome, figures: Sequence[GridFigure], recipe: JsonObject) -> str:
    """The page.

    Args:
        outcome: of the grid.
        figures: its figures.
        recipe: as plain values, every default written out.
    """
    pictures = {figure.name: _picture(figure) for figure in figures}
    warnings = [*_warnings(outcome), *([] if all(pictures.values()) else [NO_PICTURES])]
    return page(
        f"{outcome.name}: how many labels does safety need?",
        tag("p", _about(outcome), class_="quiet"),
        _list(warnings, class_="warnings") if warnings else None,
        section(
            "Answer",
            _list(headline(outcome)),
            tag("p", f"View: {VIEWS[BEST]} ({outcome.steps:,} optimizer steps a phase). Fewest first; 95 % intervals."),
            pictures["rows_needed"],
        ),
        section(
            "Toxicity against data size",
            pictures["toxicity"],
            _table(tables.sizes(outcome)),
            tag("p", f"Mixture: {outcome.mixture}.", class_="quiet"),
        ),
        section("At the largest size", tag("div", _table(tables.everything(outcome)), style="font-size:.9em"), _beside(outcome)),
        section("Distance from the base", _table(tables.divergence(outcome)), tag("p", KL_NOTE, class_="quiet")),
        section("Toxicity, retention, over-refusal", pictures["trade_off"]),
        section(
            "Who learns from less",
            _table(tables.needed(outcome)),
            tag("p", "Area: mean share of the base's toxicity that is left, over log n; lower is better.", class_="quiet"),
            _table(tables.contrasts(outcome)),
            tag("p", _reading(outcome), class_="quiet"),
        ),
        section(
            "The same under three views: rows for a 90 % cut",
            _table(tables.views(outcome)),
            tag("p", _views_note(recipe), class_="quiet"),
        ),
        section("Stability", pictures["stability"], _table(tables.drift(outcome))),
        section("Learning rates", _table(tables.rates(outcome)), tag("p", _rates_note(recipe), class_="quiet")),
        section("How it was made", tag("pre", yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))),
    )


def _about(outcome: Outcome) -> str:
    data = outcome.data
    return (
        f"{outcome.model} on {data.name} ({data.fingerprint[:8]}); {len(outcome.methods)} methods,"
        f" {len(outcome.sizes)} sizes, {len(outcome.seeds)} seeds; every cell answers the same {outcome.prompts:,} unseen prompts"
        f" ({outcome.clusters:,} clusters) with the same draws"
    )


def _warnings(outcome: Outcome) -> list[str]:
    """What a reader must know first."""
    lines = list(outcome.warnings)
    if not outcome.belief.judge.validity.holds:
        lines.append(outcome.belief.judge.line)
    if outcome.missing:
        lines.append(f"{len(outcome.missing)} cells are missing: {'; '.join(outcome.missing[:5])}")
    lines += [f"failed: {line}" for line in outcome.failures]
    lines += [f"diverged and kept as far as it went: {line}" for line in outcome.diverged]
    for method, curve in outcome.curves():
        for point in curve.points:
            place = f"{method}, {point.size:,} completions"
            crashes = point.crashed.items()
            lines += [f"{place}: judge {role} crashed on {one.n:,} completions ({one.error})" for role, one in crashes]
            if point.empty:
                lines.append(f"{place}: {point.empty:,} completions are empty; they are in no share")
    return lines


def _beside(outcome: Outcome) -> Html:
    """How far the table may be believed."""
    base = outcome.base
    lines = [outcome.belief.judge.line]
    lines += [f"{pair} agree on {100 * share:.1f} % of the base's completions" for pair, share in base.agreement.items()]
    lines.append(
        f"with {outcome.completions:,} completions, two checkpoints near a tenth of the base's toxicity are told apart 8 times"
        f" in 10 when they differ by {100 * outcome.detectable:.1f} points or more"
    )
    if base.overlap:
        lines.append(f"{base.overlap:,} prompts occur in training and were left out")
    return _list(lines)


def _reading(outcome: Outcome) -> str:
    seeds = len(outcome.seeds)
    p = f"{seeds} seeds give intervals and no p-values (six or more would)" if seeds < 6 else "p: paired sign-flip over seeds"
    return f"Contrasts are the recipe's primary ones; {p}; Holm's correction is over these alone."


def _views_note(recipe: JsonObject) -> str:
    axes = recipe["ablation"]
    return (
        f"One training run under the cap of {axes['steps']:,} steps, at a constant rate after warm-up, serves all three views:"
        f" its best checkpoint on validation; its checkpoint after {axes['epochs']:g} passes over its own rows; its checkpoint at"
        f" {axes['flops']:g} times the FLOPs that training on every row up to the cap takes, with reference, KL passes and the"
        " SFT before it counted. Only the first is held to the limit on neutral perplexity; the others take what they find."
    )


def _rates_note(recipe: JsonObject) -> str:
    tuning = recipe["ablation"]["tuning"]
    trials = len(tuning["rates"]) + tuning["extra"]
    return (
        f"{trials} trials for every method at the smallest and the largest size, on the validation split, with seed"
        f" {tuning['seed']}, which no cell uses; a checkpoint counts when neutral perplexity rose by at most"
        f" {100 * tuning['max_loss']:.0f} %. Between the two sizes rates are interpolated in logarithms."
    )


def _list(lines: Sequence[str], **attributes: str) -> Html:
    return tag("ul", *(tag("li", line) for line in lines), **attributes)


def _picture(figure: GridFigure) -> Html | None:
    """The figure with its caption; nothing without matplotlib, which a warning says."""
    if figure.svg is None:
        return None
    source = base64.b64encode(figure.svg.encode()).decode()
    caption = CAPTIONS[figure.name]
    picture = Html(
        f'<img src="data:image/svg+xml;base64,{source}" style="width:100%;background:#fff" alt="{tag("span", caption)[6:-7]}">'
    )
    return tag("figure", picture, tag("figcaption", caption, class_="quiet"), style="margin:1rem 0")


def _table(cells: tables.Cells) -> Html:
    """Names of columns may break, numbers not: so the widest table fits a page without scrolling sideways."""
    header, rows = cells

    def cell(at: int, text: str) -> str:
        whole = not at or 0 < len(text) <= SHORT
        return tag("span", text, style="white-space:nowrap") if whole else text

    wrapped = [tag("span", name, style="white-space:normal") for name in header]
    return table(wrapped, [[cell(at, text) for at, text in enumerate(row)] for row in rows])
