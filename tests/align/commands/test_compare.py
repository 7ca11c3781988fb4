"""Runs side by side: a table for papers, and two runs prompt by prompt."""

from __future__ import annotations

import json
from pathlib import Path

from align.commands.compare import compare
from align.data.figures import SuiteFigures, Tally, TextFigures
from align.data.results import Belief, Checkpoint, DataName, JudgeBelief, PhaseResult, RunResults, Validity
from align.data.run_folder import write_results
from align.statistics import wilson
from curate.core.store import write_text


def a_run(folder: Path, toxic: list[bool | None], *, data: str = "d0") -> Path:
    """A finished run of one phase as `align run` leaves it, with a verdict per prompt after it; None: no verdict."""
    n = len(toxic)

    def checkpoint(name: str, hits: int) -> Checkpoint:
        tally = Tally(n, n, 0, 0, wilson(hits, n), wilson(hits, n), wilson(0, n), None, 1.0, n, 9.0)
        texts = {"neutral": TextFigures(2.0, 9, 99, None), "clean": TextFigures(3.0, 9, 99, None)}
        return Checkpoint(name, {"heldout": SuiteFigures(tally), "retention": SuiteFigures(texts=texts)})

    write_results(
        folder,
        RunResults(
            name=folder.name,
            seed=0,
            model="builtin:tiny",
            data=DataName("pairs/", "pairs", data),
            phases=[PhaseResult("kto", 9, 9, {}, {}, None)],
            checkpoints=[checkpoint("base", n), checkpoint("after kto", sum(map(bool, toxic)))],
            belief=Belief(JudgeBelief("lexicon", Validity(9, 3, 1.0, 0.0, 1.0, 0)), None),
            warnings=[],
            cpu_seconds={},
            key={"judges": {"judge": ["lexicon"]}, "recipe": {"eval": {"suites": [{"heldout": {}}, {"retention": {}}]}}},
        ),
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
