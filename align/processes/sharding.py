"""FSDP2: what a model that is spread over processes needs before, while and after it trains.

Once sharded a model stays so, and one process by itself can neither generate with it nor save it. So a stand-in trains, made of
the model's own tensors, while the model waits without any; at the end it takes the trained weights back, whole.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from curate.core.errors import RecipeError
from curate.core.shipped import shipped

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def asked() -> bool:
    """Whether the launcher asks for FSDP.

    Raises:
        RecipeError: it asks for version 1, or without a GPU, where accelerate does not shard.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() != "true":
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise RecipeError(
            "accelerate's config: fsdp_version is not 2", hint=f"start from {shipped('recipes/accelerate/fsdp2.yaml')}"
        )
    if not torch.cuda.is_available():
        raise RecipeError(
            "accelerate's config: FSDP needs GPUs", hint=f"without them start with {shipped('recipes/accelerate/ddp.yaml')}"
        )
    return True


def lend(model: nn.Module) -> nn.Module:
    """A stand-in that holds the model's own tensors; the model keeps its shape and no weights until `give_back`."""
    own = [*model.parameters(), *model.buffers()]
    stand_in = copy.deepcopy(model, {id(tensor): tensor for tensor in own})
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                empty = torch.empty_like(value, device="meta")
                module._parameters[name] = nn.Parameter(empty, requires_grad=value.requires_grad)
    return stand_in


def give_back(model: PreTrainedModel, weights: Path, device: torch.device | str) -> None:
    """Fill a model that `lend` emptied with the weights that its stand-in left.

    Args:
        model: the emptied model.
        weights: safetensors file of the whole model.
        device: where they go.
    """
    from safetensors.torch import load_file

    model.load_state_dict(load_file(weights, device=str(device)), strict=False, assign=True)
    model.tie_weights()
    missing = [name for name, value in model.named_parameters() if value.is_meta]
    assert not missing, f"{weights} lacks {missing[0]}"
    model.eval()


def full_state(model: nn.Module) -> dict[str, Tensor] | None:
    """Every weight whole, on the main process' CPU (nothing on the others); None where the model is not sharded.

    All processes must ask.
    """
    from torch.distributed.fsdp import FSDPModule

    if not isinstance(model, FSDPModule):
        return None
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    whole_on_cpu = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return {name: value for name, value in get_model_state_dict(model, options=whole_on_cpu).items() if isinstance(value, Tensor)}


def whole(value: Tensor) -> Tensor:
    """A value that each process has a part of, as all have it; others as they are."""
    gathered: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return gathered


def local(value: Tensor) -> Tensor:
    """This process' part of a weight or gradient."""
    part: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return part
