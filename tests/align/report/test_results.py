"""The targets and the account of a run."""

from __future__ import annotations

from dataclasses import replace

from align.data.results import Belief, RunResults
from align.report.results import summary, targets


def test_targets_are_read_off_the_first_and_the_last_checkpoint(results: RunResults) -> None:
    found = {target.text: target.holds for target in targets(results)}
    assert found == {
        "toxic share falls by 91.7% (target >= 90%)": True,
        "intervals of the toxic share do not overlap": True,
        "neutral perplexity +15.0% (target < +10%)": False,
        "clean perplexity +0.0% (target < +10%)": True,
        "97.0% of completions end by themselves (target >= 95%)": True,
        "distinct completions are 0.53 of the base's (target >= 0.5)": True,
    }
    judge = results.belief.judge
    doubted = Belief(replace(judge, validity=replace(judge.validity, fpr=0.5)), None)
    assert targets(replace(results, belief=doubted))[0].holds is None


def test_the_account_shows_each_rise_beside_its_perplexity(results: RunResults) -> None:
    lines = summary(results).splitlines()
    assert lines[0] == "a, seed 0: builtin:tiny on pairs (d0)"
    (base,) = (line for line in lines if line.startswith("base  "))
    assert "60.0 [56.0, 63.8]" in base and "2.00" in base and "%)" not in base
    (after,) = (line for line in lines if line.startswith("after kto  "))
    assert "5.0 [3.5, 7.0]" in after and "2.30 (+15.0 %)" in after and "5.00 (+0.0 %)" in after
