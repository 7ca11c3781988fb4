"""Pairers see numbers only, pair what may be paired, and are stopped when a pair must not exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.compose.unpaired import KTO_RATIO, benign, kto_weights, limit_benign
from curate.pairing import INDEX, PAIR, PAIRERS, Context, Limits
from curate.pairing.given import GivenPairer
from curate.pairing.invariants import check_pairs
from curate.pairing.same_prompt import SamePromptPairer


def index(*lines: dict[str, Any]) -> pl.DataFrame:
    """Rows of one prompt in train unless a line says otherwise; `toxicity` decides `toxic`."""
    made = [
        {"id": f"row{at}", "record": f"record{at}", "side": None, "prompt_key": 7, "completion_key": at, "split": "train"}
        | {"chars": 10, "words": 2, "evidence": "machine", "agreed": True, "refusal": False, "paired": False}
        | dict.fromkeys(("stands_for", "derived_from", "thread", "variety", "variety_score"))
        | line
        | {"toxic": None if line["toxicity"] is None else line["toxicity"] > 0.5}
        for at, line in enumerate(lines)
    ]
    return pl.DataFrame(made, schema=INDEX)


def spread(ids: pl.Series) -> np.ndarray[Any, Any]:
    """Vectors in which "row0" and "row1", "row2" and "row3" ... are near each other, and others are not."""
    made = np.zeros((len(ids), 64), np.float32)
    for at, name in enumerate(ids):
        number = int(str(name).removeprefix("row"))
        made[at, number // 2] = 1.0
        made[at, 32 + number] = 0.5
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float16).astype(np.float32)


ANY = Context(Limits(), spread)


def names(pairs: pl.DataFrame) -> list[tuple[str, str]]:
    return list(pairs.filter(pl.col("reason").is_null()).select("chosen_id", "rejected_id").iter_rows())


@pytest.mark.parametrize("name", PAIRERS)
def test_every_pairer_answers_in_the_one_shape_even_to_nothing(name: str) -> None:
    assert PAIRERS[name]().pair(index(), ANY).schema == pl.Schema(PAIR)
    some = PAIRERS[name]().pair(index({"toxicity": 0.1}, {"toxicity": 0.9}), ANY)
    assert some.schema == pl.Schema(PAIR) and set(some["strategy"]) <= {name}


@pytest.mark.parametrize("name", PAIRERS)
def test_the_order_of_rows_changes_no_pair(name: str) -> None:
    lines = [{"toxicity": at / 20, "record": f"record{at // 2}", "side": ("chosen", "rejected")[at % 2]} for at in range(20)]
    rows = index(*lines)
    pairs = PAIRERS[name]().pair(rows, ANY)
    again = PAIRERS[name]().pair(rows.reverse(), ANY)
    assert pairs.sort("chosen_id", "rejected_id").equals(again.sort("chosen_id", "rejected_id"))


def sides(chosen: float | None, rejected: float | None, **other: Any) -> pl.DataFrame:
    record = {"record": "r"}
    return index({"toxicity": chosen, "side": "chosen"} | record, {"toxicity": rejected, "side": "rejected"} | record | other)


def test_a_given_pair_that_the_labels_separate_is_taken() -> None:
    pairs = GivenPairer().pair(sides(0.1, 0.9), ANY)
    assert names(pairs) == [("row0", "row1")]
    assert pairs["margin"][0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (sides(0.9, 0.1), "contradicted"),
        (sides(0.9, 0.8), "not_separated"),
        (sides(0.1, None), "abstained"),
        (sides(None, 0.9), "abstained"),
        (sides(0.1, 0.9).head(1), "side_dropped"),
        (sides(0.1, 0.9).tail(1), "side_dropped"),
        (sides(0.1, 0.9, prompt_key=8), "different_prompt"),
        (sides(0.1, 0.9, split="test"), "different_split"),
    ],
)
def test_a_given_pair_that_does_not_hold_says_why(rows: pl.DataFrame, reason: str) -> None:
    assert GivenPairer().pair(rows, ANY)["reason"].to_list() == [reason]


def test_two_mild_sides_are_merely_preferred_or_left_out_on_request() -> None:
    pairs = GivenPairer().pair(sides(0.1, 0.2), ANY)
    assert names(pairs) == [("row0", "row1")] and pairs["relation"].to_list() == ["preferred"]
    assert GivenPairer(preferred=False).pair(sides(0.1, 0.2), ANY)["reason"].to_list() == ["not_separated"]


def test_an_exact_copy_stands_in_for_a_side_that_was_dropped() -> None:
    copy = {"id": "kept", "stands_for": "gone", "toxicity": 0.1, "record": "r", "side": "chosen"}
    rows = index({"toxicity": 0.9, "record": "r", "side": "rejected"}, copy, {"id": "kept", "toxicity": 0.1})
    assert names(GivenPairer().pair(rows, ANY)) == [("kept", "row0")]
    assert names(SamePromptPairer().pair(rows, ANY)) == [("kept", "row0")], "once, for itself"


def test_a_side_whose_label_contradicts_what_people_said_is_in_no_other_pair() -> None:
    rows = index({"toxicity": 0.1, "side": "rejected"}, {"toxicity": 0.9}, {"toxicity": 0.95, "side": "chosen"})
    assert names(SamePromptPairer().pair(rows, ANY)) == []


def test_a_given_pair_without_a_prompt_is_taken() -> None:
    assert names(GivenPairer().pair(sides(0.1, 0.9).with_columns(prompt_key=pl.lit(None, pl.UInt64)), ANY)) == [("row0", "row1")]


def test_widest_margins_come_first_and_caps_hold() -> None:
    rows = index(*({"toxicity": value} for value in (0.0, 0.1, 0.2, 0.8, 0.9, 1.0)))
    assert names(SamePromptPairer(max_per_prompt=1).pair(rows, ANY)) == [("row0", "row5")]
    assert names(SamePromptPairer(max_per_prompt=3, max_uses=1).pair(rows, ANY)) == [
        ("row0", "row5"),
        ("row1", "row4"),
        ("row2", "row3"),
    ]
    assert names(SamePromptPairer(max_per_prompt=3, max_uses=2).pair(rows, ANY)) == [
        ("row0", "row5"),
        ("row0", "row4"),
        ("row1", "row5"),
    ]


def test_equal_margins_are_settled_by_id() -> None:
    rows = index({"toxicity": 0.9}, {"toxicity": 0.1}, {"toxicity": 0.1}, {"toxicity": 0.9})
    assert names(SamePromptPairer(max_per_prompt=2, max_uses=1).pair(rows, ANY)) == [("row1", "row0"), ("row2", "row3")]


def test_looking_at_the_most_extreme_rows_only_finds_what_looking_at_all_finds() -> None:
    import random

    draw = random.Random(0)
    for _ in range(30):
        rows = index(*({"toxicity": round(draw.random(), 1)} for _ in range(draw.randint(2, 14))))
        pairer = SamePromptPairer(max_per_prompt=draw.randint(1, 5), max_uses=draw.randint(1, 3))
        toxicity = dict(rows.select("id", "toxicity").iter_rows())
        toxic = dict(rows.select("id", "toxic").iter_rows())
        every = sorted(
            ((chosen, rejected) for chosen in toxic for rejected in toxic if not toxic[chosen] and toxic[rejected]),
            key=lambda pair: (pl.Series([toxicity[pair[0]] - toxicity[pair[1]]], dtype=pl.Float32)[0], pair),
        )
        taken: list[tuple[str, str]] = []
        for pair in every:
            uses = [name for one in taken for name in one]
            if len(taken) < pairer.max_per_prompt and all(uses.count(name) < pairer.max_uses for name in pair):
                taken.append(pair)
        assert sorted(names(pairer.pair(rows, ANY))) == sorted(taken)


def test_rows_of_different_prompts_splits_or_without_a_prompt_are_not_paired() -> None:
    assert names(SamePromptPairer().pair(index({"toxicity": 0.1}, {"toxicity": 0.9, "prompt_key": 8}), ANY)) == []
    assert names(SamePromptPairer().pair(index({"toxicity": 0.1}, {"toxicity": 0.9, "split": "test"}), ANY)) == []
    assert (
        names(SamePromptPairer().pair(index({"toxicity": 0.1, "prompt_key": None}, {"toxicity": 0.9, "prompt_key": None}), ANY))
        == []
    )
    assert names(SamePromptPairer().pair(index({"toxicity": 0.1}, {"toxicity": None}), ANY)) == []


def test_what_a_pairer_proposes_keeps_every_law() -> None:
    rows = index({"toxicity": 0.1}, {"toxicity": 0.9})
    pairs = SamePromptPairer().pair(rows, ANY)
    assert names(pairs) == [("row0", "row1")]
    check_pairs(pairs, rows, Limits(0.3, 5))


def test_a_prompt_is_benign_when_nothing_said_of_it_or_in_its_thread_is_toxic_or_undecided() -> None:
    lines = [
        (1, None, True, None),
        (1, None, False, None),
        (2, None, False, None),  # one of its replies is undecided
        (2, None, None, None),
        (3, None, False, None),  # one of its replies was dropped, and nobody judged it
        (3, None, None, "short"),
        (4, "a", False, None),  # its thread holds a toxic reply to another prompt
        (5, "a", True, "near_duplicate"),
        (6, "b", False, None),
        (None, None, False, None),
        (None, "a", False, None),
    ]
    rows = pl.DataFrame(lines, orient="row", schema=["prompt_key", "thread", "toxic", "reason"])
    assert benign(rows).to_list() == [False] * 4 + [True, True, False, False, True, True, False]


def test_rows_let_in_under_a_small_share_are_let_in_under_a_larger_one() -> None:
    rows = pl.DataFrame(
        {"id": [f"{(at * 37) % 100:02}" for at in range(100)], "benign": [at % 4 != 0 for at in range(100)]}
    ).with_columns(toxic=pl.lit(value=False))
    few, many = (set(rows.filter(limit_benign(rows, share))["id"]) for share in (0.2, 0.5))
    assert few < many
    assert rows.filter(limit_benign(rows, 0.5))["benign"].sum() == 25
    assert limit_benign(rows.filter("benign"), 0.2).all(), "where all are benign, all stay"


def test_benign_rows_fill_up_what_mild_rows_there_are_to_the_balance_asked_for() -> None:
    rows = pl.DataFrame(
        {
            "id": [f"{at:02}" for at in range(40)],
            "benign": [False] * 10 + [True] * 30,
            "toxic": [True] * 8 + [False] * 32,
        }
    )
    assert rows.filter(limit_benign(rows, 0.2))["benign"].sum() == 2
    assert rows.filter(limit_benign(rows, 0.2, balance=10))["benign"].sum() == 8, "with the two others ten desirable rows"
    assert rows.filter(limit_benign(rows, 0.5, balance=5))["benign"].sum() == 10, "the share lets in more"
    assert rows.filter(limit_benign(rows, 0.2, balance=99))["benign"].sum() == 30


@pytest.mark.parametrize(("desirable", "undesirable"), [(1, 1), (100, 7), (3, 1000), (4, 3), (5, 3), (12345, 999)])
def test_suggested_weights_bring_the_classes_into_ktos_range(desirable: int, undesirable: int) -> None:
    weights = kto_weights(desirable, undesirable)
    assert weights is not None and min(weights.values()) == 1.0
    ratio = weights["desirable"] * desirable / (weights["undesirable"] * undesirable)
    assert KTO_RATIO[0] - 1e-9 <= ratio <= KTO_RATIO[1] + 1e-9


def test_no_weights_are_suggested_for_an_empty_class() -> None:
    assert kto_weights(0, 5) is None and kto_weights(5, 0) is None
