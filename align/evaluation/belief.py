"""Whether a judge may be believed here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from align.data.dataset import Dataset
from align.data.results import Belief, JudgeBelief
from align.evaluation.judges import check_judge, judge_validity, labeler_name, truth_belief
from align.evaluation.settings import EvaluationOptions
from curate.core.shipped import located
from curate.core.store import sha256


def judge_warnings(options: EvaluationOptions, dataset: Dataset) -> list[str]:
    """What every table must say of who judges.

    Raises:
        RecipeError: a judge labelled the data, and the recipe does not say that it may.
    """
    judges = [options.judge, *options.others]
    warnings = [check_judge(judge, dataset, allowed=options.allow_same_judge) for judge in judges]
    return [warning for warning in warnings if warning]


def foreign_truth(options: EvaluationOptions, dataset: Dataset) -> str | None:
    """What speaks against the recipe's truth here, None where nothing does.

    A truth is about a dataset where every file that the dataset was made of lies, with the same bytes, in the folder of the
    recipe's `truth_for`; a recipe that names none vouches for its truth itself.
    """
    if options.truth is None or options.truth_for is None:
        return None
    known = {sha256(path) for path in located(Path(options.truth_for)).rglob("*") if path.is_file()}
    sources = dataset.manifest.sources
    if sources and all(entry.sha256 in known for entry in sources):
        return None
    return f"truth: {labeler_name(options.truth)} is about {options.truth_for}, and {dataset.folder} was made of other files"


def with_own_truth(options: EvaluationOptions, dataset: Dataset) -> tuple[EvaluationOptions, list[str]]:
    """The options without a truth that is about other data, and the line that says so."""
    foreign = foreign_truth(options, dataset)
    return (options, []) if foreign is None else (replace(options, truth=None, truth_for=None), [f"{foreign}: it is left out"])


def judge_belief(options: EvaluationOptions, dataset: Dataset) -> Belief:
    """Whether the judge, and the data's labels, can be believed."""
    judge, truth = options.judge, options.truth
    return Belief(
        judge=JudgeBelief(labeler_name(judge), judge_validity(judge, dataset)),
        truth=None if truth is None else truth_belief(judge, truth, dataset),
    )
