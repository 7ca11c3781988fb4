"""Carry a grid out: workers share a ledger, the terminal shows how far they are, and a re-run fills only what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align.ablation.cells.context import GridContext
from align.ablation.cells.worker import run_worker, work
from align.ablation.grid import Grid
from align.ablation.ledger import Ledger
from align.ablation.pool import check_sizes
from align.ablation.report.analysis import analyse
from align.ablation.report.card import grid_card
from align.ablation.report.figures import draw_all, save
from align.ablation.report.measurements import Measurements
from align.ablation.report.outcome import GridData, Outcome
from align.ablation.report.page import grid_page
from align.ablation.result import TaskResult
from align.ablation.tasks import base_key, total, wave
from align.data.dataset import open_dataset
from align.evaluation.belief import judge_belief, judge_warnings
from align.models import vllm as vllm_backend
from align.pipeline.identity import uses_vllm
from align.pipeline.recipe import resolved
from curate.core.errors import DataError, UserError, require
from curate.core.progress import Progress
from curate.core.store import locked, write_json, write_text

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

LOOK = 0.5  # seconds between looks at the ledger
OUTCOME = "outcome.json"


@dataclass(frozen=True)
class GridState:
    """The state of a grid after a call.

    Attributes:
        folder: the grid's.
        fixed: digest of what every key depends on.
        done: results by key.
        failures: key -> the task as a line, and what it met.
        seconds: CPU and wall seconds by key.
        fresh: tasks that this call finished.
        warnings: what every table must say.
    """

    folder: Path
    fixed: str
    done: dict[str, TaskResult]
    failures: dict[str, tuple[str, str]]
    seconds: dict[str, tuple[float, float]]
    fresh: int
    warnings: list[str]


def ablate(grid: Grid, runs: Path, say: Callable[[str], None], *, workers: int = 1) -> GridState:
    """Run what the grid still needs.

    Args:
        grid: what is swept.
        runs: folder of run folders; the grid's is `<runs>/<name>`, so that a grid that grows keeps its cells.
        say: called with one line as each part begins.
        workers: processes that train side by side; 1 trains in this one.

    Raises:
        UserError: the data or the recipe cannot give what was asked, before anything is trained; or a signal came.
    """
    require("matplotlib", "figures", "align ablate")
    if uses_vllm(grid.recipe):
        vllm_backend.require()
    folder, cache = runs / grid.recipe.name, runs / "cache"
    with locked(folder):
        ledger = Ledger(folder / "ledger.sqlite")
        ledger.release()
        context = GridContext(grid, folder, cache)
        warnings = judge_warnings(grid.recipe.eval, context.dataset)
        say("base model")
        check_sizes(grid, context.pool)
        before = _progress(grid, context.fixed, ledger)
        with Progress("grid", total(grid) - before, "training runs") as bar:
            shown = 0

            def tick() -> None:
                nonlocal shown
                now = _progress(grid, context.fixed, ledger) - before
                bar.add(now - shown)
                shown = now

            if workers == 1:
                work(context, ledger, tick)
            elif before < total(grid):
                _share(grid, folder, cache, workers, tick)
            tick()
        done = ledger.done()
        failures = {key: (task.line(), error) for key, (task, error) in ledger.failures().items()}
        return GridState(folder, context.fixed, done, failures, ledger.seconds(), shown, warnings)


def _progress(grid: Grid, fixed: str, ledger: Ledger) -> int:
    """How many of the grid's own tasks are done; the ledger may hold those of other sizes or seeds."""
    done = ledger.done()
    plan = wave(grid, fixed, done)
    return sum(key in done for key in (*plan.cells, *plan.trials)) + bool(plan.trials)


def _share(grid: Grid, folder: Path, cache: Path, workers: int, tick: Callable[[], None]) -> None:
    """Start the workers and wait; one that dies leaves its cell to the next run, which this one says."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
    started: list[BaseProcess] = [
        context.Process(target=run_worker, args=(grid, folder, cache, number), daemon=True) for number in range(1, workers + 1)
    ]
    for process in started:
        process.start()
    try:
        while any(process.is_alive() for process in started):
            time.sleep(LOOK)
            tick()
            if any(process.exitcode not in {None, 0} for process in started):
                break
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join()
    codes = [process.exitcode for process in started]
    if any(code not in {0, -15, 143} for code in codes):
        raise UserError(
            f"{folder}: a worker ended early (exit codes {codes}; see worker-*.log)", hint="the same command goes on from here"
        )


def conclude(grid: Grid, finished: GridState) -> Outcome:
    """Write a grid's outcome: `report.html`, `outcome.json`, `MODEL_CARD.md` and `figures/`; the same results, the same bytes.

    Raises:
        DataError: nothing has been finished yet.
    """
    if base_key(grid, finished.fixed) not in finished.done:
        reasons = "; ".join(error for _, error in finished.failures.values()) or "it was not run"
        raise DataError(f"{finished.folder}: the base model has no figures yet ({reasons})", hint="run the same command again")
    dataset = open_dataset(Path(grid.recipe.data))
    outcome = analyse(
        Measurements(grid, finished.fixed, finished.done, finished.folder),
        model=next(iter(resolved(grid.recipe)["model"])),
        data=GridData(dataset.manifest.name, dataset.fingerprint),
        belief=judge_belief(grid.recipe.eval, dataset),
        warnings=finished.warnings,
        failures=[f"{line}: {error}" for line, error in sorted(finished.failures.values())],
    )
    figures = draw_all(outcome)
    save(figures, finished.folder / "figures")
    write_json(finished.folder / OUTCOME, outcome.to_json())
    write_text(finished.folder / "MODEL_CARD.md", grid_card(outcome))
    write_text(finished.folder / "report.html", grid_page(outcome, figures, grid.plain()))
    return outcome
