"""Texts to vectors: the built-in MiniLM, any sentence-transformers model by folder or Hub id, or a static model.

A vector depends on its text alone. Padding is what makes an encoder's low bits depend on the company a text keeps, so texts
are batched with others of exactly their token length and nothing is padded. Measured on 4,000 messages: the fp32 values are then
bit for bit the same for batches from 128 to 4,096 tokens, whatever the neighbours; only a text of three tokens quite alone
differed (a product with so few rows takes another kernel), so small batches are filled with repeats. With padding, the usual
way, 13 % of texts changed in fp32 and 10 % in float16 when their neighbours did. Another kind of processor may still differ
in the last bits of fp32; rounding to float16 precision hides most of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Literal

from curate.core.cache import cached
from curate.core.errors import RecipeError
from curate.core.progress import Progress
from curate.core.schema import digest
from curate.core.store import folder_hash
from curate.text.encoders.folder import load_folder, load_network
from curate.text.encoders.hub import fetch
from curate.text.encoders.minilm import BUILTIN, BUILTIN_DIM, BUILTIN_SHA256, load_minilm
from curate.text.encoders.openvino_export import export_hash, load_export
from curate.text.encoders.processor import Precision
from curate.text.encoders.static import is_static, load_static
from curate.text.encoders.vectors import EncoderModel, Network, Vectors

VERSION = "1"  # of what this package does with a model; part of the cache's key

Backend = Literal["torch", "openvino"]


@dataclass(frozen=True)
class Encoder:
    """Encodes texts; the weights are read when they are first needed.

    Attributes:
        name: what the recipe calls it.
    """

    name: str
    _hash: Callable[[], str] = field(repr=False)
    _load: Callable[[], EncoderModel] = field(repr=False)
    _dim: int | None = None

    @cached_property
    def hash(self) -> str:
        """Of all that decides what it puts out: its files, and where they are not the usual, precision and backend."""
        return self._hash()

    @cached_property
    def _model(self) -> EncoderModel:
        return self._load()

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        return self._model.dim if self._dim is None else self._dim

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Encode texts on one thread; each different text once, and none that an earlier build encoded.

        Args:
            texts: any texts, in any order.
            progress: told of every different text that is done.

        Returns:
            Shape (n, dim): normalised to length 1, then rounded to float16 precision; zeros for a text that is blank. The
            vector of a text does not depend on the other texts.

        Raises:
            UserError: the encoder's files are missing, changed or unreadable.
        """
        key = digest("encoder", VERSION, self.hash)
        return cached(key, texts, lambda missing: self._model.encode(missing, progress), self.dim, progress)


@cache
def encoder(name: str, precision: Precision = "fp32", backend: Backend = "torch") -> Encoder:
    """The encoder that a recipe names.

    Args:
        name: `builtin:minilm`, a folder, or a Hub id (the only case that may use the network).
        precision: of weights and products; bf16 works on any processor, slowly on one without an instruction for it.
        backend: what runs the model.

    Raises:
        RecipeError: no such encoder, or not in that precision or by that backend.
        StorageError: the model's files cannot be read.
    """
    network: Callable[[], Network]
    load: Callable[[], EncoderModel]
    dim = None
    if name == BUILTIN:
        hashed, dim = BUILTIN_SHA256, BUILTIN_DIM
        network = partial(load_minilm, precision)
        load = lambda: network().as_model()  # noqa: E731 - like the others
    elif name.startswith("builtin:"):
        raise RecipeError(f"encoder {name}: not built in", hint=f"there is {BUILTIN}, or name a folder or a Hub id")
    else:
        folder = Path(name).expanduser()
        folder = folder if folder.is_dir() else fetch(name)
        hashed = folder_hash(folder)
        if is_static(folder):
            _check_plain(name, precision, backend)
            return Encoder(name, lambda: hashed, lambda: load_static(folder))
        network, load = partial(load_network, folder), partial(load_folder, folder, precision)
    if backend == "openvino":
        return Encoder(name, lambda: export_hash(hashed), lambda: load_export(network, export_hash(hashed)), dim)
    return Encoder(name, lambda: hashed if precision == "fp32" else digest(precision, hashed, size=32), load, dim)


def _check_plain(name: str, precision: Precision, backend: Backend) -> None:
    if (precision, backend) != ("fp32", "torch"):
        raise RecipeError(
            f"encoder {name}: is a static model, which is only looked up: it takes no precision and no backend",
            hint="remove them",
        )
