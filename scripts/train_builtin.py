"""Train the labelers that ship with the project.

    python scripts/train_builtin.py --data ../shared/data --out curate/labelers/weights

`head` and `ngram` learn from rows that share no group; a third part calibrates both, a fourth gives the figures. Same data,
same machine type, same weights. Writes safetensors, SHA256SUMS and the model card; shows numbers, never a text.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np
import polars as pl
from fit_labelers import Fitted, calibrate, fit_head, fit_ngram
from measure_labelers import PLAIN_FLAGGED, figures, plain_threshold
from model_card import render
from numpy.typing import NDArray
from training_data import WEAK, load

from curate.encoders import Encoder, encoder
from curate.labelers.head import ENCODER, Head
from curate.labelers.ngram import Ngram
from curate.labelers.trained import SUMS, Trained
from curate.policy import load_policy
from curate.progress import Progress
from curate.schema import digest
from curate.store import sha256, write_atomic

WEAK_WEIGHT = 1.0  # at 0.5, `head` flagged 9 % of plain Singlish where it flagged 1 % of SGD; at 1.5, 6 %
WEAK_CUT = 0.6  # a weak negative that a first model, trained without any, scores above this is dropped

Floats = NDArray[np.float64]
Fit = Callable[[Sequence[str], NDArray[np.bool_], Floats], Fitted]


@click.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Folder of the public sets."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where the weights and their card go."
)
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), default=Path(tempfile.gettempdir()) / "margins-vectors"
)
def main(data: Path, out: Path, cache: Path) -> None:
    """Train, calibrate, measure and write both labelers."""
    rows = load(data)
    encode = _cached(encoder(ENCODER), cache)
    facts = {
        "ngram": _train("ngram", fit_ngram, {"version": Ngram.VERSION}, rows, data, out),
        "head": _train(
            "head",
            lambda texts, toxic, weight: fit_head(encode, texts, toxic, weight),
            {"version": Head.VERSION, "encoder": encoder(ENCODER).hash},
            rows,
            data,
            out,
        ),
    }
    lines = [f"{sha256(out / f'{name}.safetensors')}  {name}.safetensors\n" for name in sorted(facts)]
    _write_text(out / SUMS, "".join(lines))
    _write_text(out / "README.md", render(facts))


def _train(name: str, fit: Fit, facts: dict[str, Any], rows: pl.DataFrame, data: Path, out: Path) -> dict[str, Any]:
    """Train one labeler on the part of its name, write its weights, and return their metadata."""
    part, dropped = _without_doubtful(rows.filter(pl.col("part") == name), fit)
    tensors, own, logits = fit(part["text"].to_list(), part["toxic"].to_numpy(), _weights(part))
    held = rows.filter(pl.col("part") == "calibration")
    facts |= own | {
        "policy": load_policy().hash,
        "trained_on": [f"{one}:{name}" for one in sorted(part["set"].unique())],
        "rows": dict(sorted(part["set"].value_counts().iter_rows())),
        "calibration": calibrate(logits(held["text"].to_list()), held["toxic"].to_numpy()),
    }
    score = _scorer(Trained("", tensors, facts), logits)
    facts["plain_share"] = PLAIN_FLAGGED[name]
    facts["threshold"] = plain_threshold(held, score, PLAIN_FLAGGED[name])
    facts["figures"] = figures(rows, score, facts["threshold"], data) | {"weak_rows_dropped": dropped}
    _write(out / f"{name}.safetensors", tensors, facts)
    click.echo(json.dumps({name: facts["figures"], "threshold": facts["threshold"]}, indent=1))
    return facts


def _weights(part: pl.DataFrame) -> Floats:
    """Weight of each row: less where votes were split, and for weak negatives."""
    split = (pl.col("share").fill_null(1.0) * 2 - 1).abs().clip(0.1, 1.0)
    weak = pl.when(pl.col("set").is_in(WEAK)).then(WEAK_WEIGHT).otherwise(1.0)
    return part.select(split * weak).to_series().to_numpy()


def _without_doubtful(part: pl.DataFrame, fit: Fit) -> tuple[pl.DataFrame, int]:
    """Drop weak negatives that a first model, trained without them, takes for toxic."""
    weak, sure = part.filter(pl.col("set").is_in(WEAK)), part.filter(~pl.col("set").is_in(WEAK))
    _, _, logits = fit(sure["text"].to_list(), sure["toxic"].to_numpy(), _weights(sure))
    keep = 1.0 / (1.0 + np.exp(-logits(weak["text"].to_list()))) <= WEAK_CUT
    return pl.concat([sure, weak.filter(pl.Series(keep))]), int((~keep).sum())


def _scorer(trained: Trained, logits: Callable[[Sequence[str]], Floats]) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    return lambda texts: trained.probability(logits(texts))


def _cached(one: Encoder, folder: Path) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Encode, keeping vectors beside hashes of their texts: minutes of work that a second run need not repeat."""
    path = folder / f"{one.hash[:16]}.npz"
    known: dict[str, NDArray[np.float16]] = {}
    if path.is_file():
        with np.load(path) as kept:
            known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [digest(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        with Progress("encode", len(missing), "texts") as progress:
            vectors = one.encode(list(missing.values()), progress).astype(np.float16)
        known.update(zip(missing, vectors, strict=True))
        if len(missing) > 100:
            write_atomic(path, lambda file: np.savez(file, keys=np.array(list(known)), vectors=np.stack(list(known.values()))))
        return np.stack([known[key] for key in keys]).astype(np.float32)

    return encode


def _write(path: Path, tensors: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    from safetensors.numpy import save

    tensors = {key: np.ascontiguousarray(tensor) for key, tensor in tensors.items()}  # save() takes memory as it lies
    data = save(tensors, metadata={"facts": json.dumps(facts, sort_keys=True)})  # several keys would be written in any order
    write_atomic(path, lambda file: _write_all(file, data))


def _write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda file: _write_all(file, text.encode()))


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


if __name__ == "__main__":
    sys.exit(main())
