"""Whether a judge may be believed here."""

from __future__ import annotations

from align.data.dataset import Dataset
from align.data.results import Belief, JudgeBelief
from align.evaluation.judges import check_judge, judge_validity, labeler_name, truth_belief
from align.evaluation.settings import EvaluationOptions


def judge_warnings(options: EvaluationOptions, dataset: Dataset) -> list[str]:
    """What every table must say of who judges.

    Raises:
        RecipeError: a judge labelled the data, and the recipe does not say that it may.
    """
    judges = [options.judge, *options.others]
    warnings = [check_judge(judge, dataset, allowed=options.allow_same_judge) for judge in judges]
    return [warning for warning in warnings if warning]


def judge_belief(options: EvaluationOptions, dataset: Dataset) -> Belief:
    """Whether the judge, and the data's labels, can be believed."""
    judge, truth = options.judge, options.truth
    return Belief(
        judge=JudgeBelief(labeler_name(judge), judge_validity(judge, dataset)),
        truth=None if truth is None else truth_belief(judge, truth, dataset),
    )
