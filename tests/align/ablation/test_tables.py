"""The grid's tables, cell by cell: what is written where something is known, and where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from align.ablation.report import tables
from align.ablation.report.outcome import (
    Contrast,
    Curve,
    Drift,
    Estimate,
    MeanDivergence,
    Outcome,
    Point,
    RateSearch,
    Stability,
    TableRow,
    Trial,
    View,
    read_outcome,
)

COMMITTED = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "ablation"
NBSP = "\u00a0"
FIGURES: Mapping[str, Any] = {
    "all": 0.5,
    "answered": 0.625,
    "refused": 0.25,
    "over_refused": 0.125,
    "truth": 0.375,
    "unscored": 1200,
    "empty": 0,
    "overlap": 0,
    "ended": 0.75,
    "distinct": 1234.0,
    "crashed": {},
    "neutral": 10.0,
    "clean": 20.0,
    "kl": None,
    "kl_neutral": None,
    "kl_clean": None,
    "agreement": {},
}
PLACE: Mapping[str, Any] = {
    "size": 1000,
    "toxic": 0.25,
    "low": 0.125,
    "high": 0.375,
    "by_seed": (0.25,),
    "steps": (1,),
    "flops": (None,),
    "pairs": 250.0,
    "benign": None,
    "prompts": 1200.0,
    "tokens": 34567.0,
    "rates": (1e-3,),
}
BASE = TableRow(**FIGURES)
POINT = Point(
    **FIGURES
    | {"all": 0.25, "neutral": 11.0, "clean": 19.0, "empty": 3}
    | {"kl": MeanDivergence(0.25, 0.0125), "kl_neutral": MeanDivergence(0.5, None), "kl_clean": MeanDivergence(0.75, 0.0)}
    | PLACE
)
WHOLE = Curve(
    (replace(POINT, size=100), POINT),
    (0.3, 0.2),
    Estimate(150.0, 100.0, 400.0),
    Estimate(None, 900.0, None),
    Estimate(0.5, 0.25, 0.75),
)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """The committed outcome, with two methods and figures of ours."""
    whole = read_outcome(COMMITTED / "outcome.json")
    curves = {"sft": replace(WHOLE, n50=None), "sft+kto_s": WHOLE, "kto": WHOLE, "kto_s": WHOLE, "dpo": Curve(())}
    views = {name: View(curves, Estimate(0.5, 0.4, 0.6)) for name in whole.views}
    views["epochs"] = replace(views["epochs"], methods=curves | {"kto": replace(WHOLE, n90=None)})
    return replace(whole, methods=tuple(curves), sizes=(100, 1000), base=BASE, views=views)


def test_rows_for_a_cut_stand_with_their_intervals_or_cells_are_missing(outcome: Outcome) -> None:
    _, rows = tables.needed(outcome)
    assert rows[0] == ["SFT", "cells are missing", "", ""]
    assert rows[3] == ["KTO-S", "150 [≤ 100, 400]", "> 1,000 [900, > 1,000]", "0.500 [0.250, 0.750]"]
    for lost in ("n50", "n90", "area"):
        short = replace(outcome, methods=("kto",))
        short = replace(short, views={"best": View({"kto": replace(WHOLE, **{lost: None})}, Estimate(0.5, 0.4, 0.6))})
        assert tables.needed(short)[1] == [["KTO", "cells are missing", "", ""]]


def test_what_a_number_of_labels_is_in_rows_stands_once_for_the_objectives_that_take_it_alike(outcome: Outcome) -> None:
    _, rows = tables.sizes(outcome)
    assert rows == [
        ["SFT, KTO, KTO-S", "100", "250", "not measured", "1,200", "34,567"],
        ["SFT, KTO, KTO-S", "1,000", "250", "not measured", "1,200", "34,567"],
    ]


def test_a_line_holds_every_figure_beside_the_base(outcome: Outcome) -> None:
    header, rows = tables.everything(outcome)
    assert header[3] == f"toxic % (truth: {outcome.belief.truth.name if outcome.belief.truth else ''})"
    more = ["62.5", "37.5", "25.0", "12.5"]
    assert rows[0] == ["base", "50.0", *more, "10.00", "20.00", "not measured", "75.0", "1,234", "1,200"]
    changes = [f"11.00{NBSP}(+10.0{NBSP}%)", f"19.00{NBSP}(-5.0{NBSP}%)"]
    kl = f"0.250{NBSP}±{NBSP}0.013"
    assert rows[1] == ["SFT", "25.0 [12.5, 37.5]", *more, *changes, kl, "75.0", "1,234", "1,200 (3 empty)"]
    assert [row[0] for row in rows] == ["base", "SFT", "SFT + KTO-S", "KTO", "KTO-S"] and all(
        len(row) == len(header) for row in rows
    )


def test_without_a_truth_there_is_no_column_of_it(outcome: Outcome) -> None:
    header, rows = tables.everything(replace(outcome, belief=replace(outcome.belief, truth=None)))
    assert not any("truth" in name for name in header) and all(len(row) == len(header) for row in rows)


def test_what_was_not_measured_says_so(outcome: Outcome) -> None:
    nothing = dict.fromkeys(("all", "answered", "neutral", "clean", "distinct"))
    row = tables.everything(replace(outcome, base=replace(BASE, **nothing)))[1][0]
    assert row[1:3] == ["not measured"] * 2 and row[6:8] == ["not measured"] * 2 and row[10] == "not measured"
    bare = tables.everything(replace(outcome, base=replace(BASE, neutral=None)))[1][1]
    assert bare[6] == "11.00", "no change where the base's is unknown"


def test_a_distance_has_its_error_where_there_is_one(outcome: Outcome) -> None:
    _, rows = tables.divergence(outcome)
    assert rows[0] == ["base", "not measured", "not measured", "not measured"]
    assert rows[1] == ["SFT", f"0.250{NBSP}±{NBSP}0.013", "0.500", "0.750"]


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (0.1, 0.2, "KTO needs less"),  # the area of a is larger: more is left
        (-0.2, -0.1, "SFT + KTO-S needs less"),
        (-0.1, 0.2, "not told apart"),
        (0.0, 0.2, "not told apart"),
        (-0.2, 0.0, "not told apart"),
        (0.5, 1.5, "KTO needs less"),
        (None, 0.2, "not told apart"),
        (0.1, None, "not told apart"),
    ],
)
def test_a_contrast_is_read_off_its_interval(outcome: Outcome, low: float | None, high: float | None, reading: str) -> None:
    one = Contrast(0.125, low, high, "sft+kto_s", "kto", (), None, None)
    _, ((names, interval, p, read),) = tables.contrasts(replace(outcome, contrasts=(one,)))
    ends = ("not measured" if end is None else f"{end:.3f}" for end in (low, high))
    assert (names, p, read) == ("SFT + KTO-S - KTO", "too few seeds", reading)
    assert interval == "0.125 [{}, {}]".format(*ends)
    _, ((_, _, p, _),) = tables.contrasts(replace(outcome, contrasts=(replace(one, p_holm=0.03125),)))
    assert p == "0.031"


def test_every_view_has_its_rows_for_a_cut(outcome: Outcome) -> None:
    _, rows = tables.views(outcome)
    need = "> 1,000 [900, > 1,000]"
    assert rows[2] == ["KTO", need, "cells are missing", need] and rows[3] == ["KTO-S", need, need, need]


def test_the_rates_that_were_tried_stand_beside_the_one_that_was_taken(outcome: Outcome) -> None:
    trials = (Trial(1e-4, 0.25, 10.0, 7), Trial(1e-3, None, 10.0, 9))
    searches = (RateSearch("kto", 1000, 1e-4, True, trials), RateSearch("kto_s", 1000, 1e-3, False, trials))
    _, rows = tables.rates(replace(outcome, rates=searches))
    tried = "0.0001: 25.0 % at step 7, 0.001: not measured at step 9"
    assert rows == [
        ["KTO", "1,000", "0.0001 (an edge of what was tried)", tried],
        ["KTO-S", "1,000", "0.001", tried],
    ]


def test_drift_is_told_of_the_methods_that_have_a_z(outcome: Outcome) -> None:
    stability = {"sft": Stability({}, None), "kto": Stability({}, Drift(0.1, 0.625, 0.0125))}
    assert tables.drift(replace(outcome, stability=stability))[1] == [["KTO", "62 %", "0.0125"]]
