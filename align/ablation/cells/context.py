"""What the cells of a grid share in a process's memory: the base model, the tokenised pool, the judges."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from align.ablation.cost import Weights, weights_of
from align.ablation.grid import Grid
from align.ablation.pool import Pool, open_pool
from align.ablation.tasks import fixed_part
from align.data.dataset import open_dataset
from align.evaluation.belief import foreign_truth
from align.evaluation.judges import panel
from align.models.base import put, trainable
from align.pipeline.identity import versions
from curate.core.errors import RecipeError
from curate.core.schema import canonical, digest

if TYPE_CHECKING:
    from torch import Tensor

    from align.models.loaded import LoadedModel


class GridContext:
    """Derived from the grid alone; models and the pool are loaded when they are first asked for.

    Args:
        grid: what is swept.
        folder: the grid's.
        cache: what grids and runs share on disk.

    Attributes:
        dataset: the recipe's.
        fixed: digest of what every task's result depends on besides the task.
        judges: who scores completions, by role.
    """

    def __init__(self, grid: Grid, folder: Path, cache: Path) -> None:
        """Open the dataset.

        Raises:
            RecipeError: the recipe's truth is about other data.
        """
        self.grid, self.folder, self.cache = grid, folder, cache
        self.dataset = open_dataset(Path(grid.recipe.data))
        if (foreign := foreign_truth(grid.recipe.eval, self.dataset)) is not None:
            raise RecipeError(f"eval: {foreign}", hint="leave it out by `--set eval.truth=null`")
        fixed = fixed_part(grid, self.dataset.fingerprint, versions(grid.recipe))
        identity = grid.recipe.model.identity()
        self.fixed = digest(canonical(fixed), *([identity] if identity else []))
        self.judges = panel(grid.recipe.eval.judge, grid.recipe.eval.truth, grid.recipe.eval.others)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The base model, in memory once."""
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(self.grid.recipe.threads)
        loaded: LoadedModel = self.grid.recipe.model.load(self.dataset, self.cache, self.grid.recipe.seed)
        return loaded

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """The base's trainable weights, to go back to."""
        return trainable(self.loaded.model)

    @cached_property
    def weights(self) -> Weights:
        """What a token passes through."""
        return weights_of(self.loaded.model)

    @cached_property
    def pool(self) -> Pool:
        """Every labelled completion that the grid may draw, tokenised."""
        return open_pool(self.dataset, self.loaded.tokenizer, benign=self.grid.axes.benign > 0)

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Give the model in memory these weights."""
        self.start  # noqa: B018 - copied before anything is changed
        put(self.loaded.model, weights)

    def cell(self, key: str) -> Path:
        """The folder of a task."""
        return self.folder / "cells" / key
