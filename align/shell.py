"""The packed training step, on the shell of `transformers.Trainer`: one dataset item is one whole optimizer batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from align.checkpoints import Signals, prune, seal
from align.finite import Guard
from align.journal import Counts, Journal
from align.pack import Pack, lay, lay_after
from align.phase import Phase
from align.plan import Plan, passes
from align.reference import Reference, mismatches
from align.rows import Rows
from align.score import log_probs
from curate.errors import UserError

# |log-ratio| of one row before the first update, nats: only the order of additions differs between packs
START = {torch.float64: 1e-8, torch.float32: 1e-2}
START_COARSE = 2.0  # for 16-bit compute


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


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Overrides the step and what feeds it; checkpoints, schedules, wrapping and callbacks stay Trainer's."""

    def __init__(
        self,
        *,
        model: Any,  # noqa: ANN401 - a transformers model
        arguments: TrainingArguments,
        rows: Rows,
        plan: Plan,
        phase: Phase,
        key: str,
        signals: Signals,
        log: Callable[[dict[str, float]], None] | None,
    ) -> None:
        """Set the shell up; `reference`, `journal` and `tick` are given before `train`."""
        super().__init__(model=model, args=arguments, train_dataset=Steps(len(plan.batches)))
        self.rows, self.plan, self.phase = rows, plan, phase
        self.reference: Reference | None = None
        self.journal: Journal
        self.guard = Guard(phase.name)
        self.report = log
        self.tick: Callable[[int], None]
        self.log_ratio_at_start: float | None = None
        self._weights: int = sum(parameter.numel() for parameter in model.parameters())
        self._sums: Tensor
        self.remove_callback(PrinterCallback)
        self.add_callback(_Keeper(self, key, signals))

    def get_train_dataloader(self) -> DataLoader[dict[str, int]]:
        """Plain, not prepared by accelerate: the plan knows ranks already."""
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=_only)

    def floating_point_ops(self, inputs: dict[str, int]) -> int:
        """6 per weight and trained token, the usual estimate; z and reference passes are overhead, not work."""
        batch = self.plan.batches[inputs["step"]]
        tokens = sum(self.rows.lengths[row] for row in batch.rows)
        return 6 * self._weights * tokens

    def training_step(self, model: nn.Module, inputs: dict[str, int], num_items_in_batch: object = None) -> Tensor:
        """Measure z over the whole optimizer batch, and add up the gradient pass by pass.

        Several passes measure z first, in full, so that their number changes nothing. A single one runs forward, measures z
        behind the prompts it has just computed, and goes back: a third fewer tokens than two forward passes.

        Returns:
            The loss, divided as the objective says; a detached scalar.
        """
        model.eval()  # dropout stays off: the policy is compared with a reference that has none
        step = inputs["step"]
        batch, objective = self.plan.batches[step], self.phase.objective
        size = 2 if objective.per == "pair" else 1
        units = [tuple(range(start, start + size)) for start in range(0, len(batch.rows), size)]
        lengths = [sum(self.rows.lengths[batch.rows[place]] for place in unit) for unit in units]
        mine = self._mine(units, lengths)
        divisor = self._divisor(batch.rows, len(units))
        drift, after = None, "kl" in objective.reads and len(mine) == 1
        if "kl" in objective.reads and not after:
            drift = self._mean(step, torch.stack([self._drift(model, step, _places(part)) for part in mine]).sum(0))
        sums, largest = [], []
        for index, part in enumerate(mine):
            last = index == len(mine) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                members = [batch.rows[place] for place in _places(part)]
                pack = lay(
                    [(self.rows.prompts[row], self.rows.completions[row]) for row in members], self.args.device, keep=after
                )
                log_prob = log_probs(model, pack)
                if after:
                    drift = self._mean(step, self._drift(model, step, _places(part), pack))
                loss, metrics, reward = self._graded(log_prob, members, None if drift is None else self._kl(drift, _places(part)))
                self.accelerator.backward(loss * self.accelerator.num_processes / divisor)  # ranks' gradients are averaged
            largest.append(reward)
            sums.append(torch.cat([(loss.detach() / divisor)[None].to(metrics.dtype), metrics]))
        total = torch.stack(sums).sum(0)
        total = self.accelerator.reduce(total, "sum") if self.accelerator.num_processes > 1 else total
        places = range(len(batch.rows))
        measured = [total[0] * 0] * 2 if drift is None else [drift[0].sum(), self._kl(drift, places).clamp(min=0).mean()]
        self._sums = torch.cat([total, torch.stack(measured).to(total.dtype)])
        self._step = step
        if step == 0 and self.reference is not None:
            self._check_start(torch.stack(largest).max())
        return total[0]

    def _mine(self, units: Sequence[tuple[int, ...]], lengths: Sequence[int]) -> list[list[tuple[int, ...]]]:
        """This process's passes."""
        split = passes(units, lengths, self.phase.token_budget, self.accelerator.num_processes)
        return split[self.accelerator.process_index]

    def _divisor(self, members: Sequence[int], units: int) -> int:
        """What the sum of losses is divided by: tokens, rows or pairs of the whole optimizer batch."""
        if self.phase.objective.per == "token":
            return sum(len(self.rows.completions[row]) for row in members)
        return units

    def _graded(self, log_prob: Tensor, members: Sequence[int], kl: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The summed loss of a pass, its rewards and log-probabilities summed by class, its largest |log-ratio|; (), (4,), ()."""
        device = self.args.device
        desirable = torch.tensor([self.rows.desirable[row] for row in members]).to(device, non_blocking=True)
        given = {"log_prob": log_prob, "desirable": desirable}
        if self.reference is not None:
            given["log_ratio"] = log_prob - self.reference.matched[torch.tensor(members)].to(device, non_blocking=True)
        if kl is not None:
            given["kl"] = kl
        objective = self.phase.objective
        if any(name.endswith("_tokens") for name in objective.reads):
            given["tokens"] = torch.tensor([len(self.rows.completions[row]) for row in members]).to(device, non_blocking=True)
        if "safety" in objective.needs and self.rows.unsafe is not None:
            given["unsafe"] = torch.tensor([self.rows.unsafe[row] for row in members]).to(device, non_blocking=True)
        if objective.per == "pair":
            for offset, side in enumerate(("chosen", "rejected")):
                given |= {f"{side}_{name}": value[offset::2] for name, value in tuple(given.items()) if value.dim()}
        loss: Tensor = objective(*(given[name] for name in objective.reads)).sum()
        with torch.no_grad():
            zero = torch.zeros_like(log_prob)
            ratio = given.get("log_ratio", zero).detach()
            reward = ratio * getattr(objective, "beta", 1.0)
            by_class = [torch.where(side, x, zero).sum() for x in (reward, log_prob) for side in (desirable, ~desirable)]
        return loss, torch.stack(by_class), ratio.abs().max()

    @torch.no_grad()
    def _drift(self, model: nn.Module, step: int, places: Sequence[int], earlier: Pack | None = None) -> Tensor:
        """Sums of the mismatched log-ratios of some of a batch's prompts, nats, one per run of rows with a z; shape (runs,).

        Args:
            model: the policy.
            step: which batch.
            places: the prompts' places in it.
            earlier: a pass over the same places that kept their prompts' keys and values.
        """
        assert self.reference is not None
        segments, reference = mismatches(self.rows, self.plan, step), self.reference.mismatched[step]
        chosen = [place for place in places if place in segments]
        if not chosen:
            return torch.zeros(self._runs(step), dtype=reference.dtype, device=self.args.device)
        wanted = [segments[place] for place in chosen]
        whose = [index for index, place in enumerate(places) if place in segments]
        pack = lay(wanted, self.args.device) if earlier is None else lay_after(earlier, wanted, whose)
        before = reference[torch.tensor(chosen)].to(self.args.device, non_blocking=True)
        ratios = log_probs(model, pack) - before
        return ratios.new_zeros(self._runs(step)).index_add(0, self._run(chosen), ratios)

    def _mean(self, step: int, total: Tensor) -> tuple[Tensor, Tensor]:
        """Sums and means of a batch's mismatched log-ratios over all processes, shape (runs,); 0 where there are none."""
        if self.accelerator.num_processes > 1:
            total = self.accelerator.reduce(total, "sum")
        partners = self.plan.batches[step].partners
        size = len(partners) if self.phase.kl_scope == "batch" else self.phase.kl_scope.micro
        counts = [sum(other != -1 for other in partners[start : start + size]) for start in range(0, len(partners), size)]
        return total, total / torch.tensor(counts, dtype=total.dtype).clamp(min=1).to(total.device, non_blocking=True)

    def _kl(self, drift: tuple[Tensor, Tensor], places: Sequence[int]) -> Tensor:
        """What each row is shown as its z_raw: a scalar, or one per row where runs of rows have their own."""
        return drift[1][0] if self.phase.kl_scope == "batch" else drift[1][self._run(places)]

    def _runs(self, step: int) -> int:
        return 1 if self.phase.kl_scope == "batch" else -(-len(self.plan.batches[step].rows) // self.phase.kl_scope.micro)

    def _run(self, places: Sequence[int]) -> Tensor:
        """The run of each place."""
        size = None if self.phase.kl_scope == "batch" else self.phase.kl_scope.micro
        return torch.tensor([place // size if size else 0 for place in places]).to(self.args.device, non_blocking=True)

    def _check_start(self, largest: Tensor) -> None:
        """Before the first update the policy is its reference."""
        self.log_ratio_at_start = float(largest)
        weights = next(self.model.parameters()).dtype
        if self.log_ratio_at_start > START.get(weights, START_COARSE):  # NaN is the guard's to name
            raise UserError(
                f"phase {self.phase.name}: before the first update a log-ratio is {self.log_ratio_at_start:.2g} nats, not 0;"
                " the model does not compute the same twice (randomness in its layers?)"
            )

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip, and look at the step before the optimizer takes it."""
        norm: Tensor = super()._clip_grad_norm(model)
        sums = torch.cat([self._sums, norm.detach().to(self._sums.dtype).reshape(1)])
        self.guard.watch(self._step + 1, sums, self.model)
        self.journal.add(self._counts(self._step), sums)
        return norm

    def _counts(self, step: int) -> Counts:
        batch, rows = self.plan.batches[step], self.rows
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
            kl_count=sum(partner != -1 for partner in batch.partners) if "kl" in self.phase.objective.reads else None,
            reference=self.reference is not None,
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write the journal, and pass its newest line to whoever listens."""
        if "loss" in logs:
            line = self.journal.drain()
            if self.report is not None:
                self.report(line)
            logs = logs | line
        super().log(logs, start_time)


class _Keeper(TrainerCallback):  # type: ignore[misc]
    """Decides when to save and stop, and seals what was saved."""

    def __init__(self, trainer: PackedTrainer, key: str, signals: Signals) -> None:
        self._trainer, self._key, self._signals = trainer, key, signals

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """After the optimizer: save where asked to or told to stop; the last step's weights are written by `train`."""
        self._trainer.tick(1)
        last = state.global_step >= state.max_steps
        if self._signals.received is not None:
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


def _places(units: Sequence[tuple[int, ...]]) -> list[int]:
    return [place for unit in units for place in unit]


def _only(items: list[dict[str, int]]) -> dict[str, int]:
    return items[0]
