"""Dialect in `bench-labels`: what labelers make of benign Singlish beside benign English, and of a particle."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import polars as pl
from augmentation import PARTICLES, particle
from labels_page import Page
from numpy.typing import NDArray
from throwaway import Builtins

from curate.core.schema import digest
from curate.labelers import Consensus
from curate.labelers.study.measures import interval

Floats = NDArray[np.float64]

UNSEEN = {
    "head": ("ngram", "test"),
    "ngram": ("head", "test"),
    "tuned": ("ngram", "test"),
} | dict.fromkeys(("cheap", "consensus", "first"), ("test",))
"""Parts that each saw nothing of; a consensus saw what its members did."""
POSTS = ("davidson", "surge")  # people talking in public, as the treebank's forum does; its sentences nobody has judged
COUNTRIES = {"Singapore": "Singapore", "SG": "Singapore"} | dict.fromkeys(
    ("United States", "USA", "Canada", "United Kingdom"), "English"
)
LEAST_WORDS = 3
MATCHED = 0.03  # the share of plain English above which the shipped thresholds were set, too
BAND = Consensus().abstain
SAMPLE = 1500


def fairness(page: Page, builtins: Builtins, rows: pl.DataFrame, data: Path) -> None:
    """Benign Singlish beside benign English, messages of one corpus by country, and what an appended particle changes."""
    click.echo("\n# Dialect fairness")
    path = data / "sgd_dialogue_pairs/sgd_pairs_20k.jsonl.gz"
    english = sorted({json.loads(line)["completion"] for line in gzip.decompress(path.read_bytes()).splitlines()})
    english = sorted(english, key=lambda text: digest("evaluation sample", text))[:SAMPLE]
    forum = rows.filter(pl.col("set") == "singlish_treebank")
    harmless = rows.filter(pl.col("set").is_in(POSTS), ~pl.col("toxic"))
    polite, singlish, posted = (
        builtins.scores(texts) for texts in (english, forum["text"].to_list(), harmless["text"].to_list())
    )
    for name, parts in UNSEEN.items():
        treebank, posts = (
            made[name][some["part"].is_in(parts).to_numpy()] >= 0.5 for made, some in ((singlish, forum), (posted, harmless))
        )
        share, usual, alike = float(treebank.mean()), float((polite[name] >= 0.5).mean()), float(posts.mean())
        page.say(f"{name}: toxic share of {len(treebank)} treebank sentences", share)
        page.say(f"{name}: toxic share of {len(english)} SGD turns", usual)
        _ratio(page, f"{name}: ratio", share, len(treebank), usual, len(english))
        page.say(f"{name}: toxic share of {len(posts)} English posts that people called harmless", alike)
        _ratio(page, f"{name}: ratio to posts", share, len(treebank), alike, len(posts))
    _one_register(page, builtins, data)
    texts = sorted(rows.filter(pl.col("part") == "test")["text"].to_list(), key=lambda text: digest("particle sample", text))[
        :SAMPLE
    ]
    longer = [particle(text, PARTICLES[int(digest(text), 16) % len(PARTICLES)]) for text in texts]
    before, after = builtins.scores(texts), builtins.scores(longer)
    for name in before:
        page.most(
            f"{name}: decisions that an appended particle flips",
            float(((before[name] >= 0.5) != (after[name] >= 0.5)).mean()),
            0.01,
        )
    for name in ("cheap", "consensus", "first"):
        turned = (before[name] <= BAND[0]) & (after[name] >= BAND[1])
        turned |= (before[name] >= BAND[1]) & (after[name] <= BAND[0])
        page.say(f"{name}: labels that an appended particle turns round, the abstain band between them", float(turned.mean()))


def _ratio(page: Page, name: str, share: float, of: int, usual: float, of_usual: int) -> None:
    """A share over the usual one, which counts as one hit where there is none."""
    page.most(name, share / max(usual, 1 / of_usual), 1.5, _ratio_ends(share, of, usual, of_usual))


def _ratio_ends(share: float, of: int, usual: float, of_usual: int) -> tuple[float, float]:
    """95 % interval of the ratio of two shares.

    Source: Katz et al. (1978), Obtaining confidence intervals for the risk ratio (half a hit added to each side).
    """
    one, two = share * of + 0.5, usual * of_usual + 0.5
    middle = np.log((one / (of + 0.5)) / (two / (of_usual + 0.5)))
    half = 1.96 * (1 / one - 1 / (of + 0.5) + 1 / two - 1 / (of_usual + 0.5)) ** 0.5
    return float(np.exp(middle - half)), float(np.exp(middle + half))


def _one_register(page: Page, builtins: Builtins, data: Path) -> None:
    """Text messages from Singapore beside those from North America and Britain: one corpus, one way of collecting it.

    Turns of a booking assistant hold no joke, no slang and no swear word, so that their share is near zero and a ratio over it
    says more about the register than about the dialect. Here the register is the same and both shares are far from zero. Also
    at the score that 3 % of the English messages exceed, so that labelers of any strictness compare; intervals resample senders.
    """
    lines = gzip.decompress((data / "nus_sms_dev/nus_sms_en_dev.jsonl.gz").read_bytes()).splitlines()
    found: dict[str, dict[str, str]] = {"Singapore": {}, "English": {}}
    for line in map(json.loads, lines):
        place = COUNTRIES.get(line["country"])
        if place and len(line["text"].split()) >= LEAST_WORDS:
            found[place][line["text"]] = line["userID"]
    both = {place: sorted(one, key=lambda text: digest("evaluation sample", text))[:SAMPLE] for place, one in found.items()}
    senders = [found[place][text] for place, texts in both.items() for text in texts]
    abroad = np.array([place == "Singapore" for place, texts in both.items() for _ in texts])
    for name, made in builtins.scores([text for texts in both.values() for text in texts]).items():
        for at, words in ((0.5, "at 0.5"), (float(np.quantile(made[~abroad], 1 - MATCHED)), f"where English has {MATCHED:.0%}")):
            flagged = (made >= at).astype(np.float64)

            def shares(weight: Floats, flagged: Floats = flagged) -> Floats:
                return np.array([np.average(flagged[side], weights=weight[side]) for side in (abroad, ~abroad)])

            here, there = shares(np.ones(len(flagged)))
            click.echo(
                f"{name}, {words}: {here:.4f} of {int(abroad.sum())} messages from Singapore, {there:.4f} of "
                f"{int((~abroad).sum())} in English ({_senders(senders, abroad)} and {_senders(senders, ~abroad)} senders)"
            )
            ends = interval(lambda w: float(np.diff(shares(w)[::-1])[0]), senders)  # noqa: B023 - used at once
            page.say(f"{name}, {words}: difference", float(here - there), ends=ends)
            page.most(f"{name}, {words}: ratio", float(here / max(there, 1e-9)), 1.5)


def _senders(names: Sequence[str], side: NDArray[np.bool_]) -> int:
    return len(set(np.asarray(names)[side]))
