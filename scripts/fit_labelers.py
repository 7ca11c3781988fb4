"""Fit `ngram` and `head`: texts, labels and weights in; tensors, facts and a logit function out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from augmentation import dress
from numpy.typing import NDArray

from curate.labelers.features import BUCKETS, char_features, pair_features, word_features, words

NGRAM_C = 2.0  # inverse strength of the penalty; 1, 2 and 8 differed by .002 of ROC-AUC
SMOOTHING = 0.3  # added to a feature's counts before its log-count ratio
HIDDEN, EPOCHS, BATCH, RATE, DECAY = 256, 15, 256, 1e-3, 0.1  # 1,024 wide: HateCheck +.03, ParaDetox -.02
SEED = 7
# Tried for `head` and not kept: three nets averaged, and a third of the texts met again with a particle. Both left ROC-AUC within
# .001; an appended particle then still flipped 3.9 to 4.2 % of decisions instead of 4.5 %.

Floats = NDArray[np.float64]
Fitted = tuple[dict[str, NDArray[Any]], dict[str, Any], Callable[[Sequence[str]], Floats]]


def fit_ngram(texts: Sequence[str], toxic: NDArray[np.bool_], weight: Floats) -> Fitted:
    """A logistic model over n-gram counts scaled by their log-count ratio, its weights rounded to int8."""
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression

    counts = _counts([dress(text, f"ngram {text}") for text in texts])
    ratio = _log_count_ratio(counts, toxic)
    model = LogisticRegression(C=NGRAM_C, solver="liblinear", max_iter=300, random_state=SEED)
    model.fit(counts @ sp.diags_array(ratio), toxic.astype(int), sample_weight=weight)
    exact = model.coef_[0] * ratio
    scale = float(np.abs(exact).max() / 127.0)
    rounded = np.round(exact / scale).astype(np.int8)
    bias = float(model.intercept_[0])

    def logits(new: Sequence[str]) -> Floats:
        return np.asarray(_counts(new) @ (rounded * scale) + bias)

    return {"weight": rounded}, {"scale": scale, "bias": bias}, logits


def _counts(texts: Sequence[str]) -> Any:  # noqa: ANN401 - a sparse matrix; scipy is imported inside
    """Shape (n, BUCKETS): words, skeletons and pairs over the root of their number; character n-grams likewise."""
    import scipy.sparse as sp

    own, chars = lru_cache(None)(word_features), lru_cache(None)(char_features)
    lines, places, values = [], [], []
    for line, text in enumerate(texts):
        found = words(text)
        for block in (
            [at for word in found for at in own(word)] + list(pair_features(found)),
            [at for word in found for at in chars(word)],
        ):
            lines.append(np.full(len(block), line, np.int32))
            places.append(np.array(block, np.int32))
            values.append(np.full(len(block), 1.0 / max(len(block), 1) ** 0.5))
    flat = (np.concatenate(values), (np.concatenate(lines), np.concatenate(places)))
    return sp.csr_array(flat, shape=(len(texts), BUCKETS))


def _log_count_ratio(counts: Any, toxic: NDArray[np.bool_]) -> Floats:  # noqa: ANN401
    sides = [np.asarray(counts[np.flatnonzero(side)].sum(axis=0)).ravel() + SMOOTHING for side in (toxic, ~toxic)]
    return np.asarray(np.log((sides[0] / sides[0].sum()) / (sides[1] / sides[1].sum())))


def fit_head(
    encode: Callable[[Sequence[str]], NDArray[np.float32]], texts: Sequence[str], toxic: NDArray[np.bool_], weight: Floats
) -> Fitted:
    """One hidden layer beside a direct linear path, over sentence vectors."""
    import torch

    vectors = torch.from_numpy(encode([dress(text, f"head {text}") for text in texts]))
    goal, weights = torch.from_numpy(toxic.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    hidden, out, direct = (
        torch.nn.Linear(vectors.shape[1], HIDDEN),
        torch.nn.Linear(HIDDEN, 1),
        torch.nn.Linear(vectors.shape[1], 1, bias=False),
    )
    parameters = [*hidden.parameters(), *out.parameters(), *direct.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(texts) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE * 3, total_steps=steps)
    for _ in range(EPOCHS):
        for at in torch.randperm(len(texts)).split(BATCH):
            x = vectors[at]
            inner = torch.nn.functional.dropout(torch.relu(hidden(x)), 0.3)
            logit = (out(inner) + direct(x)).squeeze(1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, goal[at], weights[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    tensors = {
        "hidden.weight": hidden.weight.detach().numpy().T.astype(np.float16),
        "hidden.bias": hidden.bias.detach().numpy().astype(np.float16),
        "out.weight": out.weight.detach().numpy()[0].astype(np.float16),
        "direct.weight": direct.weight.detach().numpy()[0].astype(np.float16),
    }
    bias = float(out.bias.detach().numpy()[0])

    def logits(new: Sequence[str]) -> Floats:
        x = encode(new).astype(np.float64)
        inner = np.maximum(x @ tensors["hidden.weight"].astype(np.float64) + tensors["hidden.bias"], 0.0)
        return np.asarray(
            inner @ tensors["out.weight"].astype(np.float64) + x @ tensors["direct.weight"].astype(np.float64) + bias
        )

    return tensors, {"bias": bias}, logits


def calibrate(logits: Floats, toxic: NDArray[np.bool_]) -> dict[str, float]:
    """Slope and intercept that make logits probabilities where both classes are equally likely.

    Source: Platt (1999), Probabilistic Outputs for Support Vector Machines.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, class_weight="balanced").fit(logits[:, None], toxic.astype(int))
    return {"slope": float(model.coef_[0, 0]), "intercept": float(model.intercept_[0])}
