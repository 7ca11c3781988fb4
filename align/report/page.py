"""`report.html` of a run: the table, the curves, the completions only when asked for; one self-contained page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import yaml

from align.data.results import RunResults
from align.data.run_folder import read_metrics
from align.report.results import checkpoint_table, notes, targets, title
from align.report.suite_table import suite_table
from curate.pages.html import Html, page, section, table, tag
from curate.pages.line_charts import intervals, lines

CURVES = {
    "Loss": ("loss",),
    "Rewards: beta times log-ratio, by class": ("rewards/chosen", "rewards/rejected", "rewards/margins"),
    "KL estimate z, and before it is clamped at 0": ("kl", "kl_raw"),
    "Log-probability per token, by class": ("logps/chosen", "logps/rejected"),
    "Gradient norm": ("grad_norm",),
}
SHOWN = 20  # completions per checkpoint, when text is asked for


def report(results: RunResults, folder: Path, *, show_text: bool = False) -> str:
    """The page.

    Args:
        results: of the run.
        folder: the run's, for its curves and, with `show_text`, completions.
        show_text: put completions in; they may be toxic.
    """
    header, rows = checkpoint_table(results)
    return page(
        f"{results.name}, seed {results.seed}",
        tag("p", title(results), class_="quiet"),
        section("Before and after", table(header, rows), _toxicity(results)),
        section("By suite", table(*suites)) if (suites := suite_table(results)) else None,
        section("Beside the table", tag("ul", *(tag("li", line) for line in notes(results)))),
        section("Targets", table(("target", "held"), [(one.text, _word(one.holds)) for one in targets(results)])),
        *(section(phase.folder, *_curves(folder / phase.folder / "metrics.jsonl")) for phase in results.phases),
        _completions(results, folder) if show_text else None,
        section("How it was made", tag("pre", yaml.safe_dump(dict(results.key), sort_keys=False, allow_unicode=True))),
    )


def _toxicity(results: RunResults) -> Html:
    shares = [(one.name, one.heldout.toxic) for one in results.checkpoints if one.heldout]
    rows = [(name, share.value, share.low, share.high) for name, share in shares if share.value is not None]
    return intervals(rows, "Toxic share of completions of held-out prompts, with 95 % intervals")


def _curves(path: Path) -> list[Html]:
    """The charts of one phase; a figure that the objective does not have is left out."""
    if not path.is_file():
        return [tag("p", "metrics.jsonl is not there", class_="quiet")]
    steps = read_metrics(path)
    charts: list[Html] = []
    for heading, names in CURVES.items():
        series = {name: [step[name] for step in steps if name in step and _finite(step[name])] for name in names}
        if any(series.values()):
            charts += [tag("p", heading), lines(series, heading)]
    return charts


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _completions(results: RunResults, folder: Path) -> Html:
    parts: list[Html] = []
    for checkpoint, place in zip(results.checkpoints, ["base", *(phase.folder for phase in results.phases)], strict=True):
        path = folder / place / "heldout.jsonl"
        items = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:SHOWN] if line] if path.is_file() else []
        rows = [(item["id"][:8], _word(item["judge"]["toxic"]), item["completion"]) for item in items]
        parts += [tag("p", checkpoint.name), table(("prompt", "toxic", "completion"), rows)]
    return section("Completions (they may be toxic)", *parts)


def _word(value: bool | None) -> str:
    return "not known" if value is None else "yes" if value else "no"
