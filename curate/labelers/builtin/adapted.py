"""The general head, adapted to a variety by `curate label fit`: load and apply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.store import sha256
from curate.labelers.builtin.ngram import GramTable
from curate.labelers.builtin.tuned import Tuned
from curate.labelers.platt import Platt
from curate.labelers.scoring import log_odds

KIND = "adapted head 1"


@dataclass(frozen=True)
class Adapted:
    """A logistic model on top of the general head: its logit, the sentence vector, its hidden units, and n-grams.

    Attributes:
        hash: sha256 of the file.
        tensors: `feature.weight` (width,), `ngram.weight` (BUCKETS,) int8.
        facts: `general` (weight of the general logit), `bias`, `ngram_scale`, `calibration`, `threshold`, `base` (hash of the
            general head), `variety`; `tuned` (hash of its weights) where the general logit is that of `tuned`.
    """

    hash: str
    tensors: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]

    @property
    def threshold(self) -> float:
        """Where a score starts to mean toxic."""
        return float(self.facts["threshold"])

    @property
    def on_tuned(self) -> bool:
        """Whether the general logit is that of `tuned`, and not the general head's."""
        return "tuned" in self.facts

    def logits(self, features: NDArray[np.float64], texts: Sequence[str], general: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logits of texts, shape (n,), by features (n, width; `head.features`) and logits of the general head (n,)."""
        made = self.facts["general"] * general + features @ self.tensors["feature.weight"].astype(np.float64)
        table = GramTable(self.tensors["ngram.weight"], self.facts["ngram_scale"], 0.0)
        return np.asarray(made + np.nan_to_num(table.logits(texts)) + self.facts["bias"])

    def probability(
        self, features: NDArray[np.float64], texts: Sequence[str], general: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Calibrated probability of toxicity, shape (n,); NaN where the general head abstains."""
        return Platt(**self.facts["calibration"]).probability(self.logits(features, texts, general))


@cache
def load_adapted(path: Path, base: str) -> Adapted:
    """Load what `curate label fit` wrote.

    Args:
        path: the file.
        base: sha256 of the general head in use.

    Raises:
        StorageError: no such file, not an adapted head, or one on top of another general head.
    """
    from safetensors import SafetensorError, safe_open

    try:
        found = sha256(path)
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, ValueError, SafetensorError):
        raise StorageError(f"{path}: cannot read these weights", hint="make them with `curate label fit`") from None
    if facts.get("kind") != KIND:
        raise StorageError(f"{path}: not a head that `curate label fit` made", hint="make one with `curate label fit`")
    if facts["base"] != base:
        raise StorageError(f"{path}: adapts another general head ({facts['base'][:12]}…)", hint="run `curate label fit` again")
    if facts.get("tuned", Tuned().models[0]) != Tuned().models[0]:
        raise StorageError(f"{path}: adapts another `tuned` ({facts['tuned'][:12]}…)", hint="run `curate label fit` again")
    return Adapted(found, tensors, facts)


def tuned_general(texts: Sequence[str]) -> NDArray[np.float64]:
    """General logits of texts by `tuned`, shape (n,), NaN for a blank one; kept with its scores."""
    return log_odds(Tuned().score(texts).astype(np.float64))
