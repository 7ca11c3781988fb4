"""The packed training step, on the shell of `transformers.Trainer`: one dataset item is one whole optimizer batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from align.processes import ranks
from align.processes.sharding import whole
from align.training.checkpoints import Signals, prune, seal
from align.training.finite import Guard
from align.training.job import TrainingJob
from align.training.journal import Counts, Journal
from align.training.step import Preparation, Step
from curate.core.errors import UserError

if TYPE_CHECKING:
    from torch.nn.modules.module import _IncompatibleKeys

# |log-ratio| of one row before the first update, nats: only the order of additions differs between packs
START = {torch.float64: 1e-8, torch.float32: 1e-2}
START_COARSE = 2.0  # for 16-bit compute
ADAM_BETAS = (0.9, 0.999)  # decay of AdamW's two moments: PyTorch's defaults
WEIGHT_DECAY = 0.0  # AdamW's: transformers' default


class Steps(Dataset[dict[str, int]]):
    """The numbers of the steps: what a step trains on is in the plan."""

    def __init__(self, steps: int) -> None:
        """Count from 0."""
        self._steps = steps

    def __len__(self) -> int:
        """Optimizer steps of the phase."""
        return self._steps

    def __getitem__(self, step: int) -> dict[str, int]:
        """One optimizer batch."""
        return {"step": step}


def training_arguments(job: TrainingJob, steps: int) -> TrainingArguments:
    """What a `Trainer` is told, with every argument that decides something spelt out."""
    phase = job.phase
    return TrainingArguments(
        output_dir=str(job.folder),
        use_cpu=not torch.cuda.is_available(),
        per_device_train_batch_size=1,  # one item of the dataset is one optimizer batch
        gradient_accumulation_steps=1,
        num_train_epochs=1,  # the dataset spans the phase
        learning_rate=phase.learning_rate,
        lr_scheduler_type=phase.scheduler if phase.scheduler != "constant" else "constant_with_warmup",
        warmup_steps=math.ceil(phase.warmup_share * steps),
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=phase.max_grad_norm,
        adam_beta1=ADAM_BETAS[0],
        adam_beta2=ADAM_BETAS[1],
        optim="adamw_torch",
        bf16=False,
        logging_strategy="steps",
        logging_steps=job.log_every,
        logging_nan_inf_filter=False,  # NaN is shown, not logged as 0.0
        save_strategy="steps",
        save_steps=phase.save_steps,
        save_total_limit=None,  # older checkpoints go only once the new one is sealed
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        seed=job.seed,
        remove_unused_columns=False,
        report_to=job.trackers.report_to,
        run_name=job.trackers.name,
    )


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Overrides the step and what feeds it; checkpoints, schedules, wrapping and callbacks stay Trainer's.

    Args:
        job: the phase; its model is on the device where it will train.
        arguments: as `training_arguments` makes them from the job.
        preparation: what was worked out before the first step.
        journal: takes each step's sums.
        key: names the work in its checkpoints.
        signals: asked after each step whether to save and stop.
        on_step: called with 1 after each step.

    Attributes:
        step: what is done in one.
        notes: what was done otherwise than asked, a line each.
    """

    def __init__(
        self,
        job: TrainingJob,
        arguments: TrainingArguments,
        preparation: Preparation,
        journal: Journal,
        *,
        key: str,
        signals: Signals,
        on_step: Callable[[int], None],
    ) -> None:
        steps = Steps(len(preparation.plan.batches))
        super().__init__(model=job.model, args=arguments, train_dataset=steps, callbacks=job.trackers.callbacks(job.folder))
        self.job, self.plan = job, preparation.plan
        self.step = Step(self.accelerator, job.rows, job.phase, preparation)
        self.journal, self.guard = journal, Guard(job.phase.name)
        self.log_ratio_at_start: float | None = None
        self.notes: list[str] = []
        self._weights: int = sum(parameter.numel() for parameter in job.model.parameters())
        self._step: int
        self._sums: Tensor
        self.remove_callback(PrinterCallback)
        self.add_callback(_Keeper(self, key, signals, on_step))

    def get_train_dataloader(self) -> DataLoader[dict[str, int]]:
        """Plain, not prepared by accelerate: the plan knows ranks already."""
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=_only)

    def floating_point_ops(self, inputs: dict[str, int]) -> int:
        """6 per weight and trained token, the usual estimate; z and reference passes are overhead, not work."""
        batch = self.plan.batches[inputs["step"]]
        tokens = sum(self.job.rows.lengths[row] for row in batch.rows)
        return 6 * self._weights * tokens

    def training_step(self, model: nn.Module, inputs: dict[str, int], num_items_in_batch: object = None) -> Tensor:
        """Measure z over the whole optimizer batch, and add up the gradient pass by pass.

        Returns:
            The loss, divided as the objective says; a detached scalar.
        """
        step = inputs["step"]
        self._sums, largest = self.step.accumulate(model, step)
        self._step = step
        if step == 0 and self.step.reference is not None:
            self._check_start(largest)
        return self._sums[0]

    def _check_start(self, largest: Tensor) -> None:
        """Before the first update the policy is its reference."""
        self.log_ratio_at_start = float(largest)
        weights = next(self.model.parameters()).dtype
        if self.log_ratio_at_start > START.get(weights, START_COARSE):  # NaN is the guard's to name
            raise UserError(
                f"phase {self.job.phase.name}: before the first update a log-ratio is {self.log_ratio_at_start:.2g} nats, not 0:"
                " the model does not compute the same twice",
                hint="look for randomness in its layers, or train another model",
            )

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip, and look at the step before the optimizer takes it."""
        norm = whole(super()._clip_grad_norm(model))
        sums = torch.cat([self._sums, norm.detach().to(self._sums.dtype).reshape(1)])
        self.guard.watch(self._step + 1, sums, self.model)
        self.journal.add(self._counts(self._step), sums)
        return norm

    def _counts(self, step: int) -> Counts:
        batch, rows = self.plan.batches[step], self.job.rows
        chosen = [row for row in batch.rows if rows.desirable[row]]
        rejected = [row for row in batch.rows if not rows.desirable[row]]
        return Counts(
            step=step + 1,
            lr=self.lr_scheduler.get_last_lr()[0],
            rows=len(batch.rows),
            tokens=sum(rows.lengths[row] for row in batch.rows),
            chosen_rows=len(chosen),
            rejected_rows=len(rejected),
            chosen_tokens=sum(len(rows.completions[row]) for row in chosen),
            rejected_tokens=sum(len(rows.completions[row]) for row in rejected),
            kl_count=sum(partner != -1 for partner in batch.partners) if "kl" in self.job.phase.objective.reads else None,
            reference=self.step.reference is not None,
            log_ratio_at_start=self.log_ratio_at_start if step == 0 else None,
        )

    def _issue_warnings_after_load(self, load_result: _IncompatibleKeys) -> None:
        """As Trainer does, but a weight that shares its memory with one that was read is not missing."""
        state = self.model.state_dict()
        read = {value.data_ptr() for name, value in state.items() if name not in load_result.missing_keys}
        missing = [name for name in load_result.missing_keys if name not in state or state[name].data_ptr() not in read]
        super()._issue_warnings_after_load(load_result._replace(missing_keys=missing))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write the journal, and pass its newest line to whoever listens."""
        if "loss" in logs:
            line = self.journal.drain()
            if self.job.log is not None:
                self.job.log(line)
            logs = logs | line
        super().log(logs, start_time)


