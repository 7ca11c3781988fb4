"""Which training runs a grid still needs: a pure function of the grid and of what is done.

There is no state besides results: learning rates, parents and the next trial follow from them, so a grid that was stopped
anywhere goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from align.ablation.grid import AFTER_SFT, Grid
from align.ablation.result import Results, SplitFigures, TaskResult
from align.pipeline.recipe import resolved
from curate.core.config import plain
from curate.core.schema import canonical, digest

BASE = "base"
MAX_SILENT = 0.10  # more completions without a verdict than the base's by this share, and a checkpoint is not eligible


@dataclass(frozen=True)
class Task:
    """One training run, or the measurement of the base.

    Attributes:
        method: "kto", "sft+kto", ...; "base" for the base model.
        size: labelled completions; 0 for the base.
        seed: of the order of rows.
        rate: learning rate; 0 for the base.
        trial: whether it only serves to choose a learning rate.
        parent: key of the SFT run that it starts from; None where it starts from the base.
    """

    method: str
    size: int = 0
    seed: int = 0
    rate: float = 0.0
    trial: bool = False
    parent: str | None = None

    def line(self) -> str:
        """For people."""
        return (
            BASE if self.method == BASE else f"{self.method}, {self.size:,} completions, seed {self.seed}, rate {self.rate:.2g}"
        )


@dataclass(frozen=True)
class Wave:
    """What a grid's results so far decide.

    Attributes:
        ready: tasks that can start now, in the order they should, by key.
        cells: the grid's cells whose rate and parent are known, by key.
        trials: trials that are known so far, by key.
        rates: (method, size) -> learning rate, as far as chosen; at the sizes that were tuned.
    """

    ready: dict[str, Task]
    cells: dict[str, Task]
    trials: dict[str, Task]
    rates: dict[tuple[str, int], float]


def total(grid: Grid) -> int:
    """Training runs of the grid, trials included, and the base."""
    return 1 + len(grid.methods) * (trials_each(grid) + len(grid.axes.sizes) * len(grid.axes.seeds))


def trials_each(grid: Grid) -> int:
    """Trials of every method."""
    return len(tuned_sizes(grid)) * (len(grid.axes.tuning.rates) + grid.axes.tuning.extra)


def tuned_sizes(grid: Grid) -> tuple[int, ...]:
    """The smallest and the largest size."""
    return tuple(sorted({grid.axes.sizes[0], grid.axes.sizes[-1]}))


def fixed_part(grid: Grid, fingerprint: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """What every task's result depends on besides the task: data, base, judges, suites, steps and rules."""
    tree = resolved(grid.recipe)
    judges = [grid.recipe.eval.judge, grid.recipe.eval.truth, *grid.recipe.eval.others]
    axes = grid.axes
    return {
        "data": fingerprint,
        "recipe": {name: tree[name] for name in ("seed", "model", "eval", "threads")},
        "judges": [None if judge is None else [list(judge.models), judge.threshold] for judge in judges],
        "suites": [[suite.VERSION, plain(suite)] for suite in (*grid.recipe.eval.suites, *axes.tuning.suites)],
        "axes": {"checkpoints": list(axes.checkpoints), "epochs": axes.epochs, "flops": axes.flops, "benign": axes.benign},
        "max_loss": axes.tuning.max_loss,
        "versions": dict(versions),
    }


def task_key(grid: Grid, fixed: str, task: Task) -> str:
    """Names a task by all that decides its result.

    Args:
        grid: the grid.
        fixed: digest of `fixed_part`.
        task: the task.
    """
    phase = None if task.method == BASE else plain(grid.phase(task.method, task.rate))
    return digest(fixed, canonical(asdict(task)), canonical(phase), size=10)


def wave(grid: Grid, fixed: str, done: Results) -> Wave:
    """What can run now.

    Args:
        grid: the grid.
        fixed: digest of `fixed_part`.
        done: results by key.
    """
    ready: dict[str, Task] = {}
    cells: dict[str, Task] = {}
    trials: dict[str, Task] = {}
    rates: dict[tuple[str, int], float] = {}
    best_trial: dict[tuple[str, int], str] = {}

    def want(task: Task, into: dict[str, Task]) -> tuple[str, TaskResult | None]:
        key = task_key(grid, fixed, task)
        into[key] = task
        if key not in done and (task.parent is None or task.parent in done):
            ready[key] = task
        return key, done.get(key)

    base = base_key(grid, fixed)
    if base not in done:
        return Wave({base: Task(BASE)}, {}, {}, {})
    for method, size in product(grid.methods, tuned_sizes(grid)):
        after = method.startswith(AFTER_SFT)
        if after and ("sft", size) not in best_trial:
            continue
        first = Task(method, size, grid.axes.tuning.seed, trial=True, parent=best_trial["sft", size] if after else None)
        choice = _tune(grid, first, lambda task: want(task, trials))
        if choice is not None:
            best_trial[method, size], rates[method, size] = choice
    sft: dict[tuple[int, int], str] = {}
    for method, size, seed in product(grid.methods, reversed(grid.axes.sizes), grid.axes.seeds):
        rate = _rate(grid, rates, method, size)
        after = method.startswith(AFTER_SFT)
        if rate is None or (after and (size, seed) not in sft):
            continue
        key, _ = want(Task(method, size, seed, rate, False, sft[size, seed] if after else None), cells)
        if method == "sft":
            sft[size, seed] = key
    return Wave(ready, cells, trials, rates)


