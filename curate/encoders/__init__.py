"""Texts to vectors: the built-in MiniLM, any sentence-transformers model, or a static model distilled from either."""

from curate.encoders.hub import fetch, folder_hash
from curate.encoders.minilm import BUILTIN, BUILTIN_DIM, BUILTIN_SHA256
from curate.encoders.named import Backend, Encoder, encoder
from curate.encoders.processor import Precision
from curate.encoders.vectors import Vectors

__all__ = [
    "BUILTIN",
    "BUILTIN_DIM",
    "BUILTIN_SHA256",
    "Backend",
    "Encoder",
    "Precision",
    "Vectors",
    "encoder",
    "fetch",
    "folder_hash",
]
