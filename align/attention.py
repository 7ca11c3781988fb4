"""Causal attention of packed runs, each to itself and its prompt, through transformers' public attention interface."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from transformers import AttentionInterface

from align.pack import Pack, lay, lay_after
from align.score import log_probs
from curate.errors import UserError

NAME = "packed"
HARMLESS = {"position_ids", "cache_position", "use_cache", "output_attentions", "output_hidden_states", "is_causal"}
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # nats, of a summed log-probability of ten tokens
COARSE = 0.25  # nats; the same for 16-bit weights, which keep two to three digits


class UnpackableError(UserError):
    """The model asks for attention that packing cannot give exactly."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
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
        dropout: must be 0; the trainer turns dropout off.
        pack: the pass; handed down by `model(..., pack=pack)`.
        sliding_window: how far back the layer looks; exact as long as no segment is longer.
        others: what this function does not know; refused unless null or without effect.

    Returns:
        Shape (1, T, heads, width), and no weights.

    Raises:
        UnpackableError: called without a pack, or asked for anything that it does not implement.
    """
    refused = [name for name, given in others.items() if name not in HARMLESS and given is not None and given is not False]
    if others.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        refused.append("attention that is not causal")
    if dropout:
        refused.append("dropout")
    if attention_mask is not None:
        refused.append("attention_mask")
    if pack is not None and sliding_window is not None and pack.longest_key > sliding_window:
        refused.append(f"sliding_window {sliding_window} for a row of {pack.longest_key} tokens")
    if pack is None or refused or query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        found = ", ".join(refused) or ("a call without a pack" if pack is None else f"queries of shape {tuple(query.shape)}")
        raise UnpackableError(f"{type(module).__name__}: packed attention cannot serve {found}; train a model that asks for less")
    pack.calls += 1
    if sliding_window is not None:
        pack.window = min(sliding_window, pack.window or sliding_window)
    layer: Any = getattr(module, "layer_idx", None)
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
    options: dict[str, Any] = {"window_size": (-1, 0), "scale": scaling}  # causal from the last key back
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1 and _has_gqa():
        options["enable_gqa"] = True
    elif repeats > 1:
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    attended = varlen_attn(q, k, v, pack.bounds, pack.key_bounds, pack.longest, pack.longest_key, **options)
    assert isinstance(attended, Tensor)
    return attended


@functools.cache
def _has_gqa() -> bool:
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters  # absent in torch 2.11


@contextlib.contextmanager
def packed(model: Any) -> Iterator[None]:  # noqa: ANN401 - a transformers model
    """Let a model attend by packs for a while; afterwards it attends as before (generation needs its own masks)."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def probe(model: Any, longest: int = 0) -> float:  # noqa: ANN401 - a transformers model
    """Make sure that packing is exact for this model.

    Completions packed, sharing a prompt, and behind an earlier pass's prompts are held against each alone under eager attention.

    Args:
        model: a causal language model on the device where it will train.
        longest: tokens of the longest row that it will be given.

    Returns:
        The largest difference of a completion's log-probability, nats.

    Raises:
        UnpackableError: the model refuses, differs, or does not send every layer through packed attention.
    """
    config = model.config.get_text_config()
    name, device = type(model).__name__, next(model.parameters()).device
    draw = [(index * 7919 + 13) % (config.vocab_size - 1) for index in range(40)]  # any fixed tokens will do
    first, second = draw[:9], draw[9:14]
    segments = [(first, draw[14:24]), (second, draw[24:34]), (first, draw[34:40])]
    later = [(second, draw[14:24]), (first, draw[24:34])]
    model.eval()
    with torch.no_grad():
        with packed(model):
            pack = lay(segments, device, keep=True)
            scores = [log_probs(model, pack)]
            if pack.calls == config.num_hidden_layers:
                scores.append(log_probs(model, lay_after(pack, later, [1, 0])))
        together = torch.cat(scores)
        alone = torch.stack(
            [_eager(model, prompt, completion, device) for prompt, completion in (segments + later)[: len(together)]]
        )
    if pack.calls != config.num_hidden_layers:
        raise UnpackableError(
            f"{name}: {pack.calls} of its {config.num_hidden_layers} layers use packed attention; train a model of plain"
            " causal attention, such as Llama or Qwen3"
        )
    if pack.window is not None and longest > pack.window:
        raise UnpackableError(f"{name}: looks back {pack.window} tokens, but a row has {longest}; set max_length: {pack.window}")
    difference = float((together - alone).abs().max())
    weights = next(model.parameters()).dtype
    if not difference <= TOLERANCE.get(weights, COARSE):
        finite = bool(torch.isfinite(alone).all())
        why = f"differ by {difference:.2g} nats" if finite else "are not finite: look for NaN in the weights"
        raise UnpackableError(f"{name}: log-probabilities packed and one by one {why}; train a model of plain causal attention")
    return difference


def _eager(model: Any, prompt: list[int], completion: list[int], device: torch.device) -> Tensor:  # noqa: ANN401
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        logits = model(input_ids=torch.tensor([prompt + completion], device=device), use_cache=False).logits[0]
    finally:
        model.set_attn_implementation(before)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    chosen = wide.log_softmax(-1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(completion, device=device)[:, None])
    total: Tensor = chosen.sum()
    return total


AttentionInterface.register(NAME, packed_attention)
