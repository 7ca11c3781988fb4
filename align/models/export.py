"""`align export`: what a phase left, as a folder that `from_pretrained` opens: whole weights, or adapters by themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.dataset import open_dataset
from align.models.pretrained import Pretrained
from align.models.trained import phase_weights
from curate.core.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def export(run: Path, to: Path, *, phase: str | None = None, merge: bool = False) -> list[str]:
    """Write the model that a phase of a finished run left, with its tokenizer and chat template.

    Args:
        run: the run's folder.
        to: folder to make; must be empty or absent.
        phase: which one, by its folder's name ("2-kto_s") or its objective; the last by default.
        merge: fold adapters into the weights; without it they are written as PEFT has them, to be loaded over the base model.

    Returns:
        What was written, one line each.

    Raises:
        DataError: no such run, or its weights are gone.
        RecipeError: no such phase, `to` holds something, or `merge` of a run without adapters.
    """
    recipe, name, weights = phase_weights(run, phase)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RecipeError(f"--to {to}: holds something already; choose an empty or new folder")
    adapters = isinstance(recipe.model, Pretrained) and recipe.model.lora is not None
    if merge and not adapters:
        raise RecipeError(f"--merge: {run} trained every weight, so there is nothing to fold in; leave it out")
    from safetensors.torch import load_model

    loaded = recipe.model.load(open_dataset(Path(recipe.data)), run.parent / "cache", recipe.seed)
    load_model(loaded.model, weights, device=str(loaded.model.device))
    if adapters and not merge:
        save_adapters(loaded.model, to, base=recipe.model.path, revision=recipe.model.revision)
        said = f"adapters over {loaded.name}; load them with peft's PeftModel.from_pretrained(base, {str(to)!r})"
    else:
        if adapters:
            fold(loaded.model)
        loaded.model.save_pretrained(to)
        said = f"whole weights; load them with AutoModelForCausalLM.from_pretrained({str(to)!r})"
    loaded.tokenizer.save_pretrained(to)
    return [f"{to}: {name} of {run.name}", said]


def fold(model: PreTrainedModel) -> None:
    """Add every adapter's product to the weight it stands beside, and put the plain layer back in its place."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            layer: Any = module
            with torch.no_grad():
                layer.merge(safe_merge=True)  # refuses a product that is not finite
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, layer.get_base_layer())
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.__dict__.pop("peft_config", None)
    model._hf_peft_config_loaded = False


def save_adapters(model: PreTrainedModel, to: Path, *, base: str | None = None, revision: str | None = None) -> None:
    """Write a model's adapters as PEFT has them.

    Args:
        model: adapters lie in it.
        to: folder to make.
        base: what they lie over: Hub id or folder.
        revision: of the base.
    """
    from peft import LoraConfig, get_peft_model_state_dict
    from safetensors.torch import save_file

    told: LoraConfig = copy.deepcopy(model.peft_config["default"])
    told.base_model_name_or_path, told.revision, told.inference_mode = base, revision, True
    tensors = {f"base_model.model.{name}": value.contiguous().cpu() for name, value in get_peft_model_state_dict(model).items()}
    to.mkdir(parents=True, exist_ok=True)
    told.save_pretrained(str(to))
    save_file(tensors, to / "adapter_model.safetensors", metadata={"format": "pt"})
