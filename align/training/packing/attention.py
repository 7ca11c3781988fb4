"""Causal attention of packed runs, each to itself and its prompt, through transformers' public attention interface."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from align.training.packing.pack import Pack
from curate.core.errors import UserError

NAME = "packed"
HARMLESS = {"position_ids", "cache_position", "use_cache", "output_attentions", "output_hidden_states", "is_causal"}


class UnpackableError(UserError):
    """The model asks for attention that packing cannot give exactly."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    pack: Pack | None = None,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Attend as `pack` says: each run to itself and to what it is laid behind.

    Args:
        module: the attention layer that calls.
        query: shape (1, heads, T, width).
        key: shape (1, key heads, T, width).
        value: like `key`.
        attention_mask: must be None; the pack says who sees whom.
        scaling: factor of the scores; by default width ** -0.5.
        pack: the pass; handed down by `model(..., pack=pack)`.
        sliding_window: how far back the layer looks; exact as long as no segment is longer.
        others: dropout, which the trainer turns off, and what this function does not know; refused unless null or without
            effect.

    Returns:
        Shape (1, T, heads, width), and no weights.

    Raises:
        UnpackableError: called without a pack, or asked for anything that it does not implement.
    """
    refused = ["dropout"] if others.pop("dropout", 0.0) else []
    refused += [name for name, given in others.items() if name not in HARMLESS and given is not None and given is not False]
    if others.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        refused.append("attention that is not causal")
    if attention_mask is not None:
        refused.append("attention_mask")
    if pack is not None and sliding_window is not None and pack.longest_key > sliding_window:
        refused.append(f"sliding_window {sliding_window} for a row of {pack.longest_key} tokens")
    if pack is None or refused or query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        request = ", ".join(refused) or ("a call without a pack" if pack is None else f"queries of shape {tuple(query.shape)}")
        raise UnpackableError(f"{type(module).__name__}: packed attention cannot serve {request}")
    pack.calls += 1
    if sliding_window is not None:
        pack.window = min(sliding_window, pack.window or sliding_window)
    layer = int(getattr(module, "layer_idx", 0))
    if pack.writes is not None:
        pack.writes[layer] = (key.detach(), value.detach())
    if pack.reads is not None:
        earlier_key, earlier_value = pack.reads[layer]
        key, value = torch.cat([earlier_key, key], 2), torch.cat([earlier_value, value], 2)
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        return _varlen(query, key, value, scaling, pack)[None], None
    return _grouped(query, key, value, scaling, pack)[None], None


def _grouped(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, pack: Pack) -> Tensor:
    """A padded copy per group of like lengths; shape (T, heads, width).

    Padding stands behind each run, so that causal attention never lets a real token see it, and what padding itself computes
    is not read.
    """
    gqa = key.shape[1] != query.shape[1]
    groups, order = pack.grouped
    outputs = []
    for group in groups:
        attended = F.scaled_dot_product_attention(
            _pad(query, group.queries, group.width),
            _pad(key, group.keys, group.key_width),
            _pad(value, group.keys, group.key_width),
            attn_mask=group.mask,
            is_causal=group.mask is None,
            scale=scaling,
            enable_gqa=gqa,
        )
        heads, width = attended.shape[1], attended.shape[3]
        flat = attended.transpose(1, 2).reshape(-1, heads * width).index_select(0, group.slots)
        outputs.append(flat.view(-1, heads, width))
    if order is None:
        return outputs[0]
    return torch.cat(outputs).index_select(0, order)


def _pad(x: Tensor, gather: Tensor, width: int) -> Tensor:
    """(1, heads, T, d) to (runs, heads, width, d)."""
    _, heads, tokens, d = x.shape
    flat = x[0].transpose(0, 1).reshape(tokens, heads * d)
    return flat.index_select(0, gather).view(-1, width, heads, d).transpose(1, 2)


def _varlen(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, pack: Pack) -> Tensor:
    """PyTorch's variable-length kernel, CUDA and 16-bit only; shape (T, heads, width)."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if pack.keys is not None:
        k, v = k.index_select(0, pack.keys), v.index_select(0, pack.keys)
    attend, repeats = varlen_attn, q.shape[1] // k.shape[1]
    if repeats > 1 and _has_gqa():
        attend = functools.partial(varlen_attn, enable_gqa=True)
    elif repeats > 1:
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    sizes = pack.bounds, pack.key_bounds, pack.longest, pack.longest_key
    attended = attend(q, k, v, *sizes, window_size=(-1, 0), scale=scaling)  # causal from the last key back
    assert isinstance(attended, Tensor)
    return attended


@functools.cache
def _has_gqa() -> bool:
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters  # absent in torch 2.11


@contextlib.contextmanager
def attending(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Let a model attend by another implementation for a while."""
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def packed(model: PreTrainedModel) -> contextlib.AbstractContextManager[None]:
    """Let a model attend by packs for a while; afterwards it attends as before (generation needs its own masks)."""
    return attending(model, NAME)


AttentionInterface.register(NAME, packed_attention)
