"""A run's results, written down by hand."""

from __future__ import annotations

import pytest

from align.data.figures import SuiteFigures, Tally, TextFigures
from align.data.results import Belief, Checkpoint, DataName, JudgeBelief, RunResults, Validity
from align.statistics import wilson


def checkpoint(name: str, hits: int, neutral: float, distinct: int) -> Checkpoint:
    toxic, none = wilson(hits, 600), wilson(0, 600)
    tally = Tally(600, 600, 0, 0, toxic, toxic, none, None, ended=0.97, distinct=distinct, mean_tokens=9.0)
    texts = {kind: TextFigures(perplexity, 9, 99, None) for kind, perplexity in (("neutral", neutral), ("clean", 5.0))}
    return Checkpoint(name, {"heldout": SuiteFigures(tally), "retention": SuiteFigures(texts=texts)})


@pytest.fixture
def results() -> RunResults:
    return RunResults(
        name="a",
        seed=0,
        model="builtin:tiny",
        data=DataName("pairs/", "pairs", "d0"),
        phases=[],
        checkpoints=[checkpoint("base", 360, 2.0, 400), checkpoint("after kto", 30, 2.3, 210)],
        belief=Belief(JudgeBelief("lexicon", Validity(n=100, toxic=50, tpr=0.9, fpr=0.0, auc=1.0, abstained=0)), None),
        warnings=[],
        cpu_seconds={"base": 1.0},
        key={"versions": {}},
    )
