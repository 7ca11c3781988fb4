"""The consensus: who decides, when nobody does, and what it rests on."""

from __future__ import annotations

import polars as pl
import pytest

from curate.core.config import build
from curate.core.errors import RecipeError
from curate.labelers import LABELERS
from curate.labelers.consensus import Consensus


def _rows(*rows: tuple[float | None, str | None, float | None]) -> pl.DataFrame:
    schema = {"score_column": pl.Float32, "evidence": pl.String, "score_head": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_people_outrank_the_machine() -> None:
    decided = Consensus()(_rows((0.0, "human", 0.99), (1.0, "votes", 0.01)))
    assert decided["toxic"].to_list() == [False, True]
    assert decided["evidence"].to_list() == ["human", "votes"]
    assert decided["disagreement"].to_list() == pytest.approx([0.99, 0.99])


def test_the_machine_decides_where_nobody_did() -> None:
    decided = Consensus()(_rows((None, None, 0.9), (None, None, 0.1)))
    assert decided["toxic"].to_list() == [True, False]
    assert decided["evidence"].to_list() == ["machine", "machine"]
    assert decided["disagreement"].to_list() == [None, None]


def test_a_score_inside_the_band_abstains_and_its_ends_do_not() -> None:
    decided = Consensus(abstain=(0.4, 0.6))(
        _rows((None, None, 0.5), (None, None, 0.41), (0.4, "votes", None), (0.6, "votes", None))
    )
    assert decided["toxic"].to_list() == [None, None, False, True]


def test_a_votes_tie_abstains_even_without_a_band() -> None:
    decided = Consensus(abstain=(0.5, 0.5))(_rows((0.5, "votes", 0.9), (None, None, 0.5)))
    assert decided["toxic"].to_list() == [None, True]
    assert decided["evidence"].to_list() == ["votes", "machine"]


def test_a_row_without_any_score_stays_undecided() -> None:
    assert Consensus()(_rows((None, None, None))).row(0) == (None, None, None, None, "no labeler has a score")


def test_the_order_of_labelers_decides() -> None:
    rows = _rows((0.0, "human", 0.9))
    assert Consensus(labelers=("head", "column"))(rows)["toxic"].to_list() == [True]
    assert Consensus(labelers=("head", "column"))(rows)["evidence"].to_list() == ["machine"]


def test_columns_and_dtypes_are_those_it_promises() -> None:
    decided = Consensus()(_rows((0.0, "human", 0.9)))
    assert dict(decided.schema) == Consensus().writes
    assert Consensus(labelers=("column", "ngram")).reads == ("evidence", "score_column", "score_ngram")
    assert Consensus()(_rows().head(0)).height == 0


def test_why_names_who_decided_with_figures_of_two_places() -> None:
    reasons = Consensus()(_rows((1 / 3, "votes", None), (0.5, "votes", 0.9), (0.4375, "votes", None)))["why"].to_list()
    assert reasons == ["people said 0.33", "votes are tied", "people said 0.44, inside 0.4-0.6"]
    (alone,) = Consensus(labelers=("head",))(_rows((None, None, 0.98765)))["why"]
    assert alone == "head 0.99"


def test_the_band_is_0_4_to_0_6_unless_it_is_set_and_may_be_a_point_or_everything() -> None:
    rows = _rows((0.4, "votes", None), (0.41, "votes", None), (0.59, "votes", None), (0.6, "votes", None), (1.0, "human", None))
    assert Consensus()(rows)["toxic"].to_list() == [False, None, None, True, True]
    assert Consensus(abstain=(0.59, 0.59))(rows)["toxic"].to_list() == [False, False, True, True, True]
    assert Consensus(abstain=(0.0, 1.0))(rows)["toxic"].to_list() == [None, None, None, None, True]


def test_two_scores_disagree_by_their_difference_and_one_alone_with_nobody() -> None:
    rows = _rows((0.25, "votes", 0.875), (0.25, "votes", None), (None, None, 0.875), (None, None, None))
    assert Consensus()(rows)["disagreement"].to_list() == [0.625, None, None, None]


def test_a_later_labeler_than_people_is_asked_first_where_people_stand_last() -> None:
    rows = _rows((0.0, "human", None), (0.5, "votes", None), (0.5, "votes", 0.9))
    decided = Consensus(labelers=("head", "column"))(rows)
    assert decided["evidence"].to_list() == ["human", "votes", "machine"]
    assert decided["toxic"].to_list() == [False, None, True]


def test_a_rows_verdict_does_not_depend_on_its_neighbours() -> None:
    rows = _rows((0.4, "votes", 0.9), (None, None, 0.55), (1.0, "human", 0.2), (None, None, None))
    together = Consensus()(rows)
    alone = pl.concat([Consensus()(rows[at]) for at in range(rows.height)])
    assert together.equals(alone)


@pytest.mark.parametrize("options", [{"abstain": [0.6, 0.4]}, {"abstain": [0.4, 1.2]}, {"labelers": []}, {"band": 1}])
def test_a_mistaken_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        build(LABELERS["consensus"], options, "recipe")
