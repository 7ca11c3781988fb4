"""A pair that must not exist stops the build: each law by a pair that keeps it just so, and by one that breaks it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.core.errors import DataError
from curate.pairing import INDEX, PAIR, Limits
from curate.pairing.invariants import InvariantError, check_pairs
from curate.pairing.pairer import PREFERRED, TOXICITY


def index(*lines: dict[str, Any]) -> pl.DataFrame:
    """Rows "row0", "row1" ... of one prompt in train unless a line says otherwise; `toxicity` decides `toxic`."""
    rows = [
        dict.fromkeys(INDEX)
        | {"id": f"row{at}", "prompt_key": 7, "completion_key": at, "chars": 10, "split": "train", "refusal": False}
        | {"toxic": line["toxicity"] > 0.5}
        | line
        for at, line in enumerate(lines)
    ]
    return pl.DataFrame(rows, schema=INDEX)


def pair(chosen: int, rejected: int, margin: float, **more: Any) -> dict[str, Any]:
    usual = {"strategy": "same_prompt", "relation": TOXICITY, "prompt_id": f"row{rejected}", "similarity": None, "reason": None}
    return {"chosen_id": f"row{chosen}", "rejected_id": f"row{rejected}", "margin": margin, **usual, **more}


def pairs(*lines: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema=PAIR)


MILD, RUDE = {"toxicity": 0.125}, {"toxicity": 0.875}
ONE = pair(0, 1, 0.75)
GOOD = pairs(ONE), index(MILD, RUDE)


def test_a_good_pair_passes_and_the_same_the_other_way_round_does_not() -> None:
    check_pairs(*GOOD, Limits(0.3, 5))
    check_pairs(pairs(), index(), Limits(0.3, 5))
    with pytest.raises(InvariantError, match="chosen is non_toxic and rejected is toxic"):
        check_pairs(pairs(pair(1, 0, 0.75)), index(MILD, RUDE), Limits(0.3, 5))


@pytest.mark.parametrize(
    ("law", "spoil"),
    [
        ("two texts", lambda pairs, rows: (pairs, rows.with_columns(completion_key=pl.lit(1, pl.UInt64)))),
        ("two texts", lambda pairs, rows: (pairs.with_columns(rejected_id="chosen_id"), rows)),
        ("non_toxic and rejected is toxic", lambda pairs, rows: (pairs, rows.with_columns(toxic=~pl.col("toxic")))),
        ("non_toxic and rejected is toxic", lambda pairs, rows: (pairs, rows.with_columns(toxic=pl.lit(None, pl.Boolean)))),
        ("non_toxic and rejected is toxic", lambda pairs, rows: (pairs, rows.with_columns(toxic=pl.lit(value=True)))),
        ("non_toxic and rejected is toxic", lambda pairs, rows: (pairs, rows.with_columns(toxic=pl.lit(value=False)))),
        ("margin is the toxicity", lambda pairs, rows: (pairs.with_columns(margin=pl.lit(0.9, pl.Float32)), rows)),
        ("margin is the toxicity", lambda pairs, rows: (pairs.with_columns(margin=pl.lit(0.6, pl.Float32)), rows)),
        ("one prompt", lambda pairs, rows: (pairs, rows.with_columns(prompt_key=pl.col("completion_key")))),
        ("one split", lambda pairs, rows: (pairs, rows.with_columns(split=pl.Series(["train", "test"])))),
        ("rows of this build", lambda pairs, rows: (pairs, rows.head(1))),
        ("rows of this build", lambda pairs, rows: (pairs, rows.tail(1))),
        ("stands twice", lambda pairs, rows: (pl.concat([pairs, pairs]), rows)),
        ("prompt is that of a side", lambda pairs, rows: (pairs.with_columns(prompt_id=pl.lit("row9")), rows)),
        ("relation is one that there is", lambda pairs, rows: (pairs.with_columns(relation=pl.lit("liked")), rows)),
        ("only given pairs are merely", lambda pairs, rows: (pairs.with_columns(relation=pl.lit(PREFERRED)), rows)),
    ],
)
def test_a_pair_that_must_not_exist_stops_the_build(law: str, spoil: Any) -> None:
    with pytest.raises(InvariantError, match=f"{law}.*: broken by .* first chosen row0, rejected row"):
        check_pairs(*spoil(*GOOD), Limits(0.3, 5))


def test_a_margin_is_at_least_the_least_and_may_be_just_that() -> None:
    check_pairs(*GOOD, Limits(0.75, 5))
    with pytest.raises(InvariantError, match=r"at least 0\.9"):
        check_pairs(*GOOD, Limits(0.9, 5))


def test_a_margin_may_be_rounded_by_a_millionth_and_no_more() -> None:
    for off, breaks in ((0.5e-6, False), (1e-6, False), (1.5e-6, True)):
        rows = index({"toxicity": 0.0}, {"toxicity": off, "toxic": True})
        if breaks:
            with pytest.raises(InvariantError, match="margin is the toxicity"):
                check_pairs(pairs(pair(0, 1, 0.0)), rows, Limits())
        else:
            check_pairs(pairs(pair(0, 1, 0.0)), rows, Limits())


def test_a_side_may_be_as_many_times_as_long_as_the_limit_says_and_no_longer() -> None:
    check_pairs(pairs(ONE), index(MILD, RUDE | {"chars": 50}), Limits(0.3, 5))
    with pytest.raises(InvariantError, match="no side is more than 5 times as long"):
        check_pairs(pairs(ONE), index(MILD, RUDE | {"chars": 51}), Limits(0.3, 5))


def test_a_given_pair_may_be_merely_preferred_of_two_mild_rows_whatever_the_margin() -> None:
    preferred = pair(0, 1, -0.0625, strategy="given", relation=PREFERRED)
    check_pairs(pairs(preferred), index({"toxicity": 0.1875}, MILD), Limits(0.3, 5))
    with pytest.raises(InvariantError, match="rejected is toxic"):
        check_pairs(pairs(preferred | {"margin": 0.75}), index(MILD, RUDE), Limits(0.3, 5))
    check_pairs(pairs(ONE | {"strategy": "given"}), index(MILD, RUDE), Limits(0.3, 5))


def test_a_neighbour_is_lent_the_toxic_sides_prompt_and_only_that() -> None:
    rows = index(MILD | {"prompt_key": 8}, RUDE)
    lent = ONE | {"strategy": "nearest_neighbour"}
    check_pairs(pairs(lent), rows, Limits(0.3, 5))
    with pytest.raises(InvariantError, match="prompt is that of a side"):
        check_pairs(pairs(lent | {"prompt_id": "row0"}), rows, Limits(0.3, 5))
    check_pairs(pairs(ONE | {"prompt_id": "row0"}), index(MILD, RUDE), Limits(0.3, 5))


def test_two_rows_without_a_prompt_have_the_same_one() -> None:
    check_pairs(pairs(ONE), index(MILD | {"prompt_key": None}, RUDE | {"prompt_key": None}), Limits(0.3, 5))
    with pytest.raises(InvariantError, match="one prompt"):
        check_pairs(pairs(ONE), index(MILD | {"prompt_key": None}, RUDE), Limits(0.3, 5))


def test_a_row_that_is_chosen_here_and_rejected_there_is_on_both_sides() -> None:
    """The second pair is merely preferred, so that no other law is broken."""
    rows = index(MILD, RUDE, {"toxicity": 0.125})
    both = pairs(ONE, pair(2, 0, 0.0, strategy="given", relation=PREFERRED))
    with pytest.raises(InvariantError, match="no row is on both sides: broken by 1 of 2, first chosen row0, rejected row1"):
        check_pairs(both, rows, Limits(0.3, 5))
    check_pairs(pairs(ONE, pair(2, 1, 0.75)), rows, Limits(0.3, 5))


def test_of_several_pairs_the_first_that_breaks_a_law_is_named() -> None:
    rows = index(MILD, RUDE, MILD, RUDE)
    with pytest.raises(InvariantError, match="broken by 2 of 3, first chosen row0, rejected row3"):
        check_pairs(pairs(ONE, pair(0, 3, 0.5), pair(2, 3, 0.5)), rows, Limits(0.3, 5))


def test_refusals_may_be_the_share_of_a_splits_chosen_sides_that_was_set() -> None:
    half = index(MILD | {"refusal": True}, RUDE, MILD, RUDE | {"refusal": True})
    two = pairs(ONE, pair(2, 3, 0.75))
    check_pairs(two, half, Limits(0.3, 5), refusal_share=0.5)
    check_pairs(two, half, Limits(0.3, 5), refusal_share=0.5 - 1e-9)  # rounding
    with pytest.raises(InvariantError, match=r"at most 0\.49 of the chosen sides of a split refuse: broken by 2 of 2"):
        check_pairs(two, half, Limits(0.3, 5), refusal_share=0.49)
    apart = half.with_columns(split=pl.Series(["test", "test", "train", "train"]))
    with pytest.raises(InvariantError, match="refuse: broken by 1 of 2, first chosen row0"):
        check_pairs(two, apart, Limits(0.3, 5), refusal_share=0.5)
    check_pairs(two, index(MILD | {"refusal": True}, RUDE, MILD | {"refusal": True}, RUDE), Limits(0.3, 5))


def test_a_defect_of_ours_and_a_users_own_pairer_are_two_errors() -> None:
    bad = ONE | {"margin": 0.5}
    with pytest.raises(InvariantError, match=r"\(same_prompt\); nothing was written"):
        check_pairs(pairs(bad), index(MILD, RUDE), Limits(0.3, 5))
    with pytest.raises(DataError, match=r"\(mine:Pairer\); nothing was written"):
        check_pairs(pairs(bad | {"strategy": "mine:Pairer"}), index(MILD, RUDE), Limits(0.3, 5))
