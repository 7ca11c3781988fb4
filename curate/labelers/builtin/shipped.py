"""Load the weights that ship with the project: safetensors whose bytes must be those that were trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.store import sha256
from curate.labelers.platt import Platt

WEIGHTS = Path(__file__).with_name("weights")
SUMS = "SHA256SUMS"


@dataclass(frozen=True, eq=False)
class ShippedWeights:
    """Weights and what is known of them.

    Attributes:
        hash: sha256 of the file.
        tensors: arrays by name.
        facts: the file's metadata: `version`, `policy`, `trained_on`, `calibration` (slope and intercept of the logit),
            `threshold`, `rows`, `figures`.
    """

    hash: str
    tensors: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]

    @property
    def threshold(self) -> float:
        """Where a score starts to mean toxic."""
        return float(self.facts["threshold"])

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets, with the part of each that these weights saw."""
        return tuple(self.facts["trained_on"])

    def probability(self, logits: NDArray[np.float64]) -> NDArray[np.float32]:
        """Calibrated probability of toxicity, shape (n,); NaN stays NaN."""
        return Platt(**self.facts["calibration"]).probability(logits)


@cache
def load_shipped(name: str, version: int, folder: Path = WEIGHTS) -> ShippedWeights:
    """Load `<name>.safetensors`, once.

    Args:
        name: "head", "ngram", "reply" or "tuned".
        version: the version of the code that will read it.
        folder: holds the file, and SHA256SUMS.

    Raises:
        StorageError: missing, not the bytes that SHA256SUMS lists, or weights of another version of the code.
    """
    from safetensors import safe_open

    path = folder / f"{name}.safetensors"
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {file: sum_ for sum_, file in (line.split() for line in lines)}
        actual = sha256(path)
    except (OSError, ValueError):
        raise StorageError(f"{path}: cannot read these weights", hint="install the project again") from None
    if sums.get(path.name) != actual:
        raise StorageError(f"{path}: sha256 {actual[:12]}… is not what {SUMS} lists", hint="install the project again")
    with safe_open(path, framework="numpy") as file:
        facts = json.loads((file.metadata() or {}).get("facts", "{}"))
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    if facts.get("version") != version:
        raise StorageError(
            f"{path}: weights of version {facts.get('version')}, this code reads {version}", hint="run `make weights`"
        )
    return ShippedWeights(actual, tensors, facts)
