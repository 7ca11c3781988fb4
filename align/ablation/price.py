"""What a grid will cost, before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from align.ablation.cells.context import GridContext
from align.ablation.grid import Grid
from align.ablation.ledger import Ledger
from align.ablation.pool import Pool, check_sizes, open_pool
from align.ablation.tasks import trials_each, wave
from align.evaluation.suites.heldout import heldout_prompts

MORE_FOR_CELLS = 1.4  # a cell's time over a trial's where no cell is done yet: it is tested too (measured on builtin:tiny)


def price(grid: Grid, runs: Path, workers: int) -> str:
    """An account of the grid: training runs, steps, what is done already, and the CPU time of what is left.

    The time comes from the training runs that this grid's ledger has finished. Where there are none, one training step and one
    batch of sampling are timed on the model without its training.

    Args:
        grid: what is swept.
        runs: folder of run folders.
        workers: processes side by side.

    Raises:
        UserError: what would stop the grid before its first training run.
    """
    folder = runs / grid.recipe.name
    context = GridContext(grid, folder, runs / "cache")
    axes, methods = grid.axes, len(grid.methods)
    pool = open_pool(context.dataset, grid.recipe.model.tokenizer(context.dataset, context.cache), benign=axes.benign > 0)
    check_sizes(grid, pool)
    ledger = Ledger(folder / "ledger.sqlite") if (folder / "ledger.sqlite").is_file() else None
    done, seconds = (ledger.done(), ledger.seconds()) if ledger else ({}, {})
    plan = wave(grid, context.fixed, done)
    trials = Part(methods * trials_each(grid), [seconds[key][0] for key in plan.trials if key in done])
    cells = Part(methods * len(axes.sizes) * len(axes.seeds), [seconds[key][0] for key in plan.cells if key in done])
    sizes = ", ".join(f"{size:,}" for size in axes.sizes)
    lines = [
        f"{grid.recipe.name}: {', '.join(grid.methods)}",
        f"{methods} methods x {len(axes.sizes)} sizes ({sizes} labelled completions) x {len(axes.seeds)} seeds = {cells.total:,}"
        f" cells, and {trials.total:,} trials that choose learning rates",
        grid.mixture,
        f"each up to {axes.steps:,} steps with {len(axes.checkpoints)} validations; a cell also has up to 3 tests",
        f"done already: {len(trials.seconds):,} trials, {len(cells.seconds):,} cells",
    ]
    if not trials.left and not cells.left:
        return "\n".join([*lines, "nothing is left to do"])
    how = (
        "by what is done" if trials.seconds else "by one step and one batch of sampling, timed on the model without its training"
    )
    trial = trials.mean or _time_of_a_trial(context, pool)
    minutes = (trials.left * trial + cells.left * (cells.mean or MORE_FOR_CELLS * trial)) / 60
    left = f"left: about {minutes:,.0f} CPU minutes ({how}); {minutes / workers:,.0f} minutes with --workers {workers}"
    return "\n".join([*lines, left])


@dataclass(frozen=True)
class Part:
    """Training runs of one kind.

    Attributes:
        total: how many the grid has.
        seconds: CPU time of each that is done.
    """

    total: int
    seconds: list[float]

    @property
    def left(self) -> int:
        """How many are not done."""
        return self.total - len(self.seconds)

    @property
    def mean(self) -> float | None:
        """CPU seconds of one; None where none is done."""
        return sum(self.seconds) / len(self.seconds) if self.seconds else None


def _time_of_a_trial(context: GridContext, pool: Pool) -> float:
    """CPU seconds of a trial, from one training step and one batch of sampling on weights that were never trained."""
    import torch
    from transformers import AutoModelForCausalLM

    from align.data.dataset import prompt_tokens
    from align.models.generate import generate

    axes, model_of, dataset = context.grid.axes, context.grid.recipe.model, context.dataset
    model = AutoModelForCausalLM.from_config(model_of.skeleton(dataset, context.cache).config)
    tokenizer = model_of.tokenizer(dataset, context.cache)
    rows = pool.rows
    batch = [torch.tensor([rows.prompts[at] + rows.completions[at]]) for at in range(axes.objectives[0].batch_size)]
    asked = [prompt.messages for prompt in heldout_prompts(dataset, None, "validation")]
    prompts, sampling = prompt_tokens(asked, tokenizer), context.grid.recipe.eval.sampling
    torch.autograd.backward(torch.stack([model(input_ids=ids, labels=ids).loss for ids in batch[:2]]).sum())  # warms up
    since = time.process_time()
    torch.autograd.backward(torch.stack([model(input_ids=ids, labels=ids).loss for ids in batch]).sum())
    step = time.process_time() - since
    since = time.process_time()
    generate(model, prompts, [str(at) for at in range(len(prompts))], ends=frozenset(), seed=0, sampling=sampling)
    share = sum(map(len, rows.completions)) / len(rows) / sampling.max_new_tokens  # trained ones end their replies
    validation = (time.process_time() - since) * share * sampling.samples
    return axes.steps * step + len(axes.checkpoints) * validation