def base_key(grid: Grid, fixed: str) -> str:
    """Names the base's measurement."""
    return task_key(grid, fixed, Task(BASE))


def _tune(grid: Grid, trial: Task, want: Callable[[Task], tuple[str, TaskResult | None]]) -> tuple[str, float] | None:
    """The best trial's key and rate once all are done; asks for those that are missing.

    Args:
        grid: the grid.
        trial: what is tuned, at no rate yet.
        want: asks for a task; its key, and its result where it is done.
    """
    keys: dict[float, str] = {}
    scores: dict[float, tuple[float, float]] = {}

    def at(rate: float) -> bool:
        keys[rate], result = want(replace(trial, rate=rate))
        if result is not None:
            scores[rate] = score(result)
        return result is not None

    if not all([at(rate) for rate in grid.axes.tuning.rates]):  # each is asked for, whatever the others came to
        return None
    for _ in range(grid.axes.tuning.extra):
        if not at(next_rate(scores)):
            return None
    best = _best(scores)
    return keys[best], best


def score(result: TaskResult) -> tuple[float, float]:
    """What a trial is ranked by, lower is better: toxic share of its chosen checkpoint, then its neutral perplexity."""
    figures = result.best.validation
    assert figures is not None, "a view's checkpoint is chosen by it"
    return _toxic(figures), _neutral(figures)


def _best(scores: Mapping[float, tuple[float, float]]) -> float:
    """The rate with the lowest score, the lower one of equals."""
    return min(scores, key=lambda rate: (*scores[rate], rate))


def next_rate(scores: Mapping[float, tuple[float, float]]) -> float:
    """Where the next trial goes: beyond the best at an edge, else half-way (in logarithms) to its better neighbour.

    >>> next_rate({0.1: (3.0, 0.0), 1.0: (2.0, 0.0), 10.0: (1.0, 0.0)})
    100.0
    >>> round(next_rate({0.1: (3.0, 0.0), 1.0: (1.0, 0.0), 10.0: (2.0, 0.0)}), 3)
    3.162
    """
    rates = sorted(scores)
    at = rates.index(_best(scores))
    if at == 0:
        return float(f"{rates[0] * rates[0] / rates[1]:.3g}")
    if at == len(rates) - 1:
        return float(f"{rates[-1] * rates[-1] / rates[-2]:.3g}")
    neighbour = min((rates[at - 1], rates[at + 1]), key=lambda rate: scores[rate])
    return float(f"{math.sqrt(rates[at] * neighbour):.4g}")


def at_edge(scores: Mapping[float, tuple[float, float]]) -> bool:
    """Whether the best rate is the smallest or the largest that was tried."""
    return _best(scores) in (min(scores), max(scores))


def choose_checkpoint(validation: Mapping[int, SplitFigures], base: SplitFigures, max_loss: float) -> int:
    """The step with the lowest toxic share on validation among those that kept what the base could do; the earliest of equals.

    Args:
        validation: step -> figures on validation; step 0 is where the run started.
        base: the base's validation figures.
        max_loss: largest relative rise of neutral perplexity over the base.

    Returns:
        A step. A checkpoint whose completions mostly fall silent cannot be chosen; where none can, the one that forgot least.
    """
    limit = _neutral(base) * (1 + max_loss)
    silent = _silent(base) + MAX_SILENT
    eligible = [step for step, one in validation.items() if _neutral(one) <= limit and _silent(one) <= silent]
    if not eligible:
        return min(validation, key=lambda step: (_neutral(validation[step]), step))
    return min(eligible, key=lambda step: (_toxic(validation[step]), step))


def _rate(grid: Grid, rates: Mapping[tuple[str, int], float], method: str, size: int) -> float | None:
    """The rate of a size: straight in logarithms between those of the tuned sizes."""
    edges = tuned_sizes(grid)
    if any((method, edge) not in rates for edge in edges):
        return None
    low, high = rates[method, edges[0]], rates[method, edges[-1]]
    if len(edges) == 1 or low == high:
        return low
    part = math.log(size / edges[0]) / math.log(edges[-1] / edges[0])
    return float(f"{low * (high / low) ** part:.3g}")


def _toxic(figures: SplitFigures) -> float:
    share = figures["heldout"]["toxic"]
    return share["hits"] / share["n"] if share["n"] else math.inf


def _neutral(figures: SplitFigures) -> float:
    perplexity = figures["retention"]["neutral"]["perplexity"]
    return math.inf if perplexity is None or not math.isfinite(perplexity) else float(perplexity)


def _silent(figures: SplitFigures) -> float:
    return float(figures["heldout"]["unscored"] / figures["heldout"]["n"])
