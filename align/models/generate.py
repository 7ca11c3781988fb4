"""Sampling completions: batched, with a key/value cache, and every prompt with a stream of random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from curate.core.config import config
from curate.core.progress import Progress
from curate.core.schema import digest

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@config
class Sampling:
    """How completions are sampled from a model under evaluation.

    Args:
        temperature: divides the logits, > 0. 1 samples what the model believes; lower values flatter it.
        max_new_tokens: most tokens of a completion, its end included; one that has not ended by then is cut and counted.
        batch_size: prompts that are decoded side by side; changes the speed, and a completion by float rounding at most.
        samples: completions drawn for each prompt.
        backend: who draws. transformers: this module. vllm: `align.models.vllm`, for large models on a GPU; the same
            distribution by other random numbers.
    """

    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    batch_size: Annotated[int, Field(ge=1)] = 256
    samples: Annotated[int, Field(ge=1)] = 1
    backend: Literal["transformers", "vllm"] = "transformers"


@dataclass(frozen=True)
class Sampled:
    """One completion.

    Attributes:
        tokens: without the end-of-turn token.
        ended: whether the model ended it by itself, within `max_new_tokens`.
    """

    tokens: list[int]
    ended: bool


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    ends: frozenset[int],
    seed: int,
    sampling: Sampling,
) -> list[Sampled]:
    """Sample one completion for each prompt.

    The t-th token of a prompt is decided by the t-th number of a stream that only `seed` and the prompt's name decide:
    batches and order change a completion by float rounding at most, and two checkpoints are compared on the same draws.

    Args:
        model: a causal language model; read only.
        prompts: token ids, at least one each.
        names: what keys each prompt's random numbers; distinct.
        ends: ids of tokens that end a turn.
        seed: of all streams.
        sampling: temperature, length and batch.

    Returns:
        One per prompt, same order.
    """
    import torch

    completions: dict[int, Sampled] = {}
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))  # near-equal lengths: little padding
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), Progress("sampling", len(prompts), unit="completions") as progress:
            for start in range(0, len(order), sampling.batch_size):
                batch = order[start : start + sampling.batch_size]
                draws = np.stack([_stream(names[index], seed, sampling.max_new_tokens) for index in batch])
                done = _decode(model, [prompts[index] for index in batch], draws, ends, sampling.temperature)
                completions.update(zip(batch, done, strict=True))
                progress.add(len(batch))
    finally:
        model.train(training)
    return [completions[index] for index in range(len(prompts))]


def end_tokens(model: PreTrainedModel, end: int | None) -> frozenset[int]:
    """Ids that end a turn: the tokenizer's, and those of the model's own generation settings."""
    settings = model.generation_config.eos_token_id if model.generation_config else None
    listed = settings if isinstance(settings, list) else [settings]
    return frozenset(int(token) for token in [end, *listed] if token is not None)


def cut(row: Sequence[int], ends: frozenset[int]) -> Sampled:
    """Drawn tokens up to the first that ends the turn; -1 stands for nothing drawn.

    >>> cut([5, 6, 2, 9], frozenset({2}))
    Sampled(tokens=[5, 6], ended=True)
    """
    tokens: list[int] = []
    for token in row:
        if token in ends:
            return Sampled(tokens, ended=True)
        if token == -1:
            break
        tokens.append(token)
    return Sampled(tokens, ended=False)


def _stream(name: str, seed: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Numbers in [0, 1), shape (count,)."""
    return np.random.Generator(np.random.Philox(key=int(digest(name, str(seed)), 16))).random(count)


def _decode(
    model: PreTrainedModel,
    prompts: list[Sequence[int]],
    draws: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    ends: frozenset[int],
    temperature: float,
) -> list[Sampled]:
    """Decode one batch, padded on the left; rows that have ended leave the batch."""
    import torch
    from transformers import DynamicCache

    device, longest = model.device, max(map(len, prompts))
    uniform = torch.from_numpy(draws).to(device)
    stops = torch.tensor(sorted(ends), device=device)
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=device)
    alive = torch.arange(len(prompts), device=device)
    tokens = torch.full((len(prompts), draws.shape[1]), -1, dtype=torch.long, device=device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    for step in range(draws.shape[1]):
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        drawn = _draw(out.logits[:, -1], uniform[alive, step], temperature)
        tokens[alive, step] = drawn
        going = ~torch.isin(drawn, stops)
        if not bool(going.any()):
            break
        if not bool(going.all()):
            kept = going.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            alive, drawn, mask, positions = alive[kept], drawn[kept], mask[kept], positions[kept]
        ids, positions = drawn[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
    return [cut(row, ends) for row in tokens.tolist()]


def _draw(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """The token at which the cumulated probability passes the drawn number; shape (rows,)."""
    import torch

    cumulated = torch.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
    target = uniform[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
