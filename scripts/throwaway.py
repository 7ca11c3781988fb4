"""Fold models of the same training script, for the bench: the built-ins as they would be had they never seen some sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import augmentation
import fit_tuned
import numpy as np
import polars as pl
from fit_labelers import Encode
from numpy.typing import NDArray
from train_builtin import SHARES, reply_scores, some_prompts, train_head, train_ngram, train_reply, train_tuned

from curate.core.cache import cached
from curate.core.progress import Progress
from curate.core.schema import digest
from curate.core.store import write_bytes
from curate.labelers.builtin.head import general_logits
from curate.labelers.builtin.ngram import GramTable
from curate.labelers.builtin.shipped import ShippedWeights
from curate.labelers.builtin.tuned import Tuned, tuned_logits, updated
from curate.labelers.reliability import Reliability
from curate.labelers.scoring import joined
from curate.labelers.study.weigh import weigh
from curate.stages.undecided import Undecided

Floats = NDArray[np.float64]
CHEAP = ("head", "ngram")
MEMBERS = (*CHEAP, "reply", "tuned")


Prompts = Sequence[str | None]


@dataclass(frozen=True)
class Builtins:
    """`head`, `ngram`, `reply`, `tuned` (which may be done without) and what the consensus believes of them."""

    head: ShippedWeights
    ngram: ShippedWeights
    reply: ShippedWeights
    tuned: ShippedWeights | None
    reliability: Reliability
    encode: Encode

    def logits(self, texts: Sequence[str]) -> Floats:
        """Logits of the general head."""
        return general_logits(self.head, self.encode(texts), texts)

    def tuned_logits(self, texts: Sequence[str], prompts: Prompts | None = None) -> Floats:
        """Logits of `tuned`, kept where `curate.core.cache.caching` says so."""
        assert self.tuned is not None
        trained = self.tuned
        sums = [digest(name, one.tobytes().hex()) for name, one in sorted(trained.tensors.items())]

        def fresh(some: list[str]) -> NDArray[np.float32]:
            with Progress("tuned", len(some), "texts") as progress:
                return tuned_logits(trained, some, progress)[:, None].astype(np.float32)

        key = digest("tuned logits", str(Tuned.VERSION), *sums)
        return cached(key, joined(texts, prompts), fresh, 1)[:, 0].astype(np.float64)

    def members(self, texts: Sequence[str], prompts: Prompts | None = None) -> dict[str, Floats]:
        """Probability of toxicity by each labeler, NaN where it abstains; `reply` does without a prompt."""
        table = GramTable(self.ngram.tensors["weight"], self.ngram.facts["scale"], self.ngram.facts["bias"])
        found = {
            "head": self.head.probability(self.logits(texts)),
            "ngram": self.ngram.probability(table.logits(texts)),
            "reply": reply_scores(self.reply, self.encode, texts, prompts or [None] * len(texts)),
        }
        if self.tuned is not None:
            found["tuned"] = self.tuned.probability(self.tuned_logits(texts, prompts))
        return {name: one.astype(np.float64) for name, one in found.items()}

    def scores(self, texts: Sequence[str], prompts: Prompts | None = None) -> dict[str, Floats]:
        """Probability of toxicity by each labeler, by the consensus of the cheap ones, by that of all, and cheap ones first.

        `first` is what a recipe does: `tuned` is asked about the texts that `head` and `ngram` leave in doubt.
        """
        found = self.members(texts, prompts)
        series = {name: pl.Series(one) for name, one in found.items()}
        without = tuple(name for name in series if name != "tuned")
        for name, members in (("cheap", CHEAP), ("consensus", tuple(series)), ("without", without)):
            pooled = self.reliability.pool({one: series[one] for one in members}, len(texts))
            found[name] = pooled.fill_null(0.5).to_numpy()
        low, high = Undecided().band
        doubtful = (found["head"] + found["ngram"]) / 2
        found["first"] = np.where((doubtful >= low) & (doubtful <= high), found["consensus"], found.pop("without"))
        if prompts is None:
            del found["reply"]
        return {name: np.nan_to_num(one.astype(np.float64), nan=0.5) for name, one in found.items()}


def train(rows: pl.DataFrame, people: pl.DataFrame | None, encode: Encode, folder: Path, without: Sequence[str] = ()) -> Builtins:
    """The labelers, trained without some sets, and their reliabilities on the calibration part.

    Args:
        rows: as `training_data.load` gives them.
        people: as `training_data.load_people` gives them; None does without `tuned`.
        encode: texts to vectors.
        folder: keeps `tuned`, which takes half an hour, by all that decides it.
        without: sets to leave out.
    """
    some = rows.filter(~pl.col("set").is_in(without))
    tuned = None if people is None else _tuned(some, people, folder)
    cheap = train_head(some, encode), train_ngram(some), train_reply(some, encode)
    made = Builtins(*cheap, tuned, Reliability({}, "labels", 0), encode)
    held = some.filter(pl.col("part") == "calibration")
    scores = made.members(held["text"].to_list(), some_prompts(held))
    return replace(made, reliability=weigh(scores, held["toxic"].cast(pl.Float64).to_numpy()))


def _tuned(rows: pl.DataFrame, people: pl.DataFrame, folder: Path) -> ShippedWeights:
    """`tuned` without some sets; the one kept in the folder, where the same rows and the same code made it."""
    from safetensors import safe_open
    from safetensors.numpy import save

    both = pl.concat([rows, people]).filter(pl.col("part").is_in(["head", "calibration"]))
    both = both.select("set", "text", "toxic", "prompt", "part")
    code = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (fit_tuned, augmentation)]
    code += [json.dumps(SHARES), *updated()]
    path = folder / f"tuned-{digest(both.write_json(), *code)}.safetensors"
    if not path.is_file():
        made = train_tuned(rows, people)
        tensors = {name: np.ascontiguousarray(one) for name, one in made.tensors.items()}
        write_bytes(path, save(tensors, {"facts": json.dumps(dict(made.facts))}))
    with safe_open(path, framework="numpy") as file:
        return ShippedWeights("", {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["facts"]))  # noqa: SIM118
