"""The general head, adapted to a variety by `curate label fit`: load and apply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.store import sha256
from curate.labelers.builtin.ngram import GramTable
from curate.labelers.builtin.tuned import Tuned
from curate.labelers.platt import Floats, Platt
from curate.labelers.scoring import log_odds

KIND = "adapted head 1"


@dataclass(frozen=True, eq=False)
class AdaptedModel:
    """A logistic model on top of the general head: its logit, the sentence vector, its hidden units, and n-grams.

    Attributes:
        features: weights of `head.features`, shape (width,).
        grams: weights of n-grams, shape (BUCKETS,), int8.
        gram_scale: what one unit of them is worth, in logits.
        general: weight of the general logit.
        bias: in logits.
    """

    features: NDArray[np.float32]
    grams: NDArray[np.int8]
    gram_scale: float
    general: float
    bias: float

    def logits(self, features: Floats, texts: Sequence[str], general: Floats) -> Floats:
        """Logits of texts, shape (n,), by features (n, width; `head.features`) and logits of the general head (n,)."""
        dense = self.general * general + features @ self.features.astype(np.float64)
        grams = GramTable(self.grams, self.gram_scale, 0.0).logits(texts)
        return np.asarray(dense + np.nan_to_num(grams) + self.bias)


@dataclass(frozen=True, eq=False)
class Adapted:
    """What `curate label fit` wrote.

    Attributes:
        hash: sha256 of the file.
        threshold: where a score starts to mean toxic.
        on_tuned: whether the general logit is that of `tuned`, and not the general head's.
    """

    hash: str
    model: AdaptedModel
    calibration: Platt
    threshold: float
    on_tuned: bool

    def probability(self, features: Floats, texts: Sequence[str], general: Floats) -> NDArray[np.float32]:
        """Calibrated probability of toxicity, shape (n,), by what `model.logits` takes; NaN where the general head abstains."""
        return self.calibration.probability(self.model.logits(features, texts, general))


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
        hashed = sha256(path)
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
    numbers = (float(facts[name]) for name in ("ngram_scale", "general", "bias"))
    model = AdaptedModel(tensors["feature.weight"], tensors["ngram.weight"], *numbers)
    return Adapted(hashed, model, Platt(**facts["calibration"]), float(facts["threshold"]), "tuned" in facts)


def tuned_general(texts: Sequence[str]) -> Floats:
    """General logits of texts by `tuned`, shape (n,), NaN for a blank one; kept with its scores."""
    return log_odds(Tuned().score(texts).astype(np.float64))
