"""Finished runs side by side, and a recipe's seeds summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.results import checkpoint_table, read_results, table_lines, targets


def compare(folders: Sequence[Path]) -> str:
    """The first and the last checkpoint of each run in one table, as text.

    Args:
        folders: run folders.

    Raises:
        DataError: a folder without a finished run.
    """
    runs = [read_results(folder) for folder in folders]
    lines = table_lines(*_table(runs))
    if len({run["data"]["fingerprint"] for run in runs}) > 1:
        lines.append("warning: these runs are on different data, so their prompts differ")
    if len({(run["judge"]["name"], str(run["key"]["judges"])) for run in runs}) > 1:
        lines.append("warning: these runs were judged by different judges")
    lines += [f"warning: {run['name']}, seed {run['seed']}: {text}" for run in runs for text in run["warnings"]]
    lines += sorted({run["judge"]["line"] for run in runs})
    return "\n".join(lines)


def seeds_summary(runs: Sequence[Mapping[str, Any]]) -> str:
    """Whether each target figure holds in every seed of one recipe."""
    lines = [*table_lines(*_table(runs)), ""]
    for run in runs:
        for target in targets(run):
            verdict = {True: "holds", False: "MISSED", None: "not known, the judge is not valid here"}[target.holds]
            lines.append(f"seed {run['seed']}: {target.text}: {verdict}")
    held = sum(all(target.holds for target in targets(run)) for run in runs)
    lines += ["", f"every target holds in {held} of {len(runs)} seeds"]
    return "\n".join(lines)


def _table(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header: list[str] = []
    rows = []
    for run in runs:
        head, body = checkpoint_table(run)
        header = ["run", "seed", "checkpoint", *head[1:]] if len(head) + 2 > len(header) else header
        rows += [[run["name"], str(run["seed"]), *line] for line in (body[0], body[-1])]
    width = len(header)
    return header, [row if len(row) == width else [*row[:4], "-", *row[4:]] for row in rows]
