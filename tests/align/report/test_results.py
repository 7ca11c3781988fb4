"""The tables and targets of a run, from figures written down by hand."""

from __future__ import annotations

from dataclasses import replace

from align.data.figures import SuiteFigures, Tally, TextFigures
from align.data.results import Belief, Checkpoint, DataName, JudgeBelief, RunResults, Validity
from align.report.results import targets
from align.statistics import wilson


def checkpoint(hits: int, neutral: float, distinct: int) -> Checkpoint:
    toxic, none = wilson(hits, 600), wilson(0, 600)
    tally = Tally(600, 600, 0, 0, toxic, toxic, none, None, ended=0.97, distinct=distinct, mean_tokens=9.0)
    texts = {kind: TextFigures(perplexity, 9, 99, None) for kind, perplexity in (("neutral", neutral), ("clean", 5.0))}
    return Checkpoint("base", {"heldout": SuiteFigures(tally), "retention": SuiteFigures(texts=texts)})


def results(validity: Validity) -> RunResults:
    return RunResults(
        name="a",
        seed=0,
        model="builtin:tiny",
        data=DataName("pairs/", "pairs", "d0"),
        phases=[],
        checkpoints=[checkpoint(360, 2.0, 400), checkpoint(30, 2.3, 210)],
        belief=Belief(JudgeBelief("lexicon", validity), None),
        warnings=[],
        cpu_seconds={},
        key={"versions": {}},
    )


def test_targets_are_read_off_the_first_and_the_last_checkpoint() -> None:
    valid = Validity(n=100, toxic=50, tpr=0.9, fpr=0.0, auc=1.0, abstained=0)
    found = {target.text: target.holds for target in targets(results(valid))}
    assert found == {
        "toxic share falls by 91.7% (target >= 90%)": True,
        "intervals of the toxic share do not overlap": True,
        "neutral perplexity +15.0% (target < +10%)": False,
        "clean perplexity +0.0% (target < +10%)": True,
        "97.0% of completions end by themselves (target >= 95%)": True,
        "distinct completions are 0.53 of the base's (target >= 0.5)": True,
    }
    assert targets(results(replace(valid, fpr=0.5)))[0].holds is None
