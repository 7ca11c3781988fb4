"""One optimizer step's gradient: passes over packed or padded rows, z over the whole batch, sums for the journal."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn

from align.data.rows import Rows
from align.objectives.phase import Phase
from align.training.packing.layout import PACKED, Layout
from align.training.packing.pack import Pack, lay_after
from align.training.packing.score import log_probs
from align.training.plan import Plan, passes
from align.training.reference import Reference, mismatches
from curate.core.contracts import own_code
from curate.core.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Preparation:
    """What is worked out before the first step.

    Attributes:
        plan: which rows meet in which step.
        layout: how rows are laid.
        reference: log-probabilities that the objective compares with, where it does.
    """

    plan: Plan
    layout: Layout = PACKED
    reference: Reference | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What will be done otherwise than asked, a line each."""
        why = self.layout.why_padded
        return () if why is None else (f"rows are padded, not packed ({why}): slower, the same losses",)


class Step:
    """What a step trains on and how; `accumulate` is the step.

    Args:
        accelerator: knows device and processes.
        rows: what the plan is about.
        phase: the objective and how it is optimised.
        preparation: plan, layout and reference.

    Attributes:
        budget: most tokens in a pass of one process; the phase's, until `rehearse` finds that less fits.
    """

    def __init__(self, accelerator: Accelerator, rows: Rows, phase: Phase, preparation: Preparation) -> None:
        self.accelerator, self.device = accelerator, accelerator.device
        self.rows, self.phase, self.plan = rows, phase, preparation.plan
        self.layout, self.reference = preparation.layout, preparation.reference
        self.budget = phase.token_budget

    def accumulate(self, model: nn.Module, step: int) -> tuple[Tensor, Tensor]:
        """A step's gradient, its sums without the gradient's norm (see journal.SUMS), and its largest |log-ratio|.

        Several passes measure z first, in full, so that their number changes nothing. A single packed one runs forward,
        measures z behind the prompts it has just computed, and goes back: a third fewer tokens than two forward passes.
        """
        model.eval()  # dropout stays off: the policy is compared with a reference that has none
        batch, objective = self.plan.batches[step], self.phase.objective
        mine = self._split(step)[self.accelerator.process_index]
        divisor = self._divisor(batch.rows)
        drift, after = None, "kl" in objective.reads and len(mine) == 1 and self.layout.packs
        if "kl" in objective.reads and not after:
            drift = self._mean(step, torch.stack([self._drift(model, step, _places(part)) for part in mine]).sum(0))
        sums, largest = [], []
        for index, part in enumerate(mine):
            last = index == len(mine) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                members = [batch.rows[place] for place in _places(part)]
                segments = [(self.rows.prompts[row], self.rows.completions[row]) for row in members]
                laid = self.layout.lay(segments, self.device, keep=after)
                log_prob = log_probs(model, laid)
                if isinstance(laid, Pack) and after:
                    drift = self._mean(step, self._drift(model, step, _places(part), laid))
                loss, metrics, reward = self._graded(log_prob, members, None if drift is None else self._kl(drift, _places(part)))
                self.accelerator.backward(loss * self.accelerator.num_processes / divisor)  # ranks' gradients are averaged
            largest.append(reward)
            sums.append(torch.cat([(loss.detach() / divisor)[None].to(metrics.dtype), metrics]))
        total = torch.stack(sums).sum(0)
        total = self.accelerator.reduce(total, "sum") if self.accelerator.num_processes > 1 else total
        places = range(len(batch.rows))
        measured = [total[0] * 0] * 2 if drift is None else [drift[0].sum(), self._kl(drift, places).clamp(min=0).mean()]
        return torch.cat([total, torch.stack(measured).to(total.dtype)]), torch.stack(largest).max()

    def rehearse(self, model: nn.Module) -> list[str]:
        """Run the batch with the longest pass forward and backward, to no effect; on lack of memory halve the budget.

        Returns:
            What had to be changed, a line each.

        Raises:
            UserError: a pass of a single row does not fit.
        """
        notes: list[str] = []
        while True:
            tokens, units, step = max((*self._longest(step), -step) for step in range(len(self.plan.batches)))
            with self.accelerator.no_sync(model):
                short = self._does_not_fit(model, -step)
            model.zero_grad(set_to_none=True)
            if self.accelerator.num_processes > 1:
                flag = torch.tensor(float(short), device=self.device)
                short = bool(self.accelerator.reduce(flag, "sum"))
            if not short:
                return notes
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if units == 1:
                raise UserError(
                    f"phase {self.phase.name}: a pass of {tokens:,} tokens, a single row or pair, does not fit into memory",
                    hint="lower max_length, train adapters, or use a larger device",
                )
            self.budget = min(self.budget, tokens) // 2
            notes.append(f"{tokens:,} tokens a pass do not fit into memory; going on with at most {self.budget:,}")

    def _does_not_fit(self, model: nn.Module, step: int) -> bool:
        try:
            self.accumulate(model, step)
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not isinstance(error, MemoryError) and not should_reduce_batch_size(error):
                raise
            return True
        return False

    def _longest(self, step: int) -> tuple[int, int]:
        """Tokens and units of a step's longest pass, on whichever process."""
        rows, split = self.plan.batches[step].rows, self._split(step)
        return max((sum(self.rows.lengths[rows[place]] for place in _places(part)), len(part)) for mine in split for part in mine)

    def _split(self, step: int) -> list[list[list[tuple[int, ...]]]]:
        """Every process's passes over a batch, each a list of units of places in it."""
        rows = self.plan.batches[step].rows
        units = self._units(rows, together=True)
        if len(units) < self.accelerator.num_processes and self.phase.objective.per != "pair":
            units = self._units(rows, together=False)
        lengths = [self.rows.lengths[row] for row in rows]
        if not self.layout.packs:
            lengths = [max(lengths)] * len(lengths)  # padding counts
        costs = [sum(lengths[place] for place in unit) for unit in units]
        return passes(units, costs, self.budget, self.accelerator.num_processes)

    def _units(self, rows: Sequence[int], *, together: bool) -> list[tuple[int, ...]]:
        """Places that share a pass: what is graded as a pair, and, where there are passes enough, whatever is one."""
        units: list[tuple[int, ...]] = []
        for place, row in enumerate(rows):
            if together and place and self.rows.pair[row] == rows[place - 1] and len(units[-1]) == 1:
                units[-1] += (place,)
            else:
                units.append((place,))
        return units

    def _divisor(self, members: Sequence[int]) -> int:
        """What the sum of losses is divided by: tokens, rows or pairs of the whole optimizer batch."""
        if self.phase.objective.per == "token":
            return sum(len(self.rows.completions[row]) for row in members)
        return len(members) // (2 if self.phase.objective.per == "pair" else 1)

    def _graded(self, log_prob: Tensor, members: Sequence[int], kl: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The summed loss of a pass, its rewards and log-probabilities summed by class, its largest |log-ratio|; (), (4,), ()."""
        device = self.device
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
        with own_code(self.phase.name):
            losses = objective(*(given[name] for name in objective.reads))
            if losses.numel() != (units := len(members) // (2 if objective.per == "pair" else 1)):
                raise TypeError(f"gave {losses.numel()} losses for {units} {'pairs' if objective.per == 'pair' else 'rows'}")
        loss: Tensor = losses.sum()
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
            return torch.zeros(self._runs(step), dtype=reference.dtype, device=self.device)
        wanted = [segments[place] for place in chosen]
        whose = [index for index, place in enumerate(places) if place in segments]
        laid = self.layout.lay(wanted, self.device) if earlier is None else lay_after(earlier, wanted, whose)
        before = reference[torch.tensor(chosen)].to(self.device, non_blocking=True)
        ratios = log_probs(model, laid) - before
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
        return torch.tensor([place // size if size else 0 for place in places]).to(self.device, non_blocking=True)


def _places(units: Sequence[tuple[int, ...]]) -> list[int]:
    return [place for unit in units for place in unit]
