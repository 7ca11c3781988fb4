"""What `curate label fit` does: encode, cross-validate, draw the learning curve, calibrate, write the head and its card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.errors import DataError
from curate.core.progress import Progress
from curate.core.store import write_bytes, write_text
from curate.labelers.builtin.adapted import KIND, tuned_general
from curate.labelers.builtin.head import ENCODER, Head, features, general_logits
from curate.labelers.builtin.shipped import load_shipped
from curate.labelers.builtin.tuned import Tuned
from curate.labelers.platt import Floats, fit_platt
from curate.labelers.study.evaluate import evaluate, lines
from curate.labelers.study.fit import Examples, curve, fit, folds, unseen_logits

THRESHOLD = 0.5  # of a score calibrated on texts of both kinds, each weighing half


def adapt(
    rows: pl.DataFrame, variety: str, out: Path, sizes: Sequence[int], seeds: int, *, on_tuned: bool = False
) -> Iterator[str]:
    """Fit on all labelled texts, measure on unseen groups, write `out` and `out`'s card; yields lines to print.

    Args:
        rows: `text`, `toxic`, `group`.
        variety: recorded.
        out: the .safetensors file.
        sizes: numbers of texts on the learning curve; those that there are fewer texts for are left out, all is added.
        seeds: draws of the curve.
        on_tuned: start from what `tuned` says of a text instead of the general head: better, for a second pass of the encoder.

    Raises:
        DataError: `out` is no .safetensors file: its card, a .md file, lies beside it.
    """
    if out.suffix != ".safetensors":
        raise DataError(f"--out {out}: weights go into a .safetensors file", hint="name one, such as head.safetensors")
    from safetensors.numpy import save

    from curate.text.encoders import encoder

    general = load_shipped("head", Head.VERSION)
    texts = rows["text"].to_list()
    with Progress("encode", len(set(texts)), "texts") as progress:
        vectors = encoder(ENCODER).encode(texts, progress)
    examples = Examples(
        texts,
        features(general, vectors),
        tuned_general(texts) if on_tuned else general_logits(general, vectors, texts),
        rows["toxic"].to_numpy(),
        rows["group"].to_list(),
    )
    unseen = _unseen(examples)
    calibration = fit_platt(unseen, examples.toxic, balanced=True)
    scores = 1.0 / (1.0 + np.exp(-calibration.logits(unseen)))
    page = evaluate(rows, scores, THRESHOLD)
    areas = curve(examples, [0, *(size for size in sizes if size < 0.8 * len(texts)), len(texts)], seeds)
    table = [(size, float(np.mean(one)), float(min(one)), float(max(one))) for size, one in areas.items()]
    model = fit(examples)
    facts = {
        "general": model.general,
        "bias": model.bias,
        "ngram_scale": model.gram_scale,
        "kind": KIND,
        "variety": variety,
        "base": general.hash,
        "texts": len(texts),
        "groups": page.overall.groups,
        "calibration": asdict(calibration),
        "threshold": THRESHOLD,
        "figures": asdict(page.overall),
        "curve": table,
    }
    facts |= {"tuned": Tuned().models[0]} if on_tuned else {}
    weights: dict[str, NDArray[Any]] = {"feature.weight": model.features, "ngram.weight": model.grams}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}
    write_bytes(out, save(tensors, metadata={"facts": json.dumps(facts, sort_keys=True)}))
    write_text(out.with_suffix(".md"), card(facts))
    yield f"{out}: {variety}, from {len(texts):,} texts in {facts['groups']:,} groups; on groups it had not seen:"
    yield from lines(page)
    yield "labelled texts -> ROC-AUC on unseen groups (mean, least and most of the seeds)"
    yield from (f"  {size or 'none':>6}: {middle:.3f} [{low:.3f}, {high:.3f}]" for size, middle, low, high in table)


def _unseen(examples: Examples) -> Floats:
    """Logits of every text by a head that saw no text of its group."""
    logits = np.zeros(len(examples.texts))
    for train, test in folds(examples.groups, seed=0):
        logits[test] = unseen_logits(examples.take(train), examples.take(test))
    return logits


def card(facts: dict[str, Any]) -> str:
    """Model card of an adapted head; every number is the file's own."""
    area, low, high = facts["figures"]["roc_auc"]
    rows = "".join(
        f"| {size or 'none'} | {middle:.3f} | {least:.3f} | {most:.3f} |\n" for size, middle, least, most in facts["curve"]
    )
    logit = "the logit of `tuned`" if "tuned" in facts else "its logit"
    return (
        "---\nlibrary_name: margins\ntags: [toxicity, text-classification]\n---\n\n"
        f"# Head for {facts['variety']}\n\n"
        f"The built-in head (sha256 {facts['base'][:12]}…), adapted with {facts['texts']:,} labelled texts in "
        f"{facts['groups']:,} groups: a logistic model on {logit}, the sentence vector, its hidden units and hashed n-grams. "
        "The texts are not in the file; whoever shares it needs the right to share what was learnt from them.\n\n"
        f"On groups it had not seen: ROC-AUC {area:.3f} [{low:.3f}, {high:.3f}] (95 %, groups resampled), calibration error "
        f"{facts['figures']['calibration_error']:.3f}. Scores are calibrated for both kinds being equally likely; the "
        f"threshold is {facts['threshold']:g}.\n\n"
        "| labelled texts | ROC-AUC | least seed | most |\n|---|---|---|---|\n" + rows
    )
