"""Any sentence-transformers model in a folder: safetensors only, no code of its repository, no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.core.errors import RecipeError, StorageError
from curate.text.encoders.processor import Precision
from curate.text.encoders.vectors import EncoderModel, Network, Vectors, batched

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


def load_folder(folder: Path, precision: Precision = "fp32") -> EncoderModel:
    """The model as sentence-transformers runs it, prompts and all.

    Args:
        folder: as `SentenceTransformer.save` leaves it.
        precision: of weights and products.

    Raises:
        StorageError: not such a folder.
    """
    model = _read(folder, precision)
    tokenizer: Any = model.tokenizer

    def count(texts: list[str]) -> list[int]:
        cut = {"truncation": True, "max_length": model.max_seq_length} if model.max_seq_length else {}
        return [len(ids) for ids in tokenizer(texts, **cut)["input_ids"]]

    def embed(texts: list[str]) -> Vectors:
        return np.asarray(model.encode(texts, batch_size=len(texts), show_progress_bar=False), np.float32)

    return batched(embed(["a"]).shape[1], count, embed)


def load_network(folder: Path) -> Network:
    """The model as one function of token ids, for an export.

    Raises:
        RecipeError: it puts a prompt before every text, which token ids of the bare text would miss.
        StorageError: not a folder that sentence-transformers reads.
    """
    import torch

    model = _read(folder, "fp32").requires_grad_(False)  # a trace takes no weight that might still learn
    if model.default_prompt_name is not None:
        raise RecipeError(f"encoder {folder}: puts a prompt before every text, which no export keeps", hint="take backend: torch")
    tokenizer: Any = model.tokenizer

    def inputs(texts: list[str]) -> list[list[int]]:
        cut = {"truncation": True, "max_length": model.max_seq_length} if model.max_seq_length else {}
        return [list(ids) for ids in tokenizer(texts, **cut)["input_ids"]]

    def forward(ids: Tensor) -> Tensor:
        vectors: Tensor = model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"]
        return vectors

    with torch.inference_mode():
        dim = int(forward(torch.tensor(inputs(["a"]))).shape[1])
    return Network(dim, inputs, forward)


def _read(folder: Path, precision: Precision) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"use_safetensors": True}, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StorageError(
            f"{folder}: not a model that sentence-transformers reads ({type(error).__name__})", hint="name a folder that it saved"
        ) from None
    return (model.bfloat16() if precision == "bf16" else model.float()).eval()
