"""Train a model through one phase, on the shell of `transformers.Trainer`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align.data.rows import Rows
from align.data.run_folder import WEIGHTS
from align.objectives.phase import Phase
from align.processes import ranks
from align.training.checkpoints import Signals, discard_newer, finish, finished, held, key_of, load_weights, newest
from align.training.plan import Plan, make_plan
from align.training.trackers import NO_TRACKERS, Trackers
from curate.core.config import plain
from curate.core.errors import NonFiniteError, StorageError
from curate.core.progress import Progress, quiet
from curate.core.store import storage_error

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from align.training.shell import PackedTrainer

SMALL = 20_000_000  # parameters; below, more than one thread costs more in waiting than it gives


@dataclass(frozen=True)
class TrainResult:
    """What a finished phase leaves behind.

    Attributes:
        metrics: means over the last tenth of the steps, by the names of metrics.jsonl (loss, kl, rewards/margins, ...);
            `kl_positive_share`: share of all steps with z > 0 (absent where the objective has no z);
            `log_ratio_at_start`: largest |log-ratio| of the first batch before any update, nats (absent without a reference).
        steps: optimizer steps of the phase.
        rows: usable rows, each seen once an epoch.
        left_out: rows the objective cannot use or that are longer than `max_length`, by reason.
        seconds: wall-clock time of this call.
        resumed_from: step of the checkpoint that this call went on from; 0 for a fresh start; `steps` when it was done already.
        model: path of the trained weights, `out/model.safetensors`.
        damaged: checkpoints that were passed over, and what was wrong with each.
        notes: what was done otherwise than asked, a line each: rows padded, a smaller token budget.
    """

    metrics: dict[str, float]
    steps: int
    rows: int
    left_out: dict[str, int]
    seconds: float
    resumed_from: int
    model: Path
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def train(
    model: PreTrainedModel,
    rows: Rows,
    phase: Phase,
    out: Path,
    seed: int,
    log: Callable[[dict[str, float]], None] | None = None,
    *,
    threads: int | None = None,
    log_every: int = 10,
    cache: Path | None = None,
    trackers: Trackers = NO_TRACKERS,
) -> TrainResult:
    """Train `model` in place through one phase; the same call again resumes it, or, once it is done, loads its weights.

    Rows are packed, or, where that is not exact for the model, padded. The reference of an objective that has one is the
    model as it is handed over; its log-probabilities are computed before the first step and kept in `cache`, and no second
    model is held. Dropout is off. The longest pass is tried out first; where it does not fit into memory, passes are halved.
    On a CPU the result depends on the arguments alone: a run that was interrupted anywhere and resumed ends in the same bits.
    (A log-probability that another run left in the cache may differ in its last bits from the one that would be computed.)

    Writes to `out`: `metrics.jsonl` (one line per optimizer step: step, loss, lr, grad_norm, rows, tokens, rows/s, tokens/s,
    logps/chosen and logps/rejected (per token, desirable and undesirable rows), and, where the objective has a reference,
    rewards/chosen, rewards/rejected, rewards/margins (nats times beta), kl, kl_raw, kl_count), `checkpoint-<step>/` while it
    runs, and at the end `model.safetensors`, `config.json` and the receipt `done.json`.

    Args:
        model: a causal language model; fp32 on a CPU. Trained in place.
        rows: what to train on; the phase takes the rows that its objective can use.
        phase: the objective and how it is optimised.
        out: this phase's own folder; made when absent.
        seed: decides the order of rows and the KL partners; with `rows` and `phase`, all there is to decide.
        log: called with a step's metrics once every `log_every` steps and after the last one.
        threads: CPU threads for torch; by default one for models under 20 M parameters (more only wait for each other), else
            torch's own choice. Changing it may change the last bits of the result.
        log_every: optimizer steps between two calls of `log`.
        cache: folder where runs share the reference's log-probabilities; by default one in `out`.
        trackers: where what `log` hears goes too.

    Returns:
        Figures of the finished phase.

    Raises:
        DataError: no row that the objective can use.
        UserError: the model is exact neither packed nor padded, or a single row does not fit into memory.
        NonFiniteError: NaN or infinity in the weights, log-probabilities, loss or gradient; the last good checkpoint is kept.
        Interrupted: SIGINT or SIGTERM came and a checkpoint was saved; the same call goes on from there (exit code 130 or 143).
        StorageError: `out` holds another phase's work, or cannot be written.
    """
    from safetensors import SafetensorError

    started = time.perf_counter()
    plan = make_plan(rows, phase, seed)
    out.mkdir(parents=True, exist_ok=True)
    with _threads(model, threads), quiet(), held() as signals:
        try:
            store = cache or out / "reference"
            return _train(model, rows, phase, plan, out, seed, log, log_every, store, signals, started, trackers)
        except OSError as error:
            raise storage_error(error, out) from error
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors report a disk that takes no more
            if "writing file" not in str(error) and "I/O error" not in str(error):
                raise
            raise StorageError(
                f"{out}: a checkpoint cannot be written ({error})", hint="free some space and run it again"
            ) from error


def _train(
    model: PreTrainedModel,
    rows: Rows,
    phase: Phase,
    plan: Plan,
    out: Path,
    seed: int,
    log: Callable[[dict[str, float]], None] | None,
    log_every: int,
    cache: Path,
    signals: Signals,
    started: float,
    trackers: Trackers,
) -> TrainResult:
    from align.models.base import tensor_hashes
    from align.processes import sharding
    from align.training.journal import Journal
    from align.training.packing.layout import layout_for
    from align.training.reference import reference_for, reference_name

    steps = len(plan.batches)
    hashes = tensor_hashes(model)
    key = key_of(plain(phase), seed, rows.fingerprint, sorted(hashes.items()))
    done = ranks.on_main(lambda: finished(out, key))
    if done is not None:
        load_weights(model, out)
        return TrainResult(done, steps, plan.rows, plan.left_out, time.perf_counter() - started, steps, out / WEIGHTS, ())
    resumed, damaged = ranks.on_main(lambda: newest(out, key))
    first = int(resumed.name.rpartition("-")[2]) if resumed else 0
    ranks.on_main(lambda: discard_newer(out, first))

    def stop_if_told(units: int) -> None:
        progress.add(units)
        if signals.received is not None:
            raise signals.stop(f"phase {phase.name}: stopped before step 1")

    trained = sharding.lend(model) if sharding.asked() else model
    device = next(trained.parameters()).device
    with Progress(f"{phase.name}: reference", None) as progress:
        trainer = make_shell(trained, rows, plan, phase, out, seed, key, log, log_every, signals, trackers)
        longest = max(rows.lengths[row] for batch in plan.batches for row in batch.rows)
        trainer.step.layout = layout = layout_for(trainer.model, longest)  # on the device it will train on
        if layout.why_padded is not None:
            trainer.notes.append(f"rows are padded, not packed ({layout.why_padded}): slower, the same losses")
        if "reference" in phase.objective.needs:
            name = reference_name(trainer.model, hashes)
            trainer.step.reference = reference_for(
                trainer.model, rows, plan, cache, phase.token_budget, stop_if_told, layout, name
            )
    trainer.journal = Journal(out / "metrics.jsonl" if ranks.is_main() else None, first)
    with Progress(phase.name, steps, "steps") as bar, layout.attended(trainer.model):
        bar.add(first)
        trainer.tick = bar.add
        try:
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except NonFiniteError:
            trainer.journal.drain()  # the steps that led there
            raise
    reached = trainer.state.global_step
    if reached < steps:
        raise signals.stop(f"phase {phase.name}: stopped after step {reached:,} of {steps:,}, checkpoint saved")
    metrics = ranks.on_main(trainer.journal.summary)
    state = sharding.full_state(trained)
    ranks.on_main(lambda: finish(trained, out, key, metrics, state))
    if trained is not model:
        sharding.give_back(model, out / WEIGHTS, device)
    if ranks.any_of(signals.received is not None):
        raise signals.stop(f"phase {phase.name}: finished, weights saved")
    return TrainResult(
        metrics,
        steps,
        plan.rows,
        plan.left_out,
        time.perf_counter() - started,
        first,
        out / WEIGHTS,
        tuple(damaged),
        tuple(trainer.notes),
    )


def make_shell(
    model: PreTrainedModel,
    rows: Rows,
    plan: Plan,
    phase: Phase,
    out: Path,
    seed: int,
    key: str,
    log: Callable[[dict[str, float]], None] | None,
    log_every: int,
    signals: Signals,
    trackers: Trackers = NO_TRACKERS,
) -> PackedTrainer:
    """The trainer, with every argument that decides something spelt out."""
    import torch
    from transformers import TrainingArguments

    from align.training.shell import PackedTrainer

    arguments = TrainingArguments(
        output_dir=str(out),
        use_cpu=not torch.cuda.is_available(),
        per_device_train_batch_size=1,  # one item of the dataset is one optimizer batch
        gradient_accumulation_steps=1,
        num_train_epochs=1,  # the dataset spans the phase
        learning_rate=phase.learning_rate,
        lr_scheduler_type=phase.scheduler if phase.scheduler != "constant" else "constant_with_warmup",
        warmup_steps=math.ceil(phase.warmup_share * len(plan.batches)),
        weight_decay=phase.weight_decay,
        max_grad_norm=phase.max_grad_norm,
        adam_beta1=phase.adam_beta1,
        adam_beta2=phase.adam_beta2,
        optim="adamw_torch",
        bf16=False,
        logging_strategy="steps",
        logging_steps=log_every,
        logging_nan_inf_filter=False,  # NaN is shown, not logged as 0.0
        save_strategy="steps",
        save_steps=phase.save_steps,
        save_total_limit=None,  # older checkpoints go only once the new one is sealed
        ddp_find_unused_parameters=False,
        **trackers.arguments(),
        disable_tqdm=True,
        seed=seed,
        remove_unused_columns=False,
    )
    made = PackedTrainer(model=model, arguments=arguments, rows=rows, plan=plan, phase=phase, key=key, signals=signals, log=log)
    trackers.follow(made, out)
    return made


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
