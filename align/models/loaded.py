"""A model in memory with its tokenizer, and what names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.core.schema import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedModel:
    """A base model.

    Attributes:
        model: a causal language model in evaluation mode; phases train it in place.
        tokenizer: has a chat template and an end-of-turn token.
        name: what tables call it.
        fingerprint: hash of weights, tokenizer and chat template.
        start: weights of the base that distances are measured from, where this model is not that base itself; see
            `align.models.base`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    fingerprint: str
    start: Mapping[str, Tensor] | None = None


def model_fingerprint(weights: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Name a model by what decides its outputs.

    Args:
        weights: hash that stands for the weights.
        tokenizer: its vocabulary and chat template are hashed.
    """
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return digest(weights, repr(vocabulary), str(tokenizer.chat_template))
