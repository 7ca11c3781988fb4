"""One small grid, run once: every cell is there, and one report comes out whatever interrupted it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from align.ablation.ablate import GridState, ablate, conclude
from align.ablation.grid import Grid, read_grid
from align.ablation.price import price
from align.ablation.report.outcome import Outcome, read_outcome
from align.ablation.report.tables import divergence
from align.ablation.report.words import headline
from align.ablation.tasks import task_key, total, tuned_sizes, wave
from curate.core.errors import DataError


def test_more_rows_than_there_are_is_said_before_anything_is_trained(
    finished: GridState, recipe_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    with pytest.raises(DataError, match=r"sizes: 9,000 labelled completions asked for"):
        ablate(read_grid(recipe_file, ["ablation.sizes=[8, 9000]"]), tmp_path, lambda line: None)
    assert not list(tmp_path.glob("grid/cells/*"))


def test_the_mixture_is_declared(recipe_file: Path, grid: Grid, finished: GridState, outcome: Outcome) -> None:
    single = "every objective learns from the same completions, all of them in pairs"
    assert grid.mixture == single == outcome.mixture and single in (finished.folder / "report.html").read_text("utf-8")
    objectives = "ablation.objectives=[{kto: {batch_size: 8}}, {dpo: {batch_size: 8}}]"
    mixed = read_grid(recipe_file, ["ablation.benign=0.25", objectives, "ablation.after_sft=false", "ablation.contrasts=[]"])
    assert mixed.mixture == "25 % of the completions of kto are benign rows, the others are in pairs; dpo: all are in pairs"


def test_every_method_gets_as_many_trials_and_every_cell_is_there(grid: Grid, finished: GridState) -> None:
    plan = wave(grid, finished.fixed, finished.done)
    assert not finished.failures and not plan.ready
    assert len(plan.cells) == 3 * 2 and len(finished.done) == total(grid)
    for method in grid.methods:
        for size in tuned_sizes(grid):
            assert sum((task.method, task.size) == (method, size) for task in plan.trials.values()) == 3
    assert {task.seed for task in plan.trials.values()} == {grid.axes.tuning.seed}


def test_a_run_after_sft_starts_from_the_sft_of_its_own_size_and_seed(grid: Grid, finished: GridState) -> None:
    plan = wave(grid, finished.fixed, finished.done)
    for task in plan.cells.values():
        if task.parent is not None:
            parent = plan.cells[task.parent]
            assert (parent.method, parent.size, parent.seed) == ("sft", task.size, task.seed)
            start = finished.done[task.parent]
            validation = start.checkpoints[start.views["best"]].validation
            key = task_key(grid, finished.fixed, task)
            assert finished.done[key].checkpoints[0].validation == validation


def test_every_cell_answers_the_same_prompts(grid: Grid, finished: GridState) -> None:
    asked = {
        tuple(json.loads(line)["id"] for line in path.read_text("utf-8").splitlines())
        for path in finished.folder.glob("cells/*/test-*/heldout.jsonl")
    }
    assert len(asked) == 1 and len(next(iter(asked))) == 12


def test_the_same_grid_twice_does_nothing_the_second_time(grid: Grid, finished: GridState, runs: Path) -> None:
    again = ablate(grid, runs, lambda line: None)
    assert again.fresh == 0 and again.done == finished.done and again.warnings == finished.warnings


def test_runs_that_compare_with_the_same_model_on_the_same_rows_share_its_log_probs(grid: Grid, finished: GridState) -> None:
    """The trials of KTO at a size are one plan at several rates; every other pair of runs differs in rows or in start."""
    plan = wave(grid, finished.fixed, finished.done)
    runs = [task for task in (*plan.cells.values(), *plan.trials.values()) if task.method != "sft"]
    plans = {(task.size, task.seed) for task in runs}
    files = list(finished.folder.glob("reference/*/*/*.safetensors"))
    assert len(list(finished.folder.glob("reference/*"))) == len(plans) == 4 and len(runs) == 16
    assert len(files) == len({file.parent for file in files}) <= 8, "none is computed twice"


def test_a_further_seed_keeps_what_is_done(recipe_file: Path, grid: Grid, finished: GridState) -> None:
    more = read_grid(recipe_file, ["ablation.seeds=[0, 2]"])
    plan = wave(more, finished.fixed, finished.done)
    assert set(wave(grid, finished.fixed, finished.done).cells) <= set(plan.cells)
    assert {task.seed for task in plan.ready.values()} == {2}


def test_a_grid_that_lost_cells_ends_in_the_same_report(
    grid: Grid, finished: GridState, outcome: Outcome, tmp_path: Path
) -> None:
    """What a kill leaves: a claimed cell without a result, cells that were never started, a cell folder half full."""
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    shutil.copytree(finished.folder, tmp_path / "grid", symlinks=True)
    plan = wave(grid, finished.fixed, finished.done)
    lost = [key for key, task in plan.cells.items() if task.size == 40 and task.method != "sft"]
    with sqlite3.connect(tmp_path / "grid" / "ledger.sqlite") as connection:
        connection.execute("UPDATE tasks SET state = 'running', result = NULL WHERE key = ?", lost[:1])
        connection.execute("DELETE FROM tasks WHERE key = ?", lost[1:])
    for name in ("trained.json", "result.json"):
        (tmp_path / "grid/cells" / lost[0] / name).unlink()
    shutil.rmtree(tmp_path / "grid/cells" / lost[0] / "validation-2")
    shutil.rmtree(tmp_path / "grid/cells" / lost[1])
    shutil.rmtree(tmp_path / "grid/reference")  # what is shared is what each would have computed
    again = ablate(grid, tmp_path, lambda line: None)
    assert again.fresh == 2 and conclude(grid, again) == outcome
    same_files(again.folder, finished.folder)


def test_a_grid_that_lost_its_ledger_trains_nothing_anew(
    grid: Grid, finished: GridState, outcome: Outcome, tmp_path: Path
) -> None:
    """Each cell keeps its result, for the weights that it came from are gone."""
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    shutil.copytree(finished.folder, tmp_path / "grid")
    (tmp_path / "grid" / "ledger.sqlite").unlink()
    again = ablate(grid, tmp_path, lambda line: None)
    assert again.fresh == total(grid) and again.done == finished.done
    assert conclude(grid, again) == outcome


@pytest.mark.skipif("MARGINS_TORTURE" not in os.environ, reason="a grid twice over: make torture")
@pytest.mark.parametrize("at", range(5))
def test_a_killed_grid_ends_in_the_same_report(
    recipe_file: Path, finished: GridState, outcome: Outcome, tmp_path: Path, at: int
) -> None:
    """kill -9 once some cells are done, with two workers at work; then the rest in this process."""
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    command = [sys.executable, "-m", "align", "ablate", str(recipe_file), "--runs", str(tmp_path), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    path, wanted = tmp_path / "grid" / "ledger.sqlite", 1 + 5 * at
    while done_in(path) < wanted and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(2.0)  # the workers notice that their parent is gone
    grid = read_grid(recipe_file)
    again = ablate(grid, tmp_path, lambda line: None)
    assert 0 < again.fresh < total(grid) and conclude(grid, again) == outcome
    same_files(again.folder, finished.folder)


def test_a_cell_that_is_missing_is_named_and_in_no_average(grid: Grid, finished: GridState, tmp_path: Path) -> None:
    plan = wave(grid, finished.fixed, finished.done)
    gone = next(key for key, task in plan.cells.items() if (task.method, task.size, task.seed) == ("kto", 40, 0))
    part = {key: value for key, value in finished.done.items() if key != gone}
    failures = {gone: (plan.cells[gone].line(), "OSError: disk")}
    shutil.copytree(finished.folder, tmp_path / "grid")
    short = conclude(grid, replace(finished, folder=tmp_path / "grid", done=part, failures=failures))
    page = (tmp_path / "grid" / "report.html").read_text("utf-8")
    assert short.missing == ("kto, 40 completions, seed 0",) and short.views["best"].methods["kto"].n90 is None
    assert read_outcome(tmp_path / "grid" / "outcome.json") == short
    assert "OSError: disk" in page and "kto, 40 completions, seed 0" in page


def test_the_report_asks_nothing_of_anyone_and_says_everything_in_one_table(finished: GridState, outcome: Outcome) -> None:
    page = (finished.folder / "report.html").read_text("utf-8")
    assert "<script" not in page and "http://" not in page and "https://" not in page and page.count("data:image/svg+xml") == 4
    for word in (
        "toxic %, all",
        "toxic %, answered",
        "refused %",
        "over-refused %",
        "neutral ppl",
        "too few seeds",
        "equal FLOPs",
        "told apart",
    ):
        assert word in page, word
    assert len(headline(outcome)) == 3


def test_the_card_reads_as_a_model_card(finished: GridState, outcome: Outcome) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard((finished.folder / "MODEL_CARD.md").read_text("utf-8"))
    assert "toxicity" in card.data.tags and "| SFT + KTO |" in card.text and "every objective learns from the same" in card.text


def test_the_report_says_how_far_each_method_is_from_the_base(finished: GridState, outcome: Outcome) -> None:
    header, rows = divergence(outcome)
    assert header[1:] == ["its own completions", "neutral texts", "clean texts"]
    assert rows[0] == ["base", "0.000", "0.000", "0.000"] and [row[0] for row in rows[1:]] == ["SFT", "KTO", "SFT + KTO"]
    assert "not measured" not in str(rows) and "nats per token" in (finished.folder / "report.html").read_text("utf-8")


def test_the_price_comes_from_what_is_done(
    grid: Grid, finished: GridState, runs: Path, tmp_path: Path, recipe_file: Path
) -> None:
    assert price(grid, runs, 1).endswith("nothing is left to do")
    more = price(read_grid(recipe_file, ["ablation.seeds=[0, 2]"]), runs, 2)
    assert "done already: 18 trials, 6 cells" in more and "by what is done" in more
    assert "without its training" in price(grid, tmp_path, 1)


def same_files(one: Path, other: Path) -> None:
    for name in (
        "report.html",
        "outcome.json",
        "MODEL_CARD.md",
        "figures/toxicity.svg",
        "figures/toxicity.png",
        "figures/toxicity.csv",
    ):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def done_in(path: Path) -> int:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM tasks WHERE state = 'done'").fetchone()[0])
    except sqlite3.Error:
        return 0
