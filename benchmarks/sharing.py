"""What sharing saves: CPU of some of a grid's cells in one warm process against the same cells each in a process of its own.

python benchmarks/sharing.py --data pairs/ [--methods sft,kto,sft+kto] [--size 64]
python benchmarks/sharing.py --data pairs/ --ledger runs/ablation/ledger.sqlite    # a whole grid, by what its cells took

A cell by itself is what `align run` of it would be: a process starts (with the trainer's imports), opens the data, checks the
judge, measures the base, trains its SFT where it has one, and is run, and once more for each further view (to the equal-epochs
step, to the equal-FLOPs step). The warm process does the first ones once for all cells, and reads every view off one run; its
start and base are charged to the sample in proportion to the grid's cells. Pretraining of the base is in neither. Learning rates
are given, so trials are in neither.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from align.ablation.cells.cell import run_task
from align.ablation.cells.context import GridContext
from align.ablation.grid import AFTER_SFT, Grid, read_grid
from align.ablation.result import TaskResult
from align.ablation.tasks import BASE, Task, base_key, task_key
from align.evaluation.belief import judge_belief

RATE = 2e-4  # of every method: what is timed does not depend on it
SIDE_BY_SIDE = 1  # processes beside this one, so that both sides are measured on an equally busy machine


def main() -> None:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ablation.yaml"))
    parser.add_argument("--data", default="pairs/")
    parser.add_argument("--methods", default="sft,kto,sft+kto", help="`sft+...` needs `sft` beside it")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="holds the pretrained base, or will")
    parser.add_argument("--ledger", type=Path, help="of a finished grid: one process is started, no cell is run")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    grid = read_grid(options.recipe, [f"data={options.data}"])
    if options.alone:
        cap = _capped(grid, options.steps)
        with tempfile.TemporaryDirectory() as folder:
            context = GridContext(cap, Path(folder), options.cache)
            judge_belief(cap.recipe.eval, context.dataset)
            _run(context, [options.alone], options.size)
        print(json.dumps(time.process_time()))  # noqa: T201 - imports and all
        return
    if options.ledger:
        whole_grid(options.ledger, _alone(options, BASE, None))
        return
    _ = GridContext(grid, options.cache, options.cache).loaded  # pretrains the base where it is not there yet
    methods = options.methods.split(",")
    if "sft" not in methods and any(method.startswith(AFTER_SFT) for method in methods):
        methods.insert(0, "sft")  # it is a cell of its own: on both sides, or its price would be on one alone
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        start = pool.submit(_alone, options, "none", None)
        wholes = [pool.submit(_alone, options, method, None) for method in methods]
        parts, views = _run(GridContext(grid, Path(folder), options.cache), methods, options.size)
        rest = [
            pool.submit(_alone, options, method, max(1, views[method][view]))
            for method in methods
            for view in ("epochs", "flops")
        ]
        warm_start, once = start.result(), sum(one.result() for one in wholes)
        by_view = once + sum(one.result() for one in rest)
    cells = len(grid.methods) * len(grid.axes.sizes) * len(grid.axes.seeds)
    shared = sum(seconds for name, seconds in parts.items() if name != BASE)
    shared += (warm_start + parts[BASE]) * len(methods) / cells
    print(f"sample: cells {', '.join(methods)} at {options.size} completions")  # noqa: T201
    print(f"a process's start: {warm_start:.1f} CPU s; " + ", ".join(f"{name} {one:.1f}" for name, one in parts.items()))  # noqa: T201
    print(f"shared: {shared:.1f} CPU s (start and base in proportion)")  # noqa: T201
    print(f"each cell in its own process, views read off one run: {once:.1f} CPU s, {once / shared:.1f} x")  # noqa: T201
    print(f"each cell and view in its own process: {by_view:.1f} CPU s, {by_view / shared:.1f} x")  # noqa: T201


def whole_grid(path: Path, first: float) -> None:
    """Print what a grid's runs took, and what each would by itself: a start with the base's figures, its SFT, and the run.

    The ledger's own time of the base is not used: a worker's first task holds its imports, which would count twice.

    Args:
        path: the grid's ledger.
        first: CPU seconds of a process that opens data, base and pool, checks the judge, measures the base and ends.
    """
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT key, task, cpu FROM tasks WHERE state = 'done'").fetchall()
    took = {key: cpu for key, _, cpu in rows}
    tasks = {key: Task(**json.loads(task)) for key, task, _ in rows}
    runs = {key: task for key, task in tasks.items() if task.method != BASE}
    print(f"a process's start with the base's figures: {first:.1f} CPU s")  # noqa: T201
    for name, chosen in (("cells", [key for key in runs if not runs[key].trial]), ("cells and trials", list(runs))):
        shared = first + sum(took[key] for key in chosen)
        alone = sum(first + took[key] + took.get(runs[key].parent or "", 0.0) for key in chosen)
        print(f"{len(chosen)} {name}: {shared:,.0f} CPU s shared, {alone:,.0f} one by one, {alone / shared:.2f} x")  # noqa: T201


def _alone(options: argparse.Namespace, method: str, steps: int | None) -> float:
    """CPU seconds of a process that runs one cell from nothing."""
    command = [sys.executable, __file__, "--recipe", str(options.recipe), "--data", options.data, "--cache", str(options.cache)]
    command += ["--size", str(options.size), "--alone", method, *([] if steps is None else ["--steps", str(steps)])]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def _capped(grid: Grid, steps: int | None) -> Grid:
    """The grid under another cap, with one validation at its end."""
    if steps is None:
        return grid
    return dataclasses.replace(grid, axes=dataclasses.replace(grid.axes, steps=steps, checkpoints=(steps,)))


def _run(context: GridContext, methods: list[str], size: int) -> tuple[dict[str, float], dict[str, Mapping[str, int]]]:
    """CPU seconds of the base's measurement and of each cell, and the steps of each cell's views."""
    parts: dict[str, float] = {}
    views: dict[str, Mapping[str, int]] = {}
    done: dict[str, TaskResult] = {}
    _ = context.loaded, context.pool
    importlib.import_module("align.training.shell")  # the trainer, which takes seconds the first time
    if methods == ["none"]:
        return parts, views

    def run(name: str, key: str, task: Task) -> None:
        if key not in done:
            since = time.process_time()
            done[key] = run_task(context, key, task, done)
            parts[name] = time.process_time() - since

    run(BASE, base_key(context.grid, context.fixed), Task(BASE))
    for method in methods if methods != [BASE] else ():
        parent = None
        if method.startswith(AFTER_SFT):
            sft = Task("sft", size, 0, RATE)
            parent = task_key(context.grid, context.fixed, sft)
            run("sft", parent, sft)
        task = Task(method, size, 0, RATE, False, parent)
        key = task_key(context.grid, context.fixed, task)
        run(method, key, task)
        views[method] = done[key].views
    return parts, views


if __name__ == "__main__":
    main()
