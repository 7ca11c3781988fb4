"""What else tells the sides apart, worked by hand; refusals are known and do not dominate."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.compose.bias import of_pairs, of_unpaired, warnings
from curate.core.manifest.counts import Bias
from curate.pairing.propose import within_share
from curate.text.refusals import refuses


def facts(*lines: tuple[str, int, bool, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        lines, schema={"id": pl.String, "chars": pl.UInt32, "refusal": pl.Boolean, "variety": pl.String}, orient="row"
    )


def pairs(*names: tuple[str, str], split: str = "train") -> pl.DataFrame:
    made = [
        {"chosen_id": good, "rejected_id": bad, "strategy": "given", "relation": "toxicity", "split": split}
        for good, bad in names
    ]
    return pl.DataFrame(made, schema=dict.fromkeys(("chosen_id", "rejected_id", "strategy", "relation", "split"), pl.String))


ROWS = facts(
    ("a", 10, True, None),
    ("b", 20, False, "singlish"),
    ("c", 30, False, None),
    ("d", 30, False, "singlish"),
    ("e", 5, False, None),
    ("f", 50, False, "singlish"),
)


def test_shorter_is_chosen_counts_pairs_and_halves_ties() -> None:
    found = of_pairs(pairs(("a", "b"), ("c", "d"), ("e", "f")), ROWS)["all"]
    assert found.pairs == 3
    assert found.shorter_is_chosen_auc == pytest.approx((1 + 0.5 + 1) / 3, abs=1e-4)
    assert found.median_length_ratio == 0.5
    assert found.refusal_share == {"chosen": pytest.approx(1 / 3, abs=1e-4), "rejected": 0}
    assert found.variety_share == {"chosen": {"other": 1.0}, "rejected": {"singlish": 1.0}}
    said = warnings(Bias(paired={"all": found}))
    assert any("the shorter side is chosen with AUC 0.83" in line for line in said)
    assert any("0% of chosen and 100% of rejected completions are singlish" in line for line in said)
    assert any("33% of chosen completions are refusals" in line for line in said)


def test_pairs_that_differ_in_nothing_else_are_not_warned_about() -> None:
    found = of_pairs(pairs(("b", "d"), ("f", "b")), ROWS)
    assert warnings(Bias(paired=found)) == []
    assert of_pairs(pairs(("a", "b"), split="test"), ROWS) == {}, "train alone is looked at"


def test_length_of_unpaired_rows_is_the_rank_statistic() -> None:
    rows = ROWS.with_columns(split=pl.lit("train"), toxic=pl.Series([False, True, False, True, False, True]))
    good, bad = (rows.filter(pl.col("toxic") == side)["chars"].to_list() for side in (False, True))
    by_hand = sum((one < other) + 0.5 * (one == other) for one in good for other in bad) / 9
    assert of_unpaired(rows).shorter_is_desirable_auc == pytest.approx(by_hand, abs=1e-4)
    assert of_unpaired(rows.filter("toxic")) is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "Sorry, I am not able to answer that question",
        "As an AI language model, I do not have opinions",
        "I\u2019d rather not say anything about him.",
        "I won't help you do that",
        "Sorry ah, cannot help you with this one",
        "Unfortunately I will not provide that.",
    ],
)
def test_refusals_are_known(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry I am late, the bus never come",
        "I cannot believe the queue so long",
        "Cannot lah, tomorrow got exam",
        "You can't park here, try the next street.",
        "I can help you with that.",
        "My assistant will not be in today",
        "",
    ],
)
def test_what_is_no_refusal_is_not_taken_for_one(text: str) -> None:
    assert not refuses(text)


def test_refusals_are_held_to_their_share_in_each_split() -> None:
    made: list[dict[str, Any]] = [{"id": f"{at:02}", "split": "train", "refusal": at % 2 == 0} for at in range(12)]
    made += [{"id": f"t{at}", "split": "test", "refusal": True} for at in range(3)]
    frame = pl.DataFrame(made)
    kept = frame.filter(within_share(frame, 0.25))
    assert kept.filter("refusal")["id"].to_list() == ["00", "02"] and kept.height == 8
    assert within_share(frame, 1).all()
