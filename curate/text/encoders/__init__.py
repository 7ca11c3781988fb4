"""Texts to vectors: the built-in MiniLM, any sentence-transformers model, or a static model distilled from either."""

from curate.text.encoders.hub import fetch
from curate.text.encoders.minilm import BUILTIN, BUILTIN_DIM, BUILTIN_SHA256
from curate.text.encoders.named import Backend, Encoder, encoder
from curate.text.encoders.processor import Precision
from curate.text.encoders.vectors import Vectors

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
]