class _Keeper(TrainerCallback):  # type: ignore[misc]
    """Decides when to save and stop, and seals what was saved."""

    def __init__(self, trainer: PackedTrainer, key: str, signals: Signals, on_step: Callable[[int], None]) -> None:
        self._trainer, self._key, self._signals, self._on_step = trainer, key, signals, on_step

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Memory is tried out before the first step, with the model as it will be trained: wrapped, on its device."""
        self._trainer.notes += self._trainer.step.rehearse(self._trainer.model_wrapped)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """After the optimizer: save where asked to or told to stop; the last step's weights are written by `train`."""
        self._on_step(1)
        last = state.global_step >= state.max_steps
        if ranks.any_of(self._signals.received is not None):
            control.should_save = control.should_training_stop = True
        control.should_save = control.should_save and not last
        control.should_log = control.should_log or control.should_save or last
        if control.should_save or last:
            self._trainer.guard.weights(state.global_step, self._trainer.model)
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """The manifest comes last, and only then do older checkpoints go."""
        self._trainer.accelerator.wait_for_everyone()
        if args.should_save:
            out = Path(args.output_dir)
            seal(out / f"checkpoint-{state.global_step}", state.global_step, self._key)
            prune(out)
        self._trainer.accelerator.wait_for_everyone()


def _only(items: list[dict[str, int]]) -> dict[str, int]:
    return items[0]
