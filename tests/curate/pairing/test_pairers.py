"""Rewrites, nearest neighbours and samples: which pairs they make, which they refuse, and what stands in for a copy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.pairing import INDEX, Context, Limits
from curate.pairing.nearest_neighbour import NearestNeighbourPairer
from curate.pairing.on_policy import OnPolicyPairer
from curate.pairing.rewrite import RewritePairer
from curate.pairing.same_prompt import SamePromptPairer
from curate.text.similarity import measures as similarity

Vectors = Callable[[pl.Series], Any]


def index(*lines: dict[str, Any]) -> pl.DataFrame:
    """Rows without a prompt in train unless a line says otherwise; `toxicity` decides `toxic`."""
    made = [
        dict.fromkeys(INDEX)
        | {"id": f"row{at}", "record": f"record{at}", "completion_key": at, "split": "train", "chars": 10, "words": 2}
        | {"evidence": "machine", "agreed": True, "refusal": False, "paired": False}
        | {"toxic": None if line["toxicity"] is None else line["toxicity"] > 0.5}
        | line
        for at, line in enumerate(lines)
    ]
    return pl.DataFrame(made, schema=INDEX)


def on_a_circle(**degrees: float) -> Vectors:
    """Vectors at these angles, so that cosines can be worked by hand."""

    def vectors(ids: pl.Series) -> Any:
        angles = np.radians([degrees[name] for name in ids])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16).astype(np.float32)

    return vectors


def made(pairs: pl.DataFrame) -> list[tuple[str, str]]:
    return list(pairs.filter(pl.col("reason").is_null()).select("chosen_id", "rejected_id").iter_rows())


ORIGINAL = {"toxicity": 0.95, "side": "original", "evidence": "human"}
MILD = {"toxicity": 0.02, "side": "rewrite", "derived_from": "row0", "evidence": "human"}
NEAR = on_a_circle(row0=0, row1=30, row2=50, row3=80, row4=10)


def test_a_toxic_text_is_paired_with_its_rewrites_nearest_meaning_first() -> None:
    pairs = RewritePairer(max_per_original=1).pair(index(ORIGINAL, MILD, MILD), Context(Limits(), NEAR))
    assert made(pairs) == [("row1", "row0")]
    assert pairs.filter(pl.col("reason") == "capped")["chosen_id"].to_list() == ["row2"]
    assert pairs["similarity"][0] == pytest.approx(np.cos(np.radians(30)), abs=1e-3)
    assert pairs["strategy"].unique().to_list() == ["rewrite"] and pairs["prompt_id"][0] == "row0"


@pytest.mark.parametrize(
    ("original", "rewrite", "reason"),
    [
        ({}, {"derived_from": "elsewhere"}, "side_dropped"),
        ({}, {"toxicity": None}, "abstained"),
        ({}, {"toxicity": 0.9}, "not_separated"),
        ({"toxicity": 0.1}, {}, "not_separated"),
        ({}, {"agreed": False, "evidence": "machine"}, "labelers_disagree"),
        ({}, {"completion_key": 0}, "same_text"),
        ({}, {"prompt_key": 5}, "different_prompt"),
        ({}, {"split": "test"}, "different_split"),
        ({"variety": "singlish", "variety_score": 0.9}, {"variety_score": 0.3}, "variety_lost"),
        ({"chars": 100}, {}, "length_ratio"),
        ({"toxicity": 0.55}, {"toxicity": 0.45}, "thin_margin"),
    ],
)
def test_a_rewrite_that_is_none_says_why(original: dict[str, Any], rewrite: dict[str, Any], reason: str) -> None:
    pairs = RewritePairer().pair(index(ORIGINAL | original, MILD | rewrite), Context(Limits(0.3, 5), NEAR))
    assert made(pairs) == [] and reason in pairs["reason"].to_list()


def test_a_rewrite_that_means_something_else_is_refused() -> None:
    rows = index(ORIGINAL, MILD)
    assert RewritePairer(min_similarity=0.9).pair(rows, Context(Limits(), NEAR))["reason"].to_list() == ["meaning_lost"]
    assert made(RewritePairer(min_similarity=0.8).pair(rows, Context(Limits(), NEAR))) == [("row1", "row0")]


def test_singlish_stays_singlish_or_nearly() -> None:
    rows = index(ORIGINAL | {"variety": "singlish", "variety_score": 0.6}, MILD | {"variety_score": 0.45})
    assert made(RewritePairer().pair(rows, Context(Limits(), NEAR))) == [("row1", "row0")]
    assert RewritePairer(max_variety_loss=0.1).pair(rows, Context(Limits(), NEAR))["reason"].to_list() == ["variety_lost"]


def test_what_a_person_wrote_as_a_rewrite_needs_no_labeler_to_agree() -> None:
    rows = index(ORIGINAL, MILD | {"agreed": False})
    assert made(RewritePairer().pair(rows, Context(Limits(), NEAR))) == [("row1", "row0")]


def test_an_exact_copy_stands_in_for_a_rewrite_that_was_dropped_and_not_beyond_its_cap() -> None:
    originals = [ORIGINAL | {"id": f"row{at}"} for at in range(3)]
    copies = [MILD | {"id": "row3", "stands_for": f"gone{at}", "derived_from": f"row{at}"} for at in range(3)]
    vectors = on_a_circle(row0=0, row1=10, row2=20, row3=30)
    rows = index(*originals, *copies, {"id": "row3", "toxicity": 0.02})
    pairs = RewritePairer(max_uses=2).pair(rows, Context(Limits(), vectors))
    assert made(pairs) == [("row3", "row2"), ("row3", "row1")], "the nearest two"
    assert pairs.filter(pl.col("rejected_id") == "row0")["reason"].to_list() == ["capped"]


def test_an_original_whose_rewrites_are_gone_is_counted() -> None:
    pairs = RewritePairer().pair(index(ORIGINAL), Context(Limits(), NEAR))
    assert pairs.select("rejected_id", "reason").rows() == [("row0", "side_dropped")]


def test_the_nearest_mild_text_is_taken_and_its_likeness_recorded() -> None:
    rows = index({"toxicity": 0.9}, {"toxicity": 0.1}, {"toxicity": 0.1}, {"toxicity": 0.9, "paired": True})
    pairs = NearestNeighbourPairer().pair(rows, Context(Limits(), NEAR))
    assert made(pairs) == [("row1", "row0")] and pairs["prompt_id"].to_list() == ["row0"]
    assert pairs["similarity"][0] == pytest.approx(np.cos(np.radians(30)), abs=1e-3)


def test_uses_of_a_mild_text_are_capped_and_the_next_nearest_taken() -> None:
    rows = index({"toxicity": 0.9}, {"toxicity": 0.1}, {"toxicity": 0.1}, {"toxicity": 0.9}, {"toxicity": 0.9})
    pairs = NearestNeighbourPairer(min_similarity=0.3, max_uses=1).pair(rows, Context(Limits(), NEAR))
    assert made(pairs) == [("row1", "row4"), ("row2", "row3")]
    assert pairs.filter(pl.col("rejected_id") == "row0")["reason"].to_list() == ["capped"]


@pytest.mark.parametrize(
    "mild",
    [
        {"split": "test"},
        {"variety": "singlish"},
        {"toxicity": 0.45},
        {"chars": 100},
        {"completion_key": 0},
        {"side": "rejected"},
        {"id": "row3"},
    ],
    ids=["another split", "another variety", "too toxic itself", "too long", "the same text", "people rejected it", "too far"],
)
def test_no_mild_text_that_would_not_do_is_taken(mild: dict[str, Any]) -> None:
    pairs = NearestNeighbourPairer().pair(index({"toxicity": 0.9}, {"toxicity": 0.1} | mild), Context(Limits(0.3, 5), NEAR))
    assert pairs.select("rejected_id", "reason").rows() == [("row0", "too_far")]


def test_block_by_block_is_what_comparing_all_with_all_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    table = draw.normal(size=(90, 6))
    table = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    table[40:50] = table[30:40]  # ties

    def vectors(ids: pl.Series) -> Any:
        return table[[int(name.removeprefix("row")) for name in ids]]

    rows = index(*({"toxicity": 0.9 if at % 3 == 0 else 0.1, "split": "train" if at % 5 else "test"} for at in range(90)))
    pairer = NearestNeighbourPairer(min_similarity=0.2, max_uses=1, neighbours=4)
    found = pairer.pair(rows, Context(Limits(), vectors))
    near = []
    split = dict(rows.select("id", "split").iter_rows())
    for bad in rows.filter("toxic")["id"]:
        others = [good for good in rows.filter(~pl.col("toxic"))["id"] if split[good] == split[bad]]
        scored = [
            (float(similarity.cosine(vectors(pl.Series([bad, good])), np.array([0]), np.array([1]))[0]), good) for good in others
        ]
        near += [
            (np.float32(-score), bad, good)
            for score, good in sorted((-score, good) for score, good in scored)[:4]
            for score in [-score]
            if score >= 0.2
        ]
    used: set[str] = set()
    taken = []
    for _, bad, good in sorted(near):
        if bad not in used and good not in used:
            used |= {bad, good}
            taken.append((good, bad))
    assert sorted(made(found)) == sorted(taken) and len(taken) > 10
    import curate.pairing.nearest_neighbour as room

    monkeypatch.setattr(room, "TOP", 7)
    monkeypatch.setattr(room, "SIDE", 11)
    assert pairer.pair(rows.sample(fraction=1, shuffle=True, seed=1), Context(Limits(), vectors)).equals(found)


def test_samples_of_one_prompt_are_paired_and_those_that_labelers_dispute_are_not() -> None:
    sample = {"side": "sample", "prompt_key": 7}
    rows = index(
        sample | {"toxicity": 0.9},
        sample | {"toxicity": 0.1},
        sample | {"toxicity": 0.05, "agreed": False},
        {"toxicity": 0.01, "prompt_key": 7},
        sample | {"toxicity": 0.95, "prompt_key": 8},
    )
    pairs = OnPolicyPairer().pair(rows, Context())
    assert made(pairs) == [("row1", "row0")] and pairs["strategy"].to_list() == ["on_policy"]


def test_a_reply_too_long_or_short_does_not_end_a_prompt() -> None:
    lengths = [500, *itertools.repeat(12, 3)]
    rows = index(
        {"toxicity": 0.9, "prompt_key": 7},
        *({"toxicity": 0.01 + at / 100, "prompt_key": 7, "chars": chars} for at, chars in enumerate(lengths)),
    )
    assert made(SamePromptPairer().pair(rows, Context(Limits(0.3, 5)))) == [("row2", "row0"), ("row3", "row0")]
    only = SamePromptPairer().pair(rows.head(2), Context(Limits(0.3, 5)))
    assert only.select("chosen_id", "reason").rows() == [("row1", "length_ratio")]
