"""Sampling: what the model believes, the same draws for a prompt whatever stands beside it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from align.models.generate import Sampling, end_tokens, generate

TinyLlama = Callable[..., Any]
ENDS = frozenset({2})


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(1)
    return [[draw.randrange(3, 60) for _ in range(draw.randint(1, 12))] for _ in range(count)]


def sample(model: Any, asked: list[list[int]], **options: Any) -> list[tuple[list[int], bool]]:
    names = [repr(prompt) for prompt in asked]
    sampling = Sampling(**({"max_new_tokens": 12} | options))
    return [(one.tokens, one.ended) for one in generate(model, asked, names, ends=ENDS, seed=0, sampling=sampling)]


def test_a_completion_does_not_depend_on_its_batch_or_order(tiny_llama: TinyLlama) -> None:
    model, asked = tiny_llama(double=True), prompts(23)
    one_by_one = sample(model, asked, batch_size=1)
    assert sample(model, asked, batch_size=7) == one_by_one
    assert sample(model, asked[::-1], batch_size=23)[::-1] == one_by_one


def test_the_cache_and_the_padding_change_nothing(tiny_llama: TinyLlama) -> None:
    """The naive way: the whole sequence anew for every token, no cache, no batch."""
    import numpy as np

    from align.models.generate import _stream

    model, asked = tiny_llama(double=True).eval(), prompts(9)
    for prompt, (tokens, ended) in zip(asked, sample(model, asked, batch_size=9), strict=True):
        said: list[int] = []
        for number in _stream(repr(prompt), 0, 12):
            with torch.no_grad():
                chances = torch.softmax(model(torch.tensor([prompt + said])).logits[0, -1], -1).numpy()
            said.append(int(np.searchsorted(np.cumsum(chances), number * chances.sum(), side="right")))
            if said[-1] in ENDS:
                break
        assert (said[:-1] if ended else said) == tokens and ended == (said[-1] in ENDS)


def test_draws_follow_the_models_own_chances(tiny_llama: TinyLlama) -> None:
    model = tiny_llama().eval()
    names = [str(at) for at in range(4_000)]
    drawn = generate(model, [[5, 6]] * 4_000, names, ends=ENDS, seed=3, sampling=Sampling(max_new_tokens=1, batch_size=1_000))
    found = torch.bincount(torch.tensor([one.tokens[0] if one.tokens else 2 for one in drawn]), minlength=64) / 4_000
    with torch.no_grad():
        chances = torch.softmax(model(torch.tensor([[5, 6]])).logits[0, -1], -1)
    assert float((found - chances).abs().sum()) / 2 < 0.05  # total variation; noise of 4,000 draws is about 0.03


def test_a_low_temperature_takes_the_likeliest_token(tiny_llama: TinyLlama) -> None:
    model = tiny_llama().eval()
    with torch.no_grad():
        best = int(model(torch.tensor([[5, 6]])).logits[0, -1].argmax())
    tokens, _ = sample(model, [[5, 6]], temperature=1e-4, max_new_tokens=1)[0]
    assert tokens == ([] if best in ENDS else [best])


def test_another_seed_gives_other_completions_and_the_model_stays_as_it_was(tiny_llama: TinyLlama) -> None:
    model, asked = tiny_llama().train(), prompts(8)
    names = [repr(prompt) for prompt in asked]
    first, second = (generate(model, asked, names, ends=ENDS, seed=seed, sampling=Sampling(max_new_tokens=12)) for seed in (0, 1))
    assert first != second and model.training


def test_one_that_does_not_end_is_cut_and_said_so(tiny_llama: TinyLlama) -> None:
    found = generate(
        tiny_llama(), prompts(5), list("abcde"), ends=frozenset({63_000}), seed=0, sampling=Sampling(max_new_tokens=6)
    )
    assert all(len(one.tokens) == 6 and not one.ended for one in found)


def test_every_token_that_ends_a_turn_counts(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    model.generation_config.eos_token_id = [7, 9]
    assert end_tokens(model, 2) == frozenset({2, 7, 9})


@pytest.mark.parametrize("count", [0])
def test_nothing_to_ask_gives_nothing(tiny_llama: TinyLlama, count: int) -> None:
    assert sample(tiny_llama(), prompts(count)) == []
