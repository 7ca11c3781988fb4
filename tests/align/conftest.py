"""Small real things for the tests of training: a tiny Llama, and rows of random tokens."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from align.rows import Rows

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]


@pytest.fixture(scope="session")
def tiny_llama() -> TinyLlama:
    """Make a 2-layer Llama; a wide start, for with 0.02 attention hardly matters and a wrong mask would pass."""

    def make(seed: int = 0, double: bool = False, **changes: object) -> Any:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        settings: dict[str, object] = {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "initializer_range": 0.3,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**(settings | changes)))
        return model.double() if double else model

    return make


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    """Make rows of random tokens; with `paired`, two completions of each prompt."""

    def make(count: int = 48, paired: bool = False, seed: int = 0, share: float = 0.5) -> Rows:
        draw = random.Random(seed)

        def text(low: int, high: int) -> list[int]:
            return [draw.randrange(3, 60) for _ in range(draw.randint(low, high))]

        if paired:
            prompts = [prompt for _ in range(count // 2) for prompt in [text(3, 9)] * 2]
            pair = [index ^ 1 for index in range(count)]
            desirable = [index % 2 == 0 for index in range(count)]
        else:
            prompts = [text(3, 9) for _ in range(count)]
            pair = [-1] * count
            desirable = [index < share * count for index in range(count)]
        completions = [[*text(2, 7), 2] for _ in range(count)]
        return Rows(prompts, completions, desirable, pair, [f"r{index}" for index in range(count)])

    return make
