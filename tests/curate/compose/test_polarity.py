"""When a source's labels say the opposite of its texts: areas and bounds worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from curate.compose.polarity import _agreement, contradictions


def rows(*lines: tuple[str, Any, str | None, float | None], name: str = "head") -> pl.DataFrame:
    schema = {"source": pl.String, "given": pl.Float64, "side": pl.String, f"score_{name}": pl.Float64}
    return pl.DataFrame(lines, schema=schema, orient="row")


def source(name: str, toxic: Sequence[float], others: Sequence[float]) -> list[tuple[str, Any, str | None, float | None]]:
    """Rows of a source by their scores."""
    return [(name, 1.0, None, score) for score in toxic] + [(name, 0.0, None, score) for score in others]


def test_a_source_whose_toxic_rows_all_score_lower_is_named_with_its_figures() -> None:
    (warning,) = contradictions(rows(*source("a.csv", [0.1] * 8, [0.9] * 12)))
    assert warning.startswith("a.csv: its labels say the opposite of its texts: AUC 0.00 by head on 8 toxic and 12 other rows ")


def test_the_area_counts_ties_half() -> None:
    """Of the 3 x 4 pairs the toxic side is above in 2 + 0 + 2 and ties once in one more: 4.5 of 12."""
    ((name, auc, toxic, others),) = _agreement(
        rows(*source("a.csv", [0.5, 0.1, 0.6], [0.2, 0.3, 0.6, 0.7])).with_columns(_toxic=pl.col("given") > 0.5), "score_head"
    ).rows()
    assert (name, toxic, others) == ("a.csv", 3, 4) and auc == pytest.approx((2 + 0 + 2.5) / 12)


def test_every_source_is_ranked_by_itself_and_one_of_each_kind_is_enough_for_a_figure() -> None:
    two = rows(*source("a.csv", [0.1], [0.2]), *source("b.csv", [0.9], [0.3]), *source("c.csv", [0.5], []))
    figures = _agreement(two.with_columns(_toxic=pl.col("given") > 0.5), "score_head")
    assert figures.rows() == [("a.csv", 0.0, 1, 1), ("b.csv", 1.0, 1, 1)]


@pytest.mark.parametrize(
    ("toxic", "others", "warned"),
    [
        (6, 7, False),  # 3 standard errors, sqrt(14 / (12 * 42)) = 1/6 each, are the half itself
        (7, 7, True),
        (6, 6, False),
        (4, 15, False),  # sqrt(20 / (12 * 60)) = 1/6 again
        (4, 16, True),
    ],
)
def test_a_warning_needs_more_than_three_standard_errors(toxic: int, others: int, warned: bool) -> None:
    assert len(contradictions(rows(*source("a.csv", [0.1] * toxic, [0.9] * others)))) == warned


def test_three_errors_are_counted_from_the_area_that_was_measured() -> None:
    """Of 10 and 10, 3 errors are 3 * sqrt(21 / 1200) = 0.397: an area of .1 is below .5 with them, one of .11 is not."""
    tenth = [0.1] * 9 + [0.9]
    assert len(contradictions(rows(*source("a.csv", tenth, [0.5] * 10)))) == 1
    assert contradictions(rows(*source("a.csv", tenth, [0.1] + [0.5] * 9))) == []  # 9 halves more: .145


def test_who_calls_all_rows_the_same_or_agrees_is_not_warned() -> None:
    assert contradictions(rows(*source("a.csv", [0.1] * 20, []), *source("b.csv", [], [0.9] * 20))) == []
    assert contradictions(rows(*source("a.csv", [0.9] * 20, [0.1] * 20))) == []
    assert contradictions(rows()) == []


def test_a_share_of_votes_is_a_label_but_for_a_tie_and_a_side_is_one_too() -> None:
    lines = source("a.csv", [0.1] * 4, [0.9] * 4)
    lines += [("a.csv", 0.75, None, 0.1)] * 3 + [("a.csv", 0.25, None, 0.9)] * 2
    lines += [("a.csv", 0.5, None, 0.1)] * 5  # nobody knows
    lines += [("a.csv", None, "rejected", 0.1)] * 6 + [("a.csv", None, "chosen", 0.9)] * 7
    lines += [("a.csv", None, None, 0.1)] * 9 + [("a.csv", 1.0, None, None)] * 9  # no label, no score
    lines += [("a.csv", 0.0, "rejected", 0.9)]  # what was given goes before the side
    (warning,) = contradictions(rows(*lines))
    assert "AUC 0.00 by head on 13 toxic and 14 other rows" in warning


def test_people_are_no_machine_and_one_labeler_is_enough() -> None:
    assert contradictions(rows(*source("a.csv", [0.1] * 9, [0.9] * 9), name="column")) == []
    right = rows(*source("b.csv", [0.9] * 9, [0.1] * 9), *source("a.csv", [0.1] * 9, [0.9] * 9))
    both = right.with_columns(score_ngram=1 - pl.col("score_head"), score_zebra=pl.col("score_head"))
    warnings = contradictions(both)
    assert [warning.partition(" by ")[0][:5] for warning in warnings] == ["a.csv", "b.csv"]
    assert " by head on 9 " in warnings[0] and " by ngram on 9 " in warnings[1]
