"""A cell's checkpoint, measured on a split: validation chooses, the test split is what the views show."""

from __future__ import annotations

import json
from pathlib import Path

from align.ablation.cells.context import GridContext
from align.ablation.result import SplitFigures
from align.evaluation.measure import measure
from align.evaluation.suites import Subject
from align.models.base import base_of
from curate.core.store import write_json


def evaluate(context: GridContext, folder: Path, step: int, split: str, *, drift: bool = False) -> SplitFigures:
    """Figures of the weights in memory; those that an interrupted call left stand.

    Args:
        context: holds the weights.
        folder: the cell's; the figures go to `<split>-<step>/`, on the test split with the suites' items.
        step: which checkpoint the weights are, for the folder's name.
        split: "validation" or "test"; each has suites of its own.
        drift: whether the distance from the base is measured too.
    """
    path = folder / f"{split}-{step}"
    if (path / "measured.json").is_file():
        kept: SplitFigures = json.loads((path / "measured.json").read_bytes())
        return kept
    recipe, test = context.grid.recipe, split == "test"
    subject = Subject(
        model=context.loaded.model,
        tokenizer=context.loaded.tokenizer,
        dataset=context.dataset,
        judges=context.judges,
        sampling=recipe.eval.sampling,
        seed=recipe.seed,
        split="test" if test else "validation",
        base=base_of(context.loaded.model, context.start) if drift else None,
        folder=path,
    )
    suites = recipe.eval.suites if test else context.grid.axes.tuning.suites
    figures = measure(suites, subject, path if test else None)  # the items of validation are never read again
    write_json(path / "measured.json", figures)
    return figures
