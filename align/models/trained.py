"""`model: {run: {path: runs/kto_s-…}}`: what a phase of a finished run left, to be judged again or trained further."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from align.data.dataset import Dataset, open_dataset
from align.models.loaded import Loaded, model_fingerprint
from align.training.receipt import WEIGHTS
from curate.core.config import config
from curate.core.errors import DataError, RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from align.pipeline.recipe import Recipe


@config
class Trained:
    """The model that a phase of a finished run left, over that run's own base.

    Args:
        path: the run's folder.
        phase: which one, by its folder's name ("2-kto_s") or its objective; the last by default.
    """

    path: Annotated[str, Field(min_length=1)]
    phase: str | None = None

    def tokenizer(self, dataset: Dataset, cache: Path) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        recipe = run_recipe(Path(self.path))
        found: PreTrainedTokenizerBase = recipe.model.tokenizer(open_dataset(Path(recipe.data)), self._cache)
        return found

    def skeleton(self, dataset: Dataset, cache: Path) -> PreTrainedModel:
        """The base's shape."""
        recipe = run_recipe(Path(self.path))
        found: PreTrainedModel = recipe.model.skeleton(open_dataset(Path(recipe.data)), self._cache)
        return found

    def load(self, dataset: Dataset, cache: Path, seed: int) -> Loaded:
        """The run's base with the phase's weights in it; distances from the base are measured from that base.

        Raises:
            DataError: no such run, or its weights are gone.
            RecipeError: no such phase.
        """
        from safetensors.torch import load_model

        from align.models.base import trainable

        recipe, name, weights = phase_weights(Path(self.path), self.phase)
        base: Loaded = recipe.model.load(open_dataset(Path(recipe.data)), self._cache, recipe.seed)
        start = trainable(base.model) if base.start is None else base.start
        load_model(base.model, weights, device=str(base.model.device))
        said = f"{Path(self.path).name}: {name}"
        return Loaded(base.model, base.tokenizer, said, model_fingerprint(self.identity(), base.tokenizer), start)

    def identity(self) -> str:
        """Hash of the weights."""
        from align.models.pretrained import files_hash

        return files_hash([phase_weights(Path(self.path), self.phase)[2]])

    @property
    def _cache(self) -> Path:
        return Path(self.path).parent / "cache"


def run_recipe(run: Path) -> Recipe:
    """The recipe of a finished run.

    Raises:
        DataError: no finished run lies there.
    """
    from align.pipeline.recipe import read_recipe
    from align.report.results import RESULTS

    if not (run / RESULTS).is_file():
        raise DataError(f"{run}: found no {RESULTS}, so no finished run; run its recipe, the same command resumes")
    return read_recipe(run / "recipe.yaml")


def phase_weights(run: Path, phase: str | None) -> tuple[Recipe, str, Path]:
    """A finished run's recipe, the folder's name of a phase and where its weights lie.

    Args:
        run: the run's folder.
        phase: by its folder's name ("2-kto_s") or its objective; the last by default.

    Raises:
        DataError: no such run, it trained nothing, or its weights are gone.
        RecipeError: no such phase.
    """
    from align.pipeline.recipe import phase_names
    from align.report.results import RESULTS

    recipe = run_recipe(run)
    names = phase_names(recipe)
    if not names:
        raise DataError(f"{run}: trained nothing, it only evaluated a model; name that model")
    found = names if phase is None else [name for name in names if phase in (name, name.split("-", 1)[1])]
    if not found:
        raise RecipeError(f"--phase {phase}: {run.name} has none of that name; it has {', '.join(names)}")
    weights = run / found[-1] / WEIGHTS
    if not weights.is_file():
        raise DataError(f"{weights}: is missing; delete {run / RESULTS} and run the recipe again")
    return recipe, found[-1], weights
