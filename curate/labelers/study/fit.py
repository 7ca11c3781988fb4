"""Adapt the general head to a variety from N labelled texts: a logistic model on its logit, vector, hidden units and n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.core.schema import digest
from curate.labelers.builtin.adapted import AdaptedModel
from curate.labelers.builtin.features import BUCKETS, char_features, pair_features, word_features, words
from curate.labelers.platt import Floats
from curate.labelers.study.measures import roc_auc

if TYPE_CHECKING:
    from scipy.sparse import csr_array


FEATURE_SCALE = 4.0  # of unit vectors beside an n-gram vector of length 1 and a logit
GRAM_SCALE = 1.0
GENERAL_SCALE = 3.0  # a large input is a small penalty: the general logit is to be trusted first
STRENGTH = 0.05  # C of the penalty at any number of rows
FOLDS = 5


@dataclass(frozen=True)
class Examples:
    """Labelled texts, and what the general model says of them.

    Attributes:
        texts: n texts.
        features: shape (n, width), as `head.features` makes them.
        general: logits of the general head, shape (n,).
        toxic: shape (n,).
        groups: template, thread or the like of each text: no group is on both sides of a fold.
    """

    texts: Sequence[str]
    features: Floats
    general: Floats
    toxic: NDArray[np.bool_]
    groups: Sequence[str]

    def take(self, places: NDArray[np.int64]) -> Examples:
        """Some of them."""
        return Examples(
            [self.texts[at] for at in places],
            self.features[places],
            self.general[places],
            self.toxic[places],
            [self.groups[at] for at in places],
        )


def fit(examples: Examples) -> AdaptedModel:
    """The model of an adapted head, before calibration."""
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression

    center = float(examples.general.mean())
    spread = float(examples.general.std()) or 1.0
    dense = np.hstack([(examples.general[:, None] - center) / spread * GENERAL_SCALE, examples.features * FEATURE_SCALE])
    inputs = sp.hstack([sp.csr_array(dense), grams(examples.texts) * GRAM_SCALE]).tocsr()
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="liblinear", intercept_scaling=10.0)
    model.fit(inputs, examples.toxic.astype(int))
    coefficients, dim = model.coef_[0], examples.features.shape[1]
    general = float(coefficients[0]) * GENERAL_SCALE / spread
    exact = coefficients[1 + dim :] * GRAM_SCALE
    scale = float(np.abs(exact).max() / 127.0) or 1.0
    return AdaptedModel(
        (coefficients[1 : 1 + dim] * FEATURE_SCALE).astype(np.float32),
        np.round(exact / scale).astype(np.int8),
        scale,
        general,
        float(model.intercept_[0]) - general * center,
    )


def unseen_logits(train: Examples, test: Examples) -> Floats:
    """What a fit to some texts says of others, shape (n,); where those are of one kind, the general head answers."""
    if not 0 < train.toxic.sum() < len(train.texts):
        return test.general
    return fit(train).logits(test.features, test.texts, test.general)


def folds(groups: Sequence[str], seed: int, count: int = FOLDS) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places to train on and to test on, by group: groups are dealt out in the order of a keyed hash."""
    names = sorted(set(groups), key=lambda group: digest("fold", str(seed), group))
    fold = {name: at % count for at, name in enumerate(names)}
    of = np.array([fold[group] for group in groups])
    for at in range(count):
        yield np.flatnonzero(of != at), np.flatnonzero(of == at)


def curve(examples: Examples, sizes: Sequence[int], seeds: int) -> dict[int, list[float]]:
    """ROC-AUC on unseen groups by number of labelled texts, one number a seed.

    Args:
        examples: labelled texts.
        sizes: numbers of texts to learn from; more than there are means all.
        seeds: how often folds and the texts in them are drawn again.

    Returns:
        For each size, the mean ROC-AUC of the folds whose test texts are of both kinds, per seed; NaN without such a fold.
        Where the texts to learn from are of one kind, the general head answers.
    """
    areas: dict[int, list[float]] = {size: [] for size in sizes}
    for seed in range(seeds):
        cuts = list(folds(examples.groups, seed))
        for size in sizes:
            scores: list[float] = []
            for train, test in cuts:
                some = examples.take(np.random.default_rng(seed).permutation(train)[:size])
                scores.append(roc_auc(unseen_logits(some, examples.take(test)), examples.toxic[test]))
            finite = [score for score in scores if np.isfinite(score)]
            areas[size].append(float(np.mean(finite)) if finite else float("nan"))
    return areas


def grams(texts: Sequence[str]) -> csr_array:
    """Hashed n-grams, shape (n, BUCKETS): words, skeletons and pairs over the root of their number; characters likewise."""
    import scipy.sparse as sp

    lines, places, values = [], [], []
    for line, text in enumerate(texts):
        spoken = words(text)
        own = [at for word in spoken for at in word_features(word)] + list(pair_features(spoken))
        for block in (own, [at for word in spoken for at in char_features(word)]):
            lines.append(np.full(len(block), line, np.int32))
            places.append(np.array(block, np.int32))
            values.append(np.full(len(block), 1.0 / max(len(block), 1) ** 0.5))
    flat = (np.concatenate(values), (np.concatenate(lines), np.concatenate(places)))
    return sp.csr_array(flat, shape=(len(texts), BUCKETS))
