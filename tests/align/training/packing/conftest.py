"""Small real models of several kinds, and what each says of a completion by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture(scope="session")
def tiny_of() -> Callable[..., Any]:
    """Make a 2-layer model of a kind that transformers names: `tiny_of("Llama")`."""

    def make(kind: str, **changes: object) -> Any:
        import transformers

        torch.manual_seed(0)
        settings: dict[str, object] = {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 64,
            "initializer_range": 0.3,
            "pad_token_id": 0,
        }
        name = "Gemma3TextConfig" if kind == "Gemma3" else f"{kind}Config"
        return getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, name)(**(settings | changes)))

    return make


@pytest.fixture(scope="session")
def alone() -> Callable[..., torch.Tensor]:
    """Log-probability of one completion: the model's own attention, a full log-softmax."""

    def score(model: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
        logits = model(input_ids=torch.tensor([prompt + completion]), use_cache=False).logits[0].log_softmax(-1)
        return torch.stack([logits[len(prompt) - 1 + place, token] for place, token in enumerate(completion)]).sum()

    return score
