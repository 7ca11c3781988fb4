"""Fit `ngram` and `head`: texts, labels and weights in; tensors, facts and a logit function out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
from augmentation import PARTICLES, dress, particle
from numpy.typing import NDArray

from curate.core.schema import digest
from curate.labelers.builtin.features import BUCKETS, char_features, pair_features, word_features, words
from curate.labelers.builtin.head import net_logits
from curate.labelers.builtin.reply import GRID, WIDTH, whole
from curate.labelers.platt import fit_platt

NGRAM_C = 2.0  # inverse strength of the penalty; 1, 2 and 8 differed by .002 of ROC-AUC
SMOOTHING = 0.3  # added to a feature's counts before its log-count ratio
HIDDEN, EPOCHS, BATCH, RATE, DECAY, DROPOUT = 256, 6, 256, 1e-3, 0.1, 0.3
PAIRING = 0.1  # cost of a squared unit of logit between a text and the same text dressed
ERASED, ERASE_TEXTS, SHORT = 24, 3000, 110  # directions, texts they are found on, characters
REPLY_C = 1.0  # most that one reply may weigh; 2 changed ROC-AUC by .002
SEED = 7

Floats = NDArray[np.float64]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
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


def fit_net(encode: Encode, texts: Sequence[str], toxic: NDArray[np.bool_], weight: Floats) -> Fitted:
    """One hidden layer beside a direct linear path over sentence vectors from which the directions of dress are erased.

    Every text is met twice in a batch, plain and dressed; a difference between the two logits costs, whatever the label.

    Source: Bolukbasi et al. (2016), Man is to Computer Programmer as Woman is to Homemaker? (a subspace of differences is
    projected out); Garg et al. (2019), Counterfactual Fairness in Text Classification (logit pairing).
    """
    import torch

    plain = encode(texts)
    dressed = encode([dress(text, f"head {text}") for text in texts])
    erase = _directions(encode, texts)
    views = [torch.from_numpy(x - x @ erase.astype(np.float32) @ erase.T.astype(np.float32)) for x in (plain, dressed)]
    goal, weights = torch.from_numpy(toxic.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    hidden, out, direct = (
        torch.nn.Linear(plain.shape[1], HIDDEN),
        torch.nn.Linear(HIDDEN, 1),
        torch.nn.Linear(plain.shape[1], 1, bias=False),
    )
    parameters = [*hidden.parameters(), *out.parameters(), *direct.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(texts) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE * 3, total_steps=steps)
    for _ in range(EPOCHS):
        for at in torch.randperm(len(texts)).split(BATCH):
            x = torch.cat([view[at] for view in views])
            mask = (torch.rand(len(at), HIDDEN) > DROPOUT).float().repeat(2, 1) / (1 - DROPOUT)  # one mask for both views
            logit = (out(torch.relu(hidden(x)) * mask) + direct(x)).squeeze(1)
            one, two = logit.chunk(2)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, goal[at].repeat(2), weights[at].repeat(2))
            loss = loss + PAIRING * ((one - two) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    tensors = {
        "erase": erase,
        "hidden.weight": hidden.weight.detach().numpy().T.astype(np.float16),
        "hidden.bias": hidden.bias.detach().numpy().astype(np.float16),
        "out.weight": out.weight.detach().numpy()[0].astype(np.float16),
        "direct.weight": direct.weight.detach().numpy()[0].astype(np.float16),
    }
    bias = float(out.bias.detach().numpy()[0])
    return tensors, {"bias": bias}, lambda new: net_logits(tensors, bias, encode(new))


def _directions(encode: Encode, texts: Sequence[str]) -> NDArray[np.float16]:
    """Orthonormal directions, shape (width, ERASED), along which a particle moves the vector of a text most."""
    some = sorted((text for text in texts if len(text) < SHORT), key=lambda text: digest("erase", text))[:ERASE_TEXTS]
    moved = encode([particle(text, PARTICLES[int(digest(text), 16) % len(PARTICLES)]) for text in some]) - encode(some)
    _, _, rows = np.linalg.svd(moved.astype(np.float64), full_matrices=False)
    return np.asarray(rows[:ERASED].T, np.float16)


def fit_reply(encode: Encode, prompts: Sequence[str], texts: Sequence[str], toxic: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Tensors of a support-vector machine over replies beside their prompts: int8 vectors of those that count, and their weights.

    Without its constant: far from all it has seen it says nothing.
    """
    from sklearn.svm import SVC

    inputs = np.hstack([whole(encode(texts)), whole(encode(prompts))]) / GRID
    model = SVC(C=REPLY_C, gamma=WIDTH).fit(inputs, toxic.astype(int))
    sides = np.hsplit(np.round(inputs[model.support_] * GRID).astype(np.int8), 2)
    return {"weight": model.dual_coef_[0].astype(np.float16), "text": sides[0], "prompt": sides[1]}


def calibrate(logits: Floats, toxic: NDArray[np.bool_]) -> dict[str, float]:
    """Slope and intercept that make logits probabilities where both classes are equally likely."""
    return asdict(fit_platt(logits, toxic, balanced=True, strength=1e6))


def stacked(inputs: Floats, toxic: NDArray[np.bool_]) -> tuple[dict[str, float], dict[str, float]]:
    """How much the network and the n-grams count (their shares add up to 1), and the calibration of what they make together."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, class_weight="balanced").fit(inputs, toxic.astype(int))
    weights = np.maximum(model.coef_[0], 0.0)
    shares = weights / weights.sum()
    return {"net": float(shares[0]), "ngram": float(shares[1])}, calibrate(inputs @ shares, toxic)
