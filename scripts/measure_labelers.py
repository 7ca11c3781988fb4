"""Figures of a labeler on rows it has not seen: what the model card says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from augmentation import PARTICLES, particle
from numpy.typing import NDArray

from curate.core.schema import digest

PLAIN = ("self_instruct", "singlish_treebank")  # plain harmless English, plain Singlish
PLAIN_FLAGGED = {"head": 0.03, "ngram": 0.01, "tuned": 0.03}
"""Share of plain text that may lie above each labeler's threshold.

A judge must be strict. `head` at 0.01 would miss three of four toxic texts: some treebank talk is offensive, and nobody has
labelled it. As a labeler it decides by the band of the consensus, not by this.
"""
SAMPLE = 1500  # texts of each evaluation-only set, and texts that get a particle
BINS = 10

Score = Callable[[Sequence[str]], NDArray[np.float32]]


def plain_threshold(held: pl.DataFrame, score: Score, most: float) -> float:
    """The least score, in steps of .01 from .5, above which at most this share of plain English and of plain Singlish lies."""
    scores = [score(held.filter(pl.col("set") == name)["text"].to_list()) for name in PLAIN]
    for step in range(50, 100):
        if all(np.mean(one > step / 100) <= most for one in scores):
            return step / 100
    return 0.99


def figures(rows: pl.DataFrame, score: Score, threshold: float, data: Path) -> dict[str, Any]:
    """Every figure of the card, on the test part and on sets that trained nothing."""
    from sklearn.metrics import roc_auc_score

    test = rows.filter(pl.col("part") == "test")
    test = test.with_columns(score=pl.Series(score(test["text"].to_list()), dtype=pl.Float64)).filter(
        pl.col("score").is_not_nan()
    )
    sets = {}
    for (name,), group in sorted(test.group_by("set")):
        toxic, scores = group["toxic"].to_numpy(), group["score"].to_numpy()
        both = 0 < toxic.sum() < len(toxic)
        sets[str(name)] = {
            "rows": len(toxic),
            "toxic": int(toxic.sum()),
            "roc_auc": round(float(roc_auc_score(toxic, scores)), 3) if both else None,
            "true_positives": round(float((scores[toxic] > threshold).mean()), 3) if toxic.any() else None,
            "false_positives": round(float((scores[~toxic] > threshold).mean()), 3) if not toxic.all() else None,
        }
    toxic, scores = test["toxic"].to_numpy(), test["score"].to_numpy()
    return {
        "sets": sets,
        "roc_auc": round(float(roc_auc_score(toxic, scores)), 3),
        "true_positives": round(float((scores[toxic] > threshold).mean()), 3),
        "false_positives": round(float((scores[~toxic] > threshold).mean()), 3),
        "calibration_error": round(_calibration_error(scores, toxic), 3),
        "plain_flagged": _plain(test, score, threshold, data),
        "particle_flips": _flips(test["text"].to_list(), score, threshold),
    }


def reply_figures(rows: pl.DataFrame, score: Callable[[list[str], list[str]], NDArray[np.float32]]) -> dict[str, Any]:
    """Figures of `reply` on the replies of the test part, by the set's own kinds of harm, as far as both labels are there."""
    from sklearn.metrics import roc_auc_score

    test = rows.filter(pl.col("part") == "test", pl.col("prompt").is_not_null())
    scores, kinds = score(test["text"].to_list(), test["prompt"].to_list()), {}
    toxic = test["toxic"].to_numpy()
    for kind in sorted(test["kind"].unique()):
        mask = (test["kind"] == kind).to_numpy()
        if 0 < toxic[mask].sum() < mask.sum():
            kinds[str(kind)] = {"rows": int(mask.sum()), "roc_auc": round(float(roc_auc_score(toxic[mask], scores[mask])), 3)}
    return {"kinds": kinds, "roc_auc": round(float(roc_auc_score(toxic, scores)), 3), "rows": len(toxic)}


def _calibration_error(scores: NDArray[np.float64], toxic: NDArray[np.bool_]) -> float:
    """Expected calibration error over BINS bins of equal width, classes weighted alike.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks.
    """
    weight = np.where(toxic, 0.5 / toxic.sum(), 0.5 / (~toxic).sum())
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    return float(sum(abs(np.sum(weight[place == at] * (scores[place == at] - toxic[place == at]))) for at in range(BINS)))


def _plain(test: pl.DataFrame, score: Score, threshold: float, data: Path) -> dict[str, Any]:
    """Share of plain text flagged: Singlish beside English. SGD and NUS SMS train nothing (their licences do not allow it)."""
    shares = {}
    texts = {
        "singlish_treebank (test part)": test.filter(pl.col("set") == "singlish_treebank")["text"].to_list(),
        "nus_sms, Singapore (evaluation only)": _sample(
            data / "nus_sms_dev/nus_sms_en_dev.jsonl.gz", "text", lambda row: row["country"] in ("Singapore", "SG")
        ),
        "self_instruct (test part)": test.filter(pl.col("set") == "self_instruct")["text"].to_list(),
        "sgd_dialogue_pairs (evaluation only)": _sample(
            data / "sgd_dialogue_pairs/sgd_pairs_20k.jsonl.gz", "completion", lambda row: True
        ),
    }
    for name, plain in texts.items():
        scores = score(plain)
        scores = scores[~np.isnan(scores)]
        shares[name] = {"texts": len(scores), "flagged": round(float((scores > threshold).mean()), 4)}
    return shares


def _sample(path: Path, column: str, wanted: Callable[[dict[str, Any]], bool]) -> list[str]:
    found = {row[column] for row in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()) if wanted(row)}
    return sorted(found, key=lambda text: digest("evaluation sample", text))[:SAMPLE]


def _flips(texts: list[str], score: Score, threshold: float) -> float:
    """Share of decisions that change when a particle is appended."""
    texts = sorted(texts, key=lambda text: digest("particle sample", text))[:SAMPLE]
    longer = [particle(text, PARTICLES[int(digest(text), 16) % len(PARTICLES)]) for text in texts]
    return round(float(((score(texts) > threshold) != (score(longer) > threshold)).mean()), 4)
