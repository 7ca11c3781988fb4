"""Train one cell up to the step cap, keeping the weights of the steps that are measured."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align.ablation.cells.context import GridContext
from align.ablation.pool import Mixture
from align.ablation.tasks import Task
from align.data.rows import Rows
from align.models.base import trainable
from align.objectives.phase import Phase
from align.training.plan import Plan, make_plan
from curate.core.errors import NonFiniteError
from curate.core.schema import canonical, digest
from curate.core.store import write_bytes, write_json

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Lesson:
    """What a cell trains on, and how.

    Attributes:
        phase: the objective and its optimiser.
        mixture: the labelled completions that were drawn.
        rows: those as the objective takes them.
        plan: the order of the rows.
    """

    phase: Phase
    mixture: Mixture
    rows: Rows
    plan: Plan


def make_lesson(context: GridContext, task: Task) -> Lesson:
    """Draw a task's rows and plan their order.

    Raises:
        DataError: there are not so many rows.
    """
    phase = context.grid.phase(task.method, task.rate)
    mixture = context.pool.mixture(phase.objective, task.seed, task.size, context.grid.axes.benign)
    rows = context.pool.rows_for(phase.objective, mixture)
    return Lesson(phase, mixture, rows, make_plan(rows, phase, task.seed))


def train_cell(context: GridContext, folder: Path, task: Task, lesson: Lesson, steps: set[int]) -> str | None:
    """Train up to the cap and keep the weights at `steps`; an interrupted call is gone on with.

    Returns:
        Why training ended early; None where it did not.
    """
    from safetensors.torch import load_file, save

    from align.training.job import TrainingJob
    from align.training.trainer import train

    if (folder / "trained.json").is_file():
        reason: str | None = json.loads((folder / "trained.json").read_bytes())
        return reason
    context.put(context.start if task.parent is None else load_file(context.cell(task.parent) / "model.safetensors"))

    def keep(line: Mapping[str, float]) -> None:
        step = int(line["step"])
        if step in steps:
            write_bytes(_snapshot(folder, step), save(trainable(context.loaded.model)))

    diverged = None
    try:
        job = TrainingJob(
            context.loaded.model, lesson.rows, lesson.phase, folder / "train", task.seed,
            log=keep, threads=context.grid.recipe.threads, log_every=math.gcd(*steps) if steps else 1,
            cache=_reference(context, lesson),
        )  # fmt: skip
        train(job)
    except NonFiniteError as error:  # a rate that is too high is a finding, not a failure
        diverged = str(error)
    write_json(folder / "trained.json", diverged)
    return diverged


def snapshots(folder: Path) -> list[int]:
    """Steps whose weights are kept, ascending."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("step-*.safetensors"))


def read_snapshot(folder: Path, step: int) -> dict[str, Tensor]:
    """The weights of a step."""
    from safetensors.torch import load_file

    return load_file(_snapshot(folder, step))


def discard_weights(context: GridContext, folder: Path, keep: int | None) -> None:
    """Take away the weights that nobody starts from, and what training needed to resume.

    Args:
        context: holds the base's weights.
        folder: the cell's.
        keep: step whose weights other cells start from, which become `model.safetensors`; None where none does.
    """
    from safetensors.torch import save

    if keep:
        os.replace(_snapshot(folder, keep), folder / "model.safetensors")
    elif keep == 0:
        write_bytes(folder / "model.safetensors", save(context.start))
    for step in snapshots(folder):
        _snapshot(folder, step).unlink()
    shutil.rmtree(folder / "train", ignore_errors=True)


def _snapshot(folder: Path, step: int) -> Path:
    return folder / f"step-{step}.safetensors"


def _reference(context: GridContext, lesson: Lesson) -> Path:
    """Where runs of one plan share the reference's log-probabilities: trials at several rates, objectives of like needs.

    Runs of other plans lay rows in other passes, and their sums differ in the last bits: were those shared, a report
    would depend on which run came first.
    """
    batches = [[batch.rows, batch.partners] for batch in lesson.plan.batches]
    name = digest(context.fixed, canonical(batches), canonical(lesson.rows.ids), str(lesson.phase.token_budget))
    return context.folder / "reference" / name
