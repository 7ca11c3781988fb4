"""Static models: one vector per token, a text is their mean. Read with numpy and tokenizers alone; torch is never imported.

A folder as model2vec writes it, so that its models can be used here and those distilled here elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.progress import Progress
from curate.text.encoders.vectors import EncoderModel, Vectors, rounded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
KIND = "model2vec"  # what `config.json` calls such a model
TOKENS = 512  # read of a text where the configuration does not say
BLOCK = 128  # texts at a time: their token vectors stay in the cache

Tokens = Callable[[list[str]], list[list[int]]]


def is_static(folder: Path) -> bool:
    """Whether a folder holds a static model."""
    try:
        settings = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and settings.get("model_type") == KIND


def load_static(folder: Path) -> EncoderModel:
    """A static model in memory.

    Raises:
        StorageError: a file is missing or not what it should be.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load
    from tokenizers import Tokenizer

    try:
        tensors = load((folder / WEIGHTS).read_bytes())
        table = tensors["embeddings"].astype(np.float32)
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        limit = json.loads((folder / CONFIG).read_bytes()).get("max_length", TOKENS)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StorageError(f"{folder}: not a static model ({type(error).__name__})", hint="distil it again") from None
    except Exception as error:  # tokenizers raises nothing narrower
        raise StorageError(f"{folder}: not a static model ({TOKENIZER}: {error})", hint="distil it again") from None
    if "mapping" in tensors:  # model2vec's shared vectors, and weights of single tokens
        table = table[tensors["mapping"]]
    if "weights" in tensors:
        table = table * tensors["weights"].astype(np.float32)[:, None]
    if len(table) != tokenizer.get_vocab_size():
        raise StorageError(f"{folder}: {len(table):,} vectors for {tokenizer.get_vocab_size():,} tokens", hint="distil it again")
    tokens = tokens_of(tokenizer, limit)

    def encode(texts: list[str], progress: Progress | None) -> Vectors:
        vectors = np.zeros((len(texts), table.shape[1]), np.float32)
        for start in range(0, len(texts), BLOCK):
            some = texts[start : start + BLOCK]
            vectors[start : start + BLOCK] = rounded(means(table, tokens(some)))
            if progress is not None:
                progress.add(len(some))
        return vectors

    return EncoderModel(table.shape[1], encode)


def tokens_of(tokenizer: Tokenizer, limit: int | None) -> Tokens:
    """A function from texts to token ids: no special tokens, none that are unknown, at most `limit` read of a text."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if limit is not None:
        tokenizer.enable_truncation(limit)
    unknown = json.loads(tokenizer.to_str())["model"].get("unk_token")
    nothing = None if unknown is None else tokenizer.token_to_id(unknown)

    def tokens(texts: list[str]) -> list[list[int]]:
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [[at for at in one.ids if at != nothing] for one in encodings]

    return tokens


def means(table: Vectors, ids: list[list[int]]) -> Vectors:
    """Mean vector of each list of tokens, shape (n, dim), summed in their order; zeros for an empty list."""
    counts: NDArray[np.int64] = np.fromiter((len(some) for some in ids), np.int64, len(ids))
    vectors = np.zeros((len(ids), table.shape[1]), np.float32)
    spoken = counts > 0
    if spoken.any():
        flat = np.fromiter((at for some in ids for at in some), np.int64, int(counts.sum()))
        starts = (np.cumsum(counts) - counts)[spoken]
        vectors[spoken] = np.add.reduceat(table[flat], starts, axis=0) / counts[spoken, None].astype(np.float32)
    return vectors
