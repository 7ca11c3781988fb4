"""Whether a judge may be believed here."""

from __future__ import annotations

from typing import Any

from align.data.dataset import Dataset
from align.evaluation.judges import agreement, check_judge, judge_validity, labeler_name, plain_validity
from align.evaluation.settings import Evaluation


def judge_warnings(evaluation: Evaluation, dataset: Dataset) -> list[str]:
    """What every table must say of who judges.

    Raises:
        RecipeError: a judge labelled the data, and the recipe does not say that it may.
    """
    asked = [evaluation.judge, *evaluation.others]
    found = [check_judge(judge, dataset, allowed=evaluation.allow_same_judge) for judge in asked]
    return [warning for warning in found if warning]


def judged(evaluation: Evaluation, dataset: Dataset) -> dict[str, Any]:
    """Whether the judge, and the data's labels, can be believed."""
    judge, truth = evaluation.judge, evaluation.truth
    validity = judge_validity(judge, dataset)
    name = labeler_name(judge)
    found: dict[str, Any] = {
        "judge": {"name": name, "validity": plain_validity(validity), "line": validity.line(name)},
        "truth": None,
    }
    if truth is not None:
        found["truth"] = {"name": labeler_name(truth), "agreement": agreement(judge, truth, dataset)}
    return found
