"""Train the labelers that ship with the project.

    python scripts/train_builtin.py --data ../shared/data --out curate/labelers/builtin/weights

`head` and `ngram` learn from rows that share no group, `reply` and `tuned` from those of `head`, `tuned` from templates of its
own besides; a third part calibrates all, a fourth gives the figures. Same data, same machine type, same weights. Writes
safetensors, SHA256SUMS and the model card; shows numbers, never a text.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np
import polars as pl
from fit_labelers import Encode, Fitted, calibrate, fit_net, fit_ngram, fit_reply, stacked
from fit_tuned import STRAY, fit_tuned
from measure_labelers import PLAIN_FLAGGED, figures, plain_threshold, reply_figures
from model_card import render
from numpy.typing import NDArray
from training_data import HEAD_ONLY, SELF_EVIDENT, WEAK, load, load_people

from curate.core.policy import load_policy
from curate.core.progress import Progress
from curate.core.schema import digest
from curate.core.store import sha256, write_atomic
from curate.labelers.builtin.head import ENCODER, Head, general_logits
from curate.labelers.builtin.ngram import GramTable, Ngram
from curate.labelers.builtin.reply import Reply, reply_logits
from curate.labelers.builtin.shipped import SUMS, ShippedWeights
from curate.labelers.builtin.tuned import Tuned, tuned_logits
from curate.labelers.reliability import BUILTIN
from curate.labelers.scoring import joined
from curate.labelers.study.weigh import weigh
from curate.text.encoders import BUILTIN_SHA256, Encoder, encoder

WEIGHTS = {"toxic_spans": 0.5, "group_templates": 2.0}
"""What a row counts, 1 by default: single votes on long comments less, our own templates, which no set repeats, more."""
SHARES = {"toxic_spans": 0.3, "paradetox": 0.7, "paradetox_cannot_rewrite": 0.6, "davidson": 0.8, "self_instruct": 0.7}
"""Share of a set's rows, all by default, that `tuned` learns from: less work, and no set outweighs the others."""
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
    """Train, calibrate, measure and write the labelers."""
    rows = load(data)
    people = load_people(data, rows)
    encode = cached(encoder(ENCODER), cache)
    made = {"ngram": train_ngram(rows), "head": train_head(rows, encode), "reply": train_reply(rows, encode)}
    made["tuned"] = train_tuned(rows, people)
    facts: dict[str, dict[str, Any]] = {}
    held = rows.filter(pl.col("part") == "calibration")
    for name, trained in made.items():
        facts[name] = dict(trained.facts)
        if name == "reply":
            facts[name]["figures"] = reply_figures(rows, partial(reply_scores, trained, encode))
        else:
            score = scorer(name, trained, encode)
            threshold = plain_threshold(held, score, PLAIN_FLAGGED[name])
            facts[name] |= {"plain_share": PLAIN_FLAGGED[name], "threshold": threshold}
            shown = pl.concat([rows, people]) if name == "tuned" else rows
            facts[name]["figures"] = figures(shown, score, threshold, data)
            facts[name]["figures"]["weak_rows_dropped"] = trained.facts["weak_rows_dropped"]
        click.echo(json.dumps({name: facts[name]["figures"], "threshold": facts[name].get("threshold")}, indent=1))
        _write(out / f"{name}.safetensors", dict(trained.tensors), facts[name])
    texts, prompts = held["text"].to_list(), some_prompts(held)
    scores = {name: scorer(name, made[name], encode)(texts) for name in ("head", "ngram")}
    scores["reply"] = reply_scores(made["reply"], encode, texts, prompts)
    scores["tuned"] = made["tuned"].probability(tuned_logits(made["tuned"], joined(texts, prompts)))
    found = weigh({name: one.astype(np.float64) for name, one in scores.items()}, held["toxic"].cast(pl.Float64).to_numpy())
    _write_text(out / BUILTIN.name, found.to_json())
    lines = [f"{sha256(out / f'{name}.safetensors')}  {name}.safetensors\n" for name in sorted(facts)]
    _write_text(out / SUMS, "".join(lines))
    _write_text(out / "README.md", render(facts))


