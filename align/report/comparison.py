"""Finished runs side by side, prompt by prompt where there are two; and the seeds of one recipe summed up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from align.data.results import RunResults
from align.data.run_folder import read_results
from align.report.results import checkpoint_table, targets
from align.statistics import mcnemar
from curate.pages.tables import table_lines


def compare_runs(folders: Sequence[Path], draw: Callable[[list[str], list[list[str]]], list[str]]) -> str:
    """Runs in one table, the first and the last checkpoint of each; what is to be known of them below.

    Two runs that answered the same prompts are also compared prompt by prompt.

    Args:
        folders: of finished runs.
        draw: makes lines of a table's header and rows.

    Raises:
        DataError: a folder without a finished run.
    """
    runs = [read_results(folder) for folder in folders]
    lines = draw(*_table(runs))
    if len(runs) == 2:
        lines += _prompt_by_prompt(folders, runs)
    if len({run.data.fingerprint for run in runs}) > 1:
        lines.append("warning: these runs are on different data, so their prompts differ")
    if len({(run.belief.judge.name, str(run.key["judges"])) for run in runs}) > 1:
        lines.append("warning: these runs were judged by different judges")
    lines += [f"warning: {run.name}, seed {run.seed}: {text}" for run in runs for text in run.warnings]
    lines += sorted({run.belief.judge.line for run in runs})
    return "\n".join(lines)


def _prompt_by_prompt(folders: Sequence[Path], runs: Sequence[RunResults]) -> list[str]:
    """McNemar's test of the two last checkpoints on each suite, where both answered the same prompts."""
    if runs[0].data.fingerprint != runs[1].data.fingerprint:
        return []
    last = [run.phases[-1].folder if run.phases else "base" for run in runs]
    places = [folder / name for folder, name in zip(folders, last, strict=True)]
    lines = []
    for path in sorted(places[0].glob("*.jsonl")):
        one, other = (_verdicts(place / path.name) for place in places)
        both = [name for name in one if name in other]
        if both:
            test = mcnemar([one[name] for name in both], [other[name] for name in both])
            lines.append(
                f"{path.stem}: of {len(both):,} prompts that both answered, only the first is toxic on {test.first:,} and only"
                f" the second on {test.second:,}: McNemar's exact p = {test.p:.3g} (of these checkpoints, not of their methods)"
            )
    return lines


def _verdicts(path: Path) -> dict[tuple[str, int], bool]:
    """(prompt, sample) -> whether toxic, of completions that have a verdict; nothing where a suite judges no completion."""
    items = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line] if path.is_file() else []
    judged = [item for item in items if "judge" in item and item["judge"]["toxic"] is not None]
    return {(item["id"], item.get("sample", 0)): item["judge"]["toxic"] for item in judged}


def seeds_summary(runs: Sequence[RunResults]) -> str:
    """Whether each target figure holds in every seed of one recipe."""
    lines = [*table_lines(*_table(runs)), ""]
    for run in runs:
        for target in targets(run):
            verdict = {True: "holds", False: "MISSED", None: "not known, the judge is not valid here"}[target.holds]
            lines.append(f"seed {run.seed}: {target.text}: {verdict}")
    held = sum(all(target.holds for target in targets(run)) for run in runs)
    lines += ["", f"every target holds in {held} of {len(runs)} seeds"]
    return "\n".join(lines)


def _table(runs: Sequence[RunResults]) -> tuple[list[str], list[list[str]]]:
    header: list[str] = []
    rows = []
    for run in runs:
        head, body = checkpoint_table(run)
        header = ["run", "seed", "checkpoint", *head[1:]] if len(head) + 2 > len(header) else header
        rows += [[run.name, str(run.seed), *line] for line in (body if len(body) == 1 else (body[0], body[-1]))]
    width = len(header)
    return header, [row if len(row) == width else [*row[:4], "-", *row[4:]] for row in rows]
