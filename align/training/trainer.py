"""Train a model through one phase, on the shell of `transformers.Trainer`."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from align.data.run_folder import WEIGHTS
from align.processes import ranks
from align.training.checkpoints import (
    Signals,
    discard_newer,
    finish,
    finished,
    held,
    key_of,
    load_weights,
    newest,
    step_of,
)
from align.training.job import TrainingJob, TrainResult
from align.training.plan import Plan, make_plan
from curate.core.config import plain
from curate.core.errors import NonFiniteError, StorageError
from curate.core.progress import Progress, quiet
from curate.core.store import storage_error

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from align.training.step import Preparation

SMALL = 20_000_000  # parameters; below, more than one thread costs more in waiting than it gives


def train(job: TrainingJob) -> TrainResult:
    """Train the job's model in place; the same call again resumes it, or, once it is done, loads its weights.

    Rows are packed, or, where that is not exact for the model, padded. The reference of an objective that has one is the
    model as it is handed over; its log-probabilities are computed before the first step and kept in the job's cache, and no
    second model is held. Dropout is off. The longest pass is tried out first; where it does not fit into memory, passes are
    halved. On a CPU the result depends on the job alone: a run that was interrupted anywhere and resumed ends in the same bits.
    (A log-probability that another run left in the cache may differ in its last bits from the one that would be computed.)

    Writes to the job's folder: `metrics.jsonl` (one line per optimizer step: step, loss, lr, grad_norm, rows, tokens, rows/s,
    tokens/s, logps/chosen and logps/rejected (per token, desirable and undesirable rows), and, where the objective has a
    reference, rewards/chosen, rewards/rejected, rewards/margins (nats times beta), kl, kl_raw, kl_count), `checkpoint-<step>/`
    while it runs, and at the end `model.safetensors`, `config.json` and the receipt `done.json`.

    Args:
        job: what to train, on what and how.

    Returns:
        Figures of the finished phase.

    Raises:
        DataError: no row that the objective can use.
        UserError: the model is exact neither packed nor padded, or a single row does not fit into memory.
        NonFiniteError: NaN or infinity in the weights, log-probabilities, loss or gradient; the last good checkpoint is kept.
        Interrupted: SIGINT or SIGTERM came and a checkpoint was saved; the same call goes on from there (exit code 130 or 143).
        StorageError: the folder holds another phase's work, or cannot be written.
    """
    started = time.perf_counter()
    plan = make_plan(job.rows, job.phase, job.seed)
    job.folder.mkdir(parents=True, exist_ok=True)
    with _threads(job.model, job.threads), quiet(), _full_disk_named(job.folder), held() as signals:
        return _train(job, plan, signals, started)


def _train(job: TrainingJob, plan: Plan, signals: Signals, started: float) -> TrainResult:
    from align.models.base import tensor_hashes
    from align.processes import sharding
    from align.training.journal import Journal
    from align.training.shell import PackedTrainer, training_arguments

    name, folder, steps = job.phase.name, job.folder, len(plan.batches)
    hashes = tensor_hashes(job.model)
    key = key_of(plain(job.phase), job.seed, job.rows.fingerprint, sorted(hashes.items()))

    result = TrainResult({}, steps, plan.rows, plan.left_out, 0.0, steps, folder / WEIGHTS)
    receipt = ranks.on_main(lambda: finished(folder, key))
    if receipt is not None:
        load_weights(job.model, folder)
        return dataclasses.replace(result, metrics=receipt, seconds=time.perf_counter() - started)
    checkpoint, damaged = ranks.on_main(lambda: newest(folder, key))
    first = step_of(checkpoint) if checkpoint else 0
    ranks.on_main(lambda: discard_newer(folder, first))

    sharded, device = sharding.asked(), next(job.model.parameters()).device
    ours = dataclasses.replace(job, model=sharding.lend(job.model)) if sharded else job
    arguments = training_arguments(ours, steps)
    if not sharded:
        ours.model.to(arguments.device)  # as Trainer would, for the reference is computed before there is one
    preparation = _prepare(ours, plan, hashes, signals)
    journal = Journal(folder / "metrics.jsonl" if ranks.is_main() else None, first)
    with Progress(name, steps, "steps") as bar, preparation.layout.attended(ours.model):
        bar.add(first)
        trainer = PackedTrainer(ours, arguments, preparation, journal, key=key, signals=signals, on_step=bar.add)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except NonFiniteError:
            journal.drain()  # the steps that led there
            raise
    reached = trainer.state.global_step
    if reached < steps:
        raise signals.stop(f"phase {name}: stopped after step {reached:,} of {steps:,}, checkpoint saved")
    metrics = ranks.on_main(journal.summary)
    state = sharding.full_state(ours.model)
    ranks.on_main(lambda: finish(ours.model, folder, key, metrics, state))
    if sharded:
        sharding.give_back(job.model, folder / WEIGHTS, device)
    if ranks.any_of(signals.received is not None):
        raise signals.stop(f"phase {name}: finished, weights saved")
    return dataclasses.replace(
        result,
        metrics=metrics,
        seconds=time.perf_counter() - started,
        resumed_from=first,
        damaged=tuple(damaged),
        notes=(*preparation.notes, *trainer.notes),
    )


def _prepare(job: TrainingJob, plan: Plan, hashes: Mapping[str, str], signals: Signals) -> Preparation:
    """Find out how rows are laid for the model, and take or compute the reference's log-probabilities.

    Args:
        job: its model lies on the device where it will train.
        plan: which rows meet when.
        hashes: of the model's tensors.
        signals: asked after each pass.

    Raises:
        Interrupted: a signal came.
    """
    from align.training.packing.layout import layout_for
    from align.training.reference import reference_for, reference_name
    from align.training.step import Preparation

    def count(passed: int) -> None:
        progress.add(passed)
        if signals.received is not None:
            raise signals.stop(f"phase {job.phase.name}: stopped before step 1")

    with Progress(f"{job.phase.name}: reference", None) as progress:
        layout = layout_for(job.model, max(job.rows.lengths[row] for batch in plan.batches for row in batch.rows))
        if "reference" not in job.phase.objective.needs:
            return Preparation(plan, layout)
        cache, name = job.cache or job.folder / "reference", reference_name(job.model, hashes)
        reference = reference_for(job.model, job.rows, plan, cache, job.phase.token_budget, count, layout, name)
        return Preparation(plan, layout, reference)


@contextlib.contextmanager
def _full_disk_named(folder: Path) -> Iterator[None]:
    """Say of a disk that takes no more that it is the disk, whoever notices.

    Raises:
        StorageError: in place of what torch, safetensors or the system say.
    """
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise storage_error(error, folder) from error
    except (RuntimeError, SafetensorError) as error:
        if "writing file" not in str(error) and "I/O error" not in str(error):
            raise
        raise StorageError(
            f"{folder}: a checkpoint cannot be written ({error})", hint="free some space and run it again"
        ) from error


@contextlib.contextmanager
def _threads(model: PreTrainedModel, threads: int | None) -> Iterator[None]:
    """Set torch's threads for a while."""
    import torch

    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL
    torch.set_num_threads(threads or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
