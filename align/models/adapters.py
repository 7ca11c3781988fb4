"""LoRA adapters: added, folded into the weights, saved."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Literal

from peft import LoraConfig
from pydantic import Field
from transformers import PreTrainedModel

from curate.core.config import config


@config
class Lora:
    """Low-rank adapters on a frozen model; only they are trained, in fp32.

    Args:
        rank: of the two factors. 16: peft's examples.
        alpha: the update is scaled by alpha / rank. 32: peft's examples.
        targets: names of the linear layers that get one, or "all-linear".
    """

    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"


def add_adapters(model: PreTrainedModel, lora: Lora, seed: int) -> None:
    """Put adapters into the model itself: it keeps its class, so packing and saving need not know of them."""
    import torch
    from peft import inject_adapter_in_model

    torch.manual_seed(seed)
    inject_adapter_in_model(lora_config(lora), model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_config(lora: Lora) -> LoraConfig:
    """Adapters as peft has them."""
    from peft import LoraConfig

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")


def fold(model: PreTrainedModel) -> None:
    """Add every adapter's product to the weight it stands beside, and put the plain layer back in its place."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            with torch.no_grad():
                module.merge(safe_merge=True)  # refuses a product that is not finite
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.get_base_layer())
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
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    settings: LoraConfig = copy.deepcopy(model.peft_config["default"])
    settings.base_model_name_or_path, settings.revision, settings.inference_mode = base, revision, True
    tensors = {f"base_model.model.{name}": value.contiguous().cpu() for name, value in get_peft_model_state_dict(model).items()}
    to.mkdir(parents=True, exist_ok=True)
    settings.save_pretrained(str(to))
    save_file(tensors, to / "adapter_model.safetensors", metadata={"format": "pt"})
