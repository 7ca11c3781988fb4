"""What a grid will cost, before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from align.ablation.cells.context import GridContext
from align.ablation.grid import Grid
from align.ablation.ledger import Ledger
from align.ablation.pool import Pool, check_sizes, open_pool
from align.ablation.tasks import total, tuned_sizes, wave
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
    trials = methods * len(tuned_sizes(grid)) * (len(axes.tuning.rates) + axes.tuning.extra)
    cells = methods * len(axes.sizes) * len(axes.seeds)
    ledger = Ledger(folder / "ledger.sqlite") if (folder / "ledger.sqlite").is_file() else None
    done = ledger.done() if ledger else {}
    found = wave(grid, context.fixed, done)
    finished = ([key for key in found.trials if key in done], [key for key in found.cells if key in done])
    sizes = ", ".join(f"{size:,}" for size in axes.sizes)
    lines = [
        f"{grid.recipe.name}: {', '.join(grid.methods)}",
        f"{methods} methods x {len(axes.sizes)} sizes ({sizes} labelled completions) x {len(axes.seeds)} seeds = {cells:,} cells,"
        f" and {trials:,} trials that choose learning rates",
        grid.mixture,
        f"each up to {axes.steps:,} steps with {len(axes.checkpoints)} validations; a cell also has up to 3 tests",
        f"done already: {len(finished[0]):,} trials, {len(finished[1]):,} cells",
    ]
    left = (trials - len(finished[0]), cells - len(finished[1]))
    if total(grid) == 1 + sum(map(len, finished)):
        return "\n".join([*lines, "nothing is left to do"])
    trial = _mean(finished[0], ledger.seconds()) if ledger and finished[0] else None
    how = "by what is done" if trial else "by one step and one batch of sampling, timed on the model without its training"
    trial = trial or _time_of_a_trial(context, pool)
    cell = _mean(finished[1], ledger.seconds()) if ledger and finished[1] else MORE_FOR_CELLS * trial
    minutes = (left[0] * trial + left[1] * cell) / 60
    return "\n".join(
        [
            *lines,
            f"left: about {minutes:,.0f} CPU minutes ({how}); {minutes / workers:,.0f} minutes with --workers {workers}",
        ]
    )


def _mean(keys: Sequence[str], seconds: Mapping[str, tuple[float, float]]) -> float:
    return sum(seconds[key][0] for key in keys) / len(keys)


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
    said = sum(map(len, rows.completions)) / len(rows) / sampling.max_new_tokens  # trained ones end their replies
    validation = (time.process_time() - since) * said * sampling.samples
    return axes.steps * step + len(axes.checkpoints) * validation
