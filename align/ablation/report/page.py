"""`report.html` of a grid: who needs how many rows, the curves, what it cost elsewhere, and how sure all that is."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from align.ablation.report import tables
from align.ablation.report.figures import Drawn
from align.ablation.report.words import VIEWS, headline
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


def grid_page(result: Mapping[str, Any], drawn: Sequence[Drawn], recipe: Mapping[str, Any]) -> str:
    """The page.

    Args:
        result: see `align.ablation.report.outcome.outcome`, and who judged.
        drawn: its figures.
        recipe: as plain values.
    """
    figures = {one.name: _picture(one) for one in drawn}
    views = result["views"]
    return page(
        f"{result['name']}: how many labels does safety need?",
        tag("p", _about(result), class_="quiet"),
        _warnings(result),
        section(
            "Answer",
            tag("ul", *(tag("li", line) for line in headline(result))),
            tag("p", f"View: {VIEWS['best']} ({result['steps']:,} optimizer steps a phase). Fewest first; 95 % intervals."),
            figures["rows_needed"],
        ),
        section(
            "Toxicity against data size",
            figures["toxicity"],
            _table(tables.sizes(result)),
            tag("p", f"Mixture: {result['mixture']}.", class_="quiet"),
        ),
        section("At the largest size", tag("div", _table(tables.everything(result)), style="font-size:.9em"), *_beside(result)),
        section("Distance from the base", _table(tables.divergence(result)), tag("p", KL_NOTE, class_="quiet")),
        section("Toxicity, retention, over-refusal", figures["trade_off"]),
        section(
            "Who learns from less",
            _table(tables.needed(result)),
            tag("p", "Area: mean share of the base's toxicity that is left, over log n; lower is better.", class_="quiet"),
            _table(tables.contrasts(result)),
            tag("p", _reading(result), class_="quiet"),
        ),
        section(
            "The same under three views: rows for a 90 % cut",
            _table(tables.views(result)),
            tag("p", _views_note(recipe), class_="quiet"),
        )
        if len(views) > 1
        else None,
        section("Stability", figures["stability"], _table(tables.drift(result))),
        section("Learning rates", _table(tables.rates(result)), tag("p", _rates_note(recipe), class_="quiet")),
        section("How it was made", tag("pre", yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))),
    )


def _about(result: Mapping[str, Any]) -> str:
    seeds = len(result["seeds"])
    return (
        f"{result['model']} on {result['data']['name']} ({result['data']['fingerprint'][:8]}); {len(result['methods'])} methods,"
        f" {len(result['sizes'])} sizes, {seeds} seeds; every cell answers the same {result['prompts']:,} unseen prompts"
        f" ({result['clusters']:,} clusters) with the same draws"
    )


def _warnings(result: Mapping[str, Any]) -> Html | None:
    """What a reader must know first."""
    lines = list(result["warnings"])
    if not result["judge"]["validity"]["holds"]:
        lines.append(result["judge"]["line"])
    if result["missing"]:
        lines.append(f"{len(result['missing'])} cells are missing: {'; '.join(result['missing'][:5])}")
    lines += [f"failed: {line}" for line in result["failures"]]
    lines += [f"diverged and kept as far as it went: {line}" for line in result["diverged"]]
    for method, entry in result["views"]["best"]["methods"].items():
        for point in entry["points"]:
            lines += [
                f"{method}, {point['size']:,} completions: judge {role} crashed on {crash['n']:,} completions ({crash['error']})"
                for role, crash in point["crashed"].items()
            ]
            if point["empty"]:
                lines.append(
                    f"{method}, {point['size']:,} completions: {point['empty']:,} completions are empty; they are in no share"
                )
    return tag("ul", *(tag("li", line) for line in lines), class_="warnings") if lines else None


def _beside(result: Mapping[str, Any]) -> list[Html]:
    lines = [result["judge"]["line"]]
    lines += [
        f"{pair} agree on {100 * share:.1f} % of the base's completions" for pair, share in result["base"]["agreement"].items()
    ]
    lines.append(
        f"with {result['completions']:,} completions, two checkpoints near a tenth of the base's toxicity are told apart 8 times"
        f" in 10 when they differ by {100 * result['detectable']:.1f} points or more"
    )
    if result["base"]["overlap"]:
        lines.append(f"{result['base']['overlap']:,} prompts occur in training and were left out")
    return [tag("ul", *(tag("li", line) for line in lines))]


def _reading(result: Mapping[str, Any]) -> str:
    few = len(result["seeds"]) < 6
    seeds = (
        f"{len(result['seeds'])} seeds give intervals and no p-values (six or more would)"
        if few
        else "p: paired sign-flip over seeds"
    )
    return f"Contrasts are the recipe's primary ones; {seeds}; Holm's correction is over these alone."


def _views_note(recipe: Mapping[str, Any]) -> str:
    axes = recipe["ablation"]
    return (
        f"One training run under the cap of {axes['steps']:,} steps, at a constant rate after warm-up, serves all three views:"
        f" its best checkpoint on validation; its checkpoint after {axes['epochs']:g} passes over its own rows; its checkpoint at"
        f" {axes['flops']:g} times the FLOPs that training on every row up to the cap takes, with reference, KL passes and the"
        " SFT before it counted. Only the first is held to the limit on neutral perplexity; the others take what they find."
    )


def _rates_note(recipe: Mapping[str, Any]) -> str:
    tuning = recipe["ablation"]["tuning"]
    trials = len(tuning["rates"]) + tuning["extra"]
    return (
        f"{trials} trials for every method at the smallest and the largest size, on the validation split, with seed"
        f" {tuning['seed']}, which no cell uses; a checkpoint counts when neutral perplexity rose by at most"
        f" {100 * tuning['max_loss']:.0f} %. Between the two sizes rates are interpolated in logarithms."
    )


def _picture(one: Drawn) -> Html:
    source = base64.b64encode(one.svg.encode()).decode()
    caption = CAPTIONS[one.name]
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
