"""The base beside the model that training made of it: its weights, and the base itself while a checkpoint is compared with it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def trainable(model: PreTrainedModel) -> dict[str, Tensor]:
    """A copy, in main memory, of the weights that training moves."""
    return {name: one.detach().cpu().clone().contiguous() for name, one in model.named_parameters() if one.requires_grad}


def put(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Give the model these weights, in place."""
    import torch

    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def base_of(model: PreTrainedModel, start: Mapping[str, Tensor]) -> PreTrainedModel:
    """The model as it was when its weights were `start`: a second one that shares every weight that training leaves alone.

    Over adapters it costs their size; where every weight is trained, a second model for as long as it is held.
    """
    shared = {id(one): one for name, one in model.named_parameters() if name not in start}
    other = copy.deepcopy(model, shared).eval()
    put(other, start)
    return other


def tensor_hashes(model: PreTrainedModel) -> dict[str, str]:
    """Hex hash of each of the model's tensors."""
    return {name: _tensor_hash(value) for name, value in model.state_dict().items()}


def _tensor_hash(value: Tensor) -> str:
    import torch

    data = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
    return xxhash.xxh3_128_hexdigest(f"{value.dtype} {tuple(value.shape)}".encode()) + xxhash.xxh3_128_hexdigest(data)
