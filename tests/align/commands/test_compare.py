"""Runs side by side: a table for papers, and two runs prompt by prompt."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from align.commands.compare import compare
from align.data.run_folder import FORMAT, RESULTS
from align.statistics import wilson
from curate.core.store import write_json, write_text


def a_run(folder: Path, toxic: list[bool | None], *, data: str = "d0") -> Path:
    """A finished run of one phase as `align run` leaves it, with a verdict per prompt after it; None: no verdict."""

    def checkpoint(name: str, hits: int) -> dict[str, object]:
        share = asdict(wilson(hits, len(toxic)))
        figures = {"toxic": share, "n": len(toxic), "ended": 1.0, "distinct": len(toxic)}
        return {"name": name, "heldout": figures, "retention": {"neutral": {"perplexity": 2.0}, "clean": {"perplexity": 3.0}}}

    write_json(
        folder / RESULTS,
        {
            "format": FORMAT,
            "name": folder.name,
            "seed": 0,
            "key": {"judges": {"judge": ["lexicon"]}},
            "data": {"name": "pairs", "fingerprint": data},
            "judge": {"name": "lexicon", "validity": {"holds": True}, "line": "judge lexicon: checked"},
            "truth": None,
            "warnings": [],
            "phases": [{"folder": "kto"}],
            "checkpoints": [checkpoint("base", len(toxic)), checkpoint("after kto", sum(map(bool, toxic)))],
        },
    )
    items = [{"id": f"p{at}", "sample": 0, "judge": {"toxic": verdict}} for at, verdict in enumerate(toxic)]
    write_text(folder / "kto" / "heldout.jsonl", "".join(json.dumps(item) + "\n" for item in items))
    return folder


def test_two_runs_are_compared_prompt_by_prompt(tmp_path: Path) -> None:
    """Nine prompts only the first is toxic on, one only the second, two both, one without a verdict: p as scipy's for 1 of 10."""
    first = a_run(tmp_path / "first", [True] * 9 + [False] + [True] * 2 + [None])
    second = a_run(tmp_path / "second", [False] * 9 + [True] + [True] * 2 + [False])
    text = compare([first, second])
    assert "of 12 prompts that both answered, only the first is toxic on 9 and only the second on 1" in text
    assert "McNemar's exact p = 0.0215" in text


def test_runs_on_different_data_are_not_compared_prompt_by_prompt(tmp_path: Path) -> None:
    text = compare([a_run(tmp_path / "a", [True, False]), a_run(tmp_path / "b", [False, False], data="d1")])
    assert "McNemar" not in text and "these runs are on different data" in text


def test_markdown_is_a_table_that_papers_take(tmp_path: Path) -> None:
    lines = compare([a_run(tmp_path / "one", [True, False])], markdown=True).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:4]]
    assert cells[0][:4] == ["run", "seed", "checkpoint", "toxic % (lexicon)"] and set("".join(cells[1])) <= {"-", ":"}
    assert len({len(row) for row in cells}) == 1 and [row[2] for row in cells[2:]] == ["base", "after kto"]
