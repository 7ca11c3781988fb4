"""Log-probabilities on disk, by weights and tokens: shared by seeds, data sizes and objectives.

A folder holds one file per call that added something. A file is named by the hash of its bytes, so that a damaged one is
noticed and left out, and that processes which add at the same time never overwrite each other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from curate.core.store import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from align.training.packing.pack import Segment


def segment_key(segment: Segment) -> bytes:
    """16 bytes that name a prompt and a completion by their tokens."""
    prompt, completion = segment
    return xxhash.xxh3_128_digest(array("q", [len(prompt), *prompt, *completion]).tobytes())


class LogProbStore:
    """Reads what a folder holds on the first call; `add` writes at once.

    Args:
        folder: the folder of one reference; made when something is added.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._folder = folder
        self._known: dict[bytes, float] | None = None

    def missing(self, keys: Iterable[bytes]) -> list[bytes]:
        """Those that the folder does not hold, each once, in order."""
        known = self._read()
        return [key for key in dict.fromkeys(keys) if key not in known]

    def __getitem__(self, key: bytes) -> float:
        """A log-probability, nats."""
        return self._read()[key]

    def refresh(self) -> None:
        """Look again: other processes have added to the folder."""
        self._known = None

    def add(self, keys: Sequence[bytes], values: Tensor) -> None:
        """Keep log-probabilities.

        Args:
            keys: as `segment_key` makes them.
            values: shape (keys,), on the CPU; they come back in their own precision.
        """
        import torch
        from safetensors.torch import save

        named = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(len(keys), -1)
        data = save({"key": named, "log_prob": values.contiguous()})
        self._folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self._folder / f"{xxhash.xxh3_128_hexdigest(data)}.safetensors", data)
        self._read().update(zip(keys, values.tolist(), strict=True))

    def _read(self) -> dict[bytes, float]:
        if self._known is None:
            self._known = {}
            for path in sorted(self._folder.glob("*.safetensors")):
                self._known |= _entries(path)
        return self._known


def _entries(path: Path) -> dict[bytes, float]:
    """What a file holds; nothing where its bytes are not those that named it."""
    from safetensors.torch import load

    data = path.read_bytes()
    if xxhash.xxh3_128_hexdigest(data) != path.stem:
        path.unlink(missing_ok=True)
        return {}
    tensors = load(data)
    named, values = tensors["key"].numpy(), tensors["log_prob"].tolist()
    return {key.tobytes(): value for key, value in zip(named, values, strict=True)}
