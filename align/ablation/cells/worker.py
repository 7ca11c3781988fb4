"""One warm process: it takes task after task from the ledger until nothing is left that could still become ready."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from align.ablation.cells.cell import run_task
from align.ablation.cells.context import GridContext
from align.ablation.grid import Grid
from align.ablation.ledger import Ledger
from align.ablation.tasks import Task, wave
from curate.core.errors import UserError

IDLE = 0.2  # seconds between looks at the ledger while others work on what this worker waits for
STOPPED = (130, 143)  # exit codes of a process that was told to stop


def work(context: GridContext, ledger: Ledger, tick: Callable[[], None]) -> None:
    """Take task after task.

    Args:
        context: what the grid's cells share.
        ledger: the grid's.
        tick: called after each task, and while there is none to take.
    """
    while True:
        claim = ledger.claim(wave(context.grid, context.fixed, ledger.done()).ready)
        if claim is not None:
            _carry_out(context, ledger, *claim)
        elif not ledger.counts().get("running"):
            return
        else:
            time.sleep(IDLE)
        tick()


def _carry_out(context: GridContext, ledger: Ledger, key: str, task: Task) -> None:
    """Run a task and tell the ledger how it ended.

    Raises:
        UserError: a signal came.
    """
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        result = run_task(context, key, task, ledger.done())
    except UserError as error:
        if error.exit_code in STOPPED:
            raise
        ledger.fail(key, str(error))
    except Exception as error:  # whatever one cell met, the others go on; the report names it
        ledger.fail(key, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    else:
        ledger.finish(key, result, round(time.process_time() - cpu, 3), round(time.perf_counter() - wall, 3))


def run_worker(grid: Grid, folder: Path, cache: Path, number: int) -> None:
    """Entry of a worker process: work until nothing is left; what it says goes to `worker-<number>.log`."""
    from align.training.checkpoints import Interrupted

    sys.stderr = (folder / f"worker-{number}.log").open("a", encoding="utf-8", buffering=1)
    _die_with(os.getppid())
    try:
        work(GridContext(grid, folder, cache), Ledger(folder / "ledger.sqlite"), lambda: None)
    except (Interrupted, KeyboardInterrupt):
        os._exit(130)


def _die_with(parent: int) -> None:
    """End this process soon after its parent: two grids must not work on one folder."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
