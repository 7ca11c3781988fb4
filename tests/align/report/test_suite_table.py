"""Every suite in one table, and beside it what the table has no column for."""

from __future__ import annotations

from dataclasses import replace

from align.data.figures import Agreement, Crash, Divergence, SuiteFigures
from align.data.results import Checkpoint, RunResults
from align.report.suite_table import further, suite_table
from align.statistics import Share


def test_a_suite_has_a_row_per_checkpoint_and_its_parts_follow(results: RunResults) -> None:
    base, after = results.checkpoints
    assert base.heldout is not None
    whole = replace(base.heldout, unscored=3, empty=2, overlap=0, kl=Divergence(0.25, 0.125, 2.0, 80))
    parts = SuiteFigures(whole, {"standard": base.heldout})
    table = suite_table(replace(results, checkpoints=[replace(base, suites={"parallel": parts}), after]))
    assert table is not None
    assert [row[:2] for row in table[1]] == [["parallel", "base"], ["parallel: standard", "base"], ["heldout", "after kto"]]
    assert [row[-2:] for row in table[1]] == [["3 (2 empty)", "0.250 ± 0.125"], ["0", "-"], ["0", "-"]]
    texts_alone = [Checkpoint("base", {"retention": base.suites["retention"]})]
    assert suite_table(replace(results, checkpoints=texts_alone)) is None, "retention stands in the run's first table"


def test_what_crashed_or_was_left_out_is_named_beside_the_table(results: RunResults) -> None:
    tally = results.checkpoints[0].heldout
    assert tally is not None
    others = {"truth": Share(1, 4, 0.1, 0.7), "hf": Share(0, 4, 0.0, 0.5)}
    tally = replace(
        tally, others=others, agreement={"judge and hf": Agreement(3, 4)}, overlap=3, crashed={"judge": Crash(2, "ValueError")}
    )
    extras = {"gap": {"value": 0.25, "p": 0.5, "none": None}, "toxicity_probability": Share(1, 4, 0.1, 0.7), "words": 1000}
    lines = further(replace(results, checkpoints=[Checkpoint("base", {"heldout": SuiteFigures(tally, extras=extras)})]))
    assert lines == [
        "heldout, base: hf 0.0 [0.0, 50.0] %, gap value 0.25, gap p 0.5, toxicity_probability 25.0 [10.0, 70.0] %, words 1,000",
        "heldout: 3 prompts occur in training and were left out",
        "warning: heldout, base: judge crashed on 2 completions (ValueError); they are in no share",
    ]