def some_prompts(rows: pl.DataFrame) -> list[str | None]:
    """What each row answers; of rows that answer nothing, a share stands behind a stray prompt, which must not count.

    On all of them it would teach that prompts say nothing, on none that every prompt matters as much as DiaSafety's do. It is the
    share that `tuned` learned with; HH's replies, which none of this saw, are told apart best there (LOG.md).
    """
    every = sorted(set(rows["prompt"].drop_nulls()))
    found: list[str | None] = []
    for text, prompt in zip(rows["text"], rows["prompt"], strict=True):
        draw = int(digest("stray prompt", text), 16)
        found.append(prompt or (every[draw % len(every)] if every and draw // len(every) % 100 < 100 * STRAY else None))
    return found


def reply_scores(
    trained: ShippedWeights, encode: Encode, texts: Sequence[str], prompts: Sequence[str | None]
) -> NDArray[np.float32]:
    """What `reply` says of texts, shape (n,), NaN where there is no prompt."""
    found = np.full(len(texts), np.nan, np.float32)
    told = [at for at, prompt in enumerate(prompts) if prompt]
    if told:
        vectors, asked = encode([texts[at] for at in told]), encode([str(prompts[at]) for at in told])
        found[told] = trained.probability(reply_logits(trained, vectors, asked))
    return found


def train_ngram(rows: pl.DataFrame) -> ShippedWeights:
    """`ngram` from the part of its name, calibrated on the calibration part.

    Without the sets that only `head` learns from: more templates made it less strict on plain text, and a judge must be strict.
    """
    rows = rows.filter(~pl.col("set").is_in(HEAD_ONLY))
    part, dropped = _without_doubtful(rows.filter(pl.col("part") == "ngram"), fit_ngram)
    tensors, own, logits = fit_ngram(part["text"].to_list(), part["toxic"].to_numpy(), _weights(part, {}))
    held = rows.filter(pl.col("part") == "calibration")
    platt = calibrate(logits(held["text"].to_list()), held["toxic"].to_numpy())
    return ShippedWeights("", tensors, _facts(part, dropped) | own | {"version": Ngram.VERSION, "calibration": platt})


def train_head(rows: pl.DataFrame, encode: Encode) -> ShippedWeights:
    """`head` from the part of its name: a network and n-grams, stacked and calibrated on the calibration part."""

    def fit(texts: Sequence[str], toxic: NDArray[np.bool_], weight: Floats) -> Fitted:
        return fit_net(encode, texts, toxic, weight)

    part, dropped = _without_doubtful(rows.filter(pl.col("part") == "head"), fit_ngram)
    texts, toxic, weight = part["text"].to_list(), part["toxic"].to_numpy(), _weights(part)
    tensors, own, net = fit(texts, toxic, weight)
    grams, scales, ngram = fit_ngram(texts, toxic, weight)
    held = rows.filter(pl.col("part") == "calibration")
    inputs = np.stack([net(held["text"].to_list()), np.nan_to_num(ngram(held["text"].to_list()))], axis=1)
    stack, platt = stacked(inputs, held["toxic"].to_numpy())
    tensors |= {"ngram.weight": grams["weight"]}
    facts = _facts(part, dropped) | own | {"version": Head.VERSION, "encoder": encoder(ENCODER).hash, "calibration": platt}
    facts |= {"ngram_scale": scales["scale"], "ngram_bias": scales["bias"], "stack": stack}
    return ShippedWeights("", tensors, facts)


def train_reply(rows: pl.DataFrame, encode: Encode) -> ShippedWeights:
    """`reply` from the replies of the part of `head`, calibrated on those of the calibration part."""
    replies = rows.filter(pl.col("prompt").is_not_null())
    part = replies.filter(pl.col("part") == "head", pl.col("kind") != SELF_EVIDENT)
    tensors = fit_reply(encode, part["prompt"].to_list(), part["text"].to_list(), part["toxic"].to_numpy())
    held = replies.filter(pl.col("part") == "calibration")
    logits = reply_logits(ShippedWeights("", tensors, {}), encode(held["text"].to_list()), encode(held["prompt"].to_list()))
    platt = calibrate(logits, held["toxic"].to_numpy())
    return ShippedWeights(
        "", tensors, _facts(part, 0) | {"version": Reply.VERSION, "encoder": BUILTIN_SHA256, "calibration": platt}
    )


def train_tuned(rows: pl.DataFrame, people: pl.DataFrame) -> ShippedWeights:
    """`tuned` from the part of `head`, so that the judge, `ngram`, has none of its rows; calibrated on the calibration part."""
    drawn = pl.struct("set", "text").map_elements(_drawn, return_dtype=pl.Boolean)
    part = pl.concat([rows, people]).filter(pl.col("part") == "head").filter(drawn)
    part, dropped = _without_doubtful(part, fit_ngram)
    tensors, bias = fit_tuned(part["text"].to_list(), part["toxic"].to_numpy(), _weights(part), part["prompt"].to_list())
    held, facts = rows.filter(pl.col("part") == "calibration"), _facts(part, dropped)
    logits = tuned_logits(ShippedWeights("", tensors, {"bias": bias}), joined(held["text"].to_list(), held["prompt"].to_list()))
    platt = calibrate(logits, held["toxic"].to_numpy())
    return ShippedWeights(
        "", tensors, facts | {"version": Tuned.VERSION, "encoder": BUILTIN_SHA256, "bias": bias, "calibration": platt}
    )


def _drawn(row: dict[str, str]) -> bool:
    """Whether a row is among the share of its set that `tuned` learns from."""
    return int(digest("tuned", row["text"]), 16) % 1000 < 1000 * SHARES.get(row["set"], 1.0)


def scorer(name: str, trained: ShippedWeights, encode: Encode) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """What weights that are not written yet say of texts."""
    if name == "ngram":
        table = GramTable(trained.tensors["weight"], trained.facts["scale"], trained.facts["bias"])
        return lambda texts: trained.probability(table.logits(texts))
    if name == "tuned":
        return lambda texts: trained.probability(tuned_logits(trained, texts))
    return lambda texts: trained.probability(general_logits(trained, encode(texts), texts))


def _facts(part: pl.DataFrame, dropped: int) -> dict[str, Any]:
    return {
        "policy": load_policy().hash,
        "trained_on": [f"{one}:{part['part'][0]}" for one in sorted(part["set"].unique())],
        "rows": dict(sorted(part["set"].value_counts().iter_rows())),
        "weak_rows_dropped": dropped,
    }


def _weights(part: pl.DataFrame, by_set: Mapping[str, float] = WEIGHTS) -> Floats:
    """Weight of each row: less where votes were split, and what its set counts."""
    split = (pl.col("share").fill_null(1.0) * 2 - 1).abs().clip(0.1, 1.0)
    weight = pl.col("set").replace_strict(by_set, default=1.0) if by_set else pl.lit(1.0)
    return part.select(split * weight).to_series().to_numpy()


def _without_doubtful(part: pl.DataFrame, fit: Fit) -> tuple[pl.DataFrame, int]:
    """Drop weak negatives that a first model, trained without them, takes for toxic."""
    weak, sure = part.filter(pl.col("set").is_in(WEAK)), part.filter(~pl.col("set").is_in(WEAK))
    _, _, logits = fit(sure["text"].to_list(), sure["toxic"].to_numpy(), _weights(sure, {}))
    keep = 1.0 / (1.0 + np.exp(-logits(weak["text"].to_list()))) <= WEAK_CUT
    return pl.concat([sure, weak.filter(pl.Series(keep))]), int((~keep).sum())


def cached(one: Encoder, folder: Path) -> Callable[[Sequence[str]], NDArray[np.float32]]:
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
