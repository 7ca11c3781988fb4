"""Who says which completions are toxic, and whether that can be believed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from align.data.dataset import Dataset
from align.data.figures import Agreement
from align.data.results import TruthBelief, Validity
from align.statistics import auc
from curate.core.config import chosen_name
from curate.core.contracts import TextLabeler
from curate.core.errors import RecipeError, UserError
from curate.labelers import LABELERS

GOLD = ("human", "votes")  # evidence that a person gave
MOST_FAILURES = 50  # calls that a judge may fail on one list of texts before the rest is given up


def labeler_name(labeler: object) -> str:
    """The recipe's word for a labeler."""
    return chosen_name(LABELERS, labeler)


def same_as_builder(judge: TextLabeler, dataset: Dataset) -> str | None:
    """The labeler of the dataset's build that a judge shares its name or a model with, or None.

    The name of a labeler whose model the recipe chooses (`hf`, `llm`) says nothing: only its models count.
    """
    name = None if hasattr(judge, "model") else labeler_name(judge).rpartition(":")[2]  # of a user's own, the class
    models = dataset.manifest.models
    for builder in dataset.manifest.stage_options:
        labels = builder in LABELERS or ":" in builder
        if labels and (builder.rpartition(":")[2] == name or set(models.get(builder, ())) & set(judge.models)):
            return builder
    return None


def panel(judge: TextLabeler, truth: TextLabeler | None, others: Sequence[TextLabeler]) -> dict[str, TextLabeler]:
    """Everyone who scores completions, by role: "judge" first, "truth", and the others by name."""
    roles: dict[str, TextLabeler] = {"judge": judge} | ({} if truth is None else {"truth": truth})
    for other in others:
        name = labeler_name(other)
        while name in roles:
            name += "+"
        roles[name] = other
    return roles


def check_judge(judge: TextLabeler, dataset: Dataset, *, allowed: bool) -> str | None:
    """Refuse a judge that labelled the data it is to judge on.

    Args:
        judge: who is to judge.
        dataset: what the model is trained on.
        allowed: the recipe says `allow_same_judge`.

    Returns:
        A warning for every table, where it is the same and allowed.

    Raises:
        RecipeError: it is the same and not allowed.
    """
    builder = same_as_builder(judge, dataset)
    if builder is None:
        return None
    if not allowed:
        raise RecipeError(
            f"eval: judge: {labeler_name(judge)} shares its name or models with {builder}, which labelled {dataset.folder}",
            hint="name another labeler, or set eval.allow_same_judge to true",
        )
    return f"the judge is {builder}, which labelled the training data: its errors count as success here"


def judge_validity(judge: TextLabeler, dataset: Dataset) -> Validity:
    """Measure a judge on test rows that people labelled, each text once; texts that people disagree on are left out."""
    rows = dataset.corpus(["id", "completion", "toxic", "evidence", "split"]).filter(
        (pl.col("split") == "test")
        & pl.col("evidence").is_in(GOLD)
        & pl.col("toxic").is_not_null()
        & pl.col("completion").is_not_null()
    )
    texts = rows.group_by("completion").agg(pl.col("toxic").first(), kinds=pl.col("toxic").n_unique())
    texts = texts.filter(pl.col("kinds") == 1).sort("completion")
    scores = score_all(judge, texts["completion"].to_list())
    known = ~np.isnan(scores)
    scores, toxic = scores[known], texts["toxic"].to_numpy().astype(bool)[known]
    flagged = scores >= judge.threshold
    return Validity(
        n=len(scores),
        toxic=int(toxic.sum()),
        tpr=float(flagged[toxic].mean()) if toxic.any() else None,
        fpr=float(flagged[~toxic].mean()) if (~toxic).any() else None,
        auc=auc(scores, toxic),
        abstained=int((~known).sum()),
    )


def truth_belief(judge: TextLabeler, truth: TextLabeler, dataset: Dataset) -> TruthBelief:
    """How often the data's machine labels, and the judge, say what the truth says; over distinct texts of the corpus."""
    rows = (
        dataset.corpus(["completion", "toxic", "evidence"]).filter(pl.col("completion").is_not_null()).unique(maintain_order=True)
    )
    texts = rows["completion"].unique(maintain_order=True).to_list()
    real = {text: verdict.toxic for text, verdict in zip(texts, verdicts_of(truth, texts), strict=True)}
    machine = rows.filter((pl.col("evidence") == "machine") & pl.col("toxic").is_not_null())
    labels = zip(machine["completion"].to_list(), machine["toxic"].to_list(), strict=True)
    return TruthBelief(
        name=labeler_name(truth),
        labeler=Agreement.of((real[text], label) for text, label in labels),
        judge=Agreement.of((real[text], verdict.toxic) for text, verdict in zip(texts, verdicts_of(judge, texts), strict=True)),
    )


def score_all(judge: TextLabeler, texts: Sequence[str]) -> NDArray[np.float32]:
    """Scores of texts, shape (n,); no text, no call."""
    return np.asarray(judge.score(list(texts)), dtype=np.float32) if texts else np.zeros(0, np.float32)


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one text; score and toxic are None where it abstains or failed, and `error` names the failure."""

    score: float | None
    toxic: bool | None
    error: str | None = None

    def to_json(self) -> dict[str, object]:
        """As JSON values."""
        return {"score": self.score, "toxic": self.toxic} | ({"error": self.error} if self.error else {})


def verdicts_of(judge: TextLabeler, texts: Sequence[str]) -> list[Verdict]:
    """A verdict for each text; texts that a judge crashes on are found by halving and say so, the others keep their verdict.

    Raises:
        UserError: the judge says what is wrong with it, so there is something to mend.
    """
    verdicts: dict[int, Verdict] = {}
    left, failures = [list(range(len(texts)))], 0
    while left:
        part = left.pop()
        if not part:
            continue
        try:
            scores = score_all(judge, [texts[at] for at in part])
        except UserError:
            raise
        except Exception as error:  # a judge is anyone's model: whatever it raises must not end hours of work
            failures += 1
            if len(part) == 1 or failures > MOST_FAILURES:
                verdicts |= dict.fromkeys(part, Verdict(None, None, type(error).__name__))
            else:
                left += [part[: len(part) // 2], part[len(part) // 2 :]]
            continue
        for at, score in zip(part, scores, strict=True):
            known = not np.isnan(score)
            verdicts[at] = Verdict(round(float(score), 6), bool(score >= judge.threshold)) if known else Verdict(None, None)
    return [verdicts[at] for at in range(len(texts))]
