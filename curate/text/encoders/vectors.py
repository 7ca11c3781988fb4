"""What every encoder's vectors have in common: length 1, float16 precision, and no dependence on the texts beside them.

The last is true to the bit where a product's rows do not depend on how many there are. Under MKL's most compatible kernels
(MKL_CBWR=COMPATIBLE) the last rows do, which rounds a number or two of one text in 240 to the next of float16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import UserError
from curate.core.progress import Progress
from curate.text.batches import by_length

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class EncoderModel:
    """A model in memory.

    Attributes:
        dim: width of its vectors.
        encode: vectors (n, dim) of n different texts, as `rounded` leaves them; zeros for a blank one.
    """

    dim: int
    encode: Callable[[list[str], Progress | None], Vectors]


@dataclass(frozen=True)
class Network:
    """A torch model in memory.

    Attributes:
        dim: width of its vectors.
        inputs: token ids of texts, special tokens included, cut off where the model stops reading.
        forward: vectors (n, dim) of token ids (n, t), both tensors; in the precision of its weights.
    """

    dim: int
    inputs: Callable[[list[str]], list[list[int]]]
    forward: Callable[[Tensor], Tensor]

    def as_model(self, run: Callable[[NDArray[np.int64]], Vectors] | None = None) -> EncoderModel:
        """The model as an encoder; `run` takes the place of torch, from token ids (n, t) to vectors (n, dim)."""
        run = run or self._run

        def embed(texts: list[str]) -> Vectors:
            return run(np.array(self.inputs(texts), np.int64))

        return batched(self.dim, lambda texts: [len(ids) for ids in self.inputs(texts)], embed)

    def _run(self, ids: NDArray[np.int64]) -> Vectors:
        import torch

        with torch.inference_mode():
            return np.asarray(self.forward(torch.from_numpy(ids)).float().numpy(), np.float32)


def batched(dim: int, count: Callable[[list[str]], list[int]], embed: Callable[[list[str]], Vectors]) -> EncoderModel:
    """An encoder of a model that wants batches of one token length.

    Args:
        dim: width of its vectors.
        count: token counts of texts.
        embed: vectors (n, dim) of n texts that have one and the same token count, not necessarily normalised.
    """

    def encode(texts: list[str], progress: Progress | None) -> Vectors:
        return by_length(texts, count, lambda batch: rounded(embed(batch)), dim, 0.0, progress)

    return EncoderModel(dim, encode)


def rounded(vectors: Vectors) -> Vectors:
    """Vectors at length 1, then rounded to float16 precision.

    Raises:
        UserError: a number is not finite.
    """
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    if not np.isfinite(lengths).all():
        raise UserError("encoder: a vector is not finite; this model cannot encode a text", hint="take another encoder")
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32).astype(np.float16).astype(np.float32)
