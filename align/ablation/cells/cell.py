"""One task from start to result: train the cell, measure its checkpoints, choose what each view shows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from align.ablation.cells.context import GridContext
from align.ablation.cells.evaluate import evaluate
from align.ablation.cells.train import Lesson, discard_weights, make_lesson, read_snapshot, snapshots, train_cell
from align.ablation.cost import BOTH, spent
from align.ablation.result import BEST, Results, RunStep, SplitFigures, TaskResult
from align.ablation.tasks import BASE, Task, base_key, choose_checkpoint
from align.data.run_folder import read_metrics
from curate.core.store import locked, write_json

STABILITY = ("loss", "grad_norm", "kl", "kl_raw", "rewards/margins", "logps/chosen", "logps/rejected")
"""What is kept of every step."""

RESULT = "result.json"


def run_task(context: GridContext, key: str, task: Task, done: Results) -> TaskResult:
    """Carry one task out, from what an interrupted call left.

    Args:
        context: what the grid's cells share.
        key: the task's name; its folder's too.
        task: what to do.
        done: results of finished tasks; the parent's and the base's are read.
    """
    folder = context.cell(key)
    with locked(folder):
        if (folder / RESULT).is_file():  # the weights that it came from are gone, so it cannot be made again from what is left
            return TaskResult.from_json(json.loads((folder / RESULT).read_bytes()))
        if task.method == BASE:
            return _base(context, folder)
        result = _cell(context, folder, task, done)
        write_json(folder / RESULT, result.to_json())
        discard_weights(context, folder, keep=result.views[BEST] if task.method == "sft" else None)
        return result


def _base(context: GridContext, folder: Path) -> TaskResult:
    context.put(context.start)
    validation = evaluate(context, folder, 0, "validation")
    return TaskResult({0: RunStep(None, validation, evaluate(context, folder, 0, "test", drift=True))})


def _cell(context: GridContext, folder: Path, task: Task, done: Results) -> TaskResult:
    axes, base = context.grid.axes, done[base_key(context.grid, context.fixed)].best
    start = base if task.parent is None else done[task.parent].best
    lesson = make_lesson(context, task)
    reference = "reference" in lesson.phase.objective.needs
    flops = [(start.flops or 0) + part for part in spent(context.weights, lesson.rows, lesson.plan, reference=reference)]
    views = {"epochs": _epoch_step(context, lesson), "flops": _flops_step(context, flops)}
    diverged = train_cell(context, folder, task, lesson, {*axes.checkpoints, *views.values()} - {0})
    validation = _validated(context, folder, start)
    views = {BEST: choose_checkpoint(validation, _known(base.validation), axes.tuning.max_loss)} | views
    checkpoints = {step: RunStep(flops[step], figures) for step, figures in validation.items()}
    if not task.trial:
        views, checkpoints = _tested(context, folder, start.test, views, checkpoints, flops)
    return TaskResult(
        checkpoints=checkpoints,
        views=views,
        prompts=len(set(lesson.rows.prompt_keys)),
        completions=task.size,
        pairs=len(lesson.mixture.pairs),
        benign=len(lesson.mixture.benign),
        tokens=sum(lesson.rows.lengths),
        steps=_steps(folder / "train" / "metrics.jsonl"),
        beta=getattr(lesson.phase.objective, "beta", None),
        diverged=diverged,
    )


def _validated(context: GridContext, folder: Path, start: RunStep) -> dict[int, SplitFigures]:
    """Validation's figures of where the run started and of every checkpoint that it reached, by step."""
    figures = {0: _known(start.validation)}
    kept = snapshots(folder)
    for step in context.grid.axes.checkpoints:
        if step in kept:
            context.put(read_snapshot(folder, step))
            figures[step] = evaluate(context, folder, step, "validation")
    return figures


def _tested(
    context: GridContext,
    folder: Path,
    start: SplitFigures | None,
    views: Mapping[str, int],
    checkpoints: Mapping[int, RunStep],
    flops: Sequence[int],
) -> tuple[dict[str, int], dict[int, RunStep]]:
    """Views and checkpoints with the test's figures; a view whose step was not reached shows the last one that was."""
    kept = [0, *snapshots(folder)]
    reached = {view: max(other for other in kept if other <= step) for view, step in views.items()}
    tested = dict(checkpoints)
    for view, step in reached.items():
        checkpoint = tested.get(step, RunStep(flops[step]))
        if checkpoint.test is not None:
            continue
        if step:
            context.put(read_snapshot(folder, step))
        figures = evaluate(context, folder, step, "test", drift=view == BEST) if step else start
        tested[step] = replace(checkpoint, test=figures)
    return reached, tested


def _epoch_step(context: GridContext, lesson: Lesson) -> int:
    """The step that ends the view's epochs, at most the cap."""
    axes, size = context.grid.axes, lesson.phase.batch_size
    per_epoch = math.ceil(lesson.plan.rows / (size // 2 * 2 if "paired" in lesson.phase.objective.needs else size))
    return min(axes.steps, max(1, math.ceil(axes.epochs * per_epoch)))


def _flops_step(context: GridContext, flops: Sequence[int]) -> int:
    """The last step within the view's budget; 0 where what came before has spent it.

    Args:
        context: says what a token costs.
        flops: operations until the end of each step, what came before included.
    """
    axes, pool = context.grid.axes, context.pool
    tokens = round(pool.mean_tokens * axes.objectives[0].batch_size * axes.steps)
    scored = round(tokens * sum(map(len, pool.rows.completions)) / sum(pool.rows.lengths))
    budget = axes.flops * context.weights.flops(tokens, scored, BOTH)
    return max(step for step, total in enumerate(flops) if step == 0 or total <= budget)


def _steps(path: Path) -> dict[str, list[float | None]]:
    """What is kept of every step; nothing where training ended before its first."""
    lines = read_metrics(path)
    return {name: [line.get(name) for line in lines] for name in STABILITY if any(name in line for line in lines)}


def _known(figures: SplitFigures | None) -> SplitFigures:
    assert figures is not None, "every run's start and end is measured on validation"
    return figures
