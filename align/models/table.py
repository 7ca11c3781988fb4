"""Which models a recipe may name: `MODELS` is the whole list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from align.data.dataset import Dataset, open_dataset
from align.data.run_folder import phase_weights, run_recipe
from align.models.loaded import LoadedModel, model_fingerprint
from align.models.pretrained import Pretrained
from align.models.tiny import Tiny
from curate.core.config import choose, config
from curate.core.errors import RecipeError
from curate.core.store import files_hash

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Model(Protocol):
    """What a run asks of a base model.

    `tokenizer` gives the tokenizer alone, with a chat template. `load` gives the model too; `cache` is a folder that the
    run's own files may be kept in, `seed` the run's. `identity` names files that the options only point at, so that other
    weights in the same place are another run; empty where the options and the dataset say it all.
    """

    def tokenizer(self, dataset: Dataset, cache: Path) -> PreTrainedTokenizerBase:
        """The tokenizer alone."""
        ...

    def skeleton(self, dataset: Dataset, cache: Path) -> PreTrainedModel:
        """The model without weights, on torch's meta device."""
        ...

    def load(self, dataset: Dataset, cache: Path, seed: int) -> LoadedModel:
        """Model and tokenizer."""
        ...

    def identity(self) -> str:
        """Hash of files that the options point at, or nothing."""
        ...


@config
class RunModel:
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
        return base_model(recipe, self.path).tokenizer(open_dataset(Path(recipe["data"])), self._cache)

    def skeleton(self, dataset: Dataset, cache: Path) -> PreTrainedModel:
        """The base's shape."""
        recipe = run_recipe(Path(self.path))
        return base_model(recipe, self.path).skeleton(open_dataset(Path(recipe["data"])), self._cache)

    def load(self, dataset: Dataset, cache: Path, seed: int) -> LoadedModel:
        """The run's base with the phase's weights in it; distances from the base are measured from that base.

        Raises:
            DataError: no such run, or its weights are gone.
            RecipeError: no such phase.
        """
        from safetensors.torch import load_model

        from align.models.base import trainable

        recipe, name, weights = phase_weights(Path(self.path), self.phase)
        base = base_model(recipe, self.path).load(open_dataset(Path(recipe["data"])), self._cache, recipe["seed"])
        start = trainable(base.model) if base.start is None else base.start
        load_model(base.model, weights, device=str(base.model.device))
        label = f"{Path(self.path).name}: {name}"
        return LoadedModel(base.model, base.tokenizer, label, model_fingerprint(self.identity(), base.tokenizer), start)

    def identity(self) -> str:
        """Hash of the weights."""
        return files_hash([phase_weights(Path(self.path), self.phase)[2]])

    @property
    def _cache(self) -> Path:
        return Path(self.path).parent / "cache"


MODELS: dict[str, type] = {
    "builtin:tiny": Tiny,
    "pretrained": Pretrained,
    "run": RunModel,
}
"""Recipe word -> base model."""


def base_model(recipe: Mapping[str, Any], where: str) -> Model:
    """The base model that a run's plain recipe names.

    Raises:
        RecipeError: this version knows no such model, or no such option.
    """
    try:
        model: Model = choose(MODELS, recipe["model"], f"{where}: model", "model")
    except RecipeError as error:
        again = "run its recipe again, another version trained it"
        raise RecipeError(error.problem, hint=f"{error.hint}; or {again}" if error.hint else again) from None
    return model
