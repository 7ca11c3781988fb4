"""Who says which completions are toxic, and whether that can be believed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from align.data.dataset import Dataset
from align.statistics import auc, wilson
from curate.core.config import chosen_name
from curate.core.contracts import TextLabeler
from curate.core.errors import RecipeError, UserError
from curate.labelers import LABELERS

GOLD = ("human", "votes")  # evidence that a person gave
MAX_FPR = 0.02  # above, a judge's own errors hide what is left of a small toxic share
MIN_AUC = 0.95
MOST_FAILURES = 50  # calls that a judge may fail on one list of texts before the rest is given up


@dataclass(frozen=True)
class Validity:
    """How well a judge does on held-out rows that people labelled.

    Attributes:
        n: distinct texts.
        toxic: how many of them people called toxic.
        tpr: share of those that the judge calls toxic; None without any.
        fpr: share of the others that it calls toxic; None without any.
        auc: area under the ROC curve; None where a class is missing.
        abstained: texts that the judge had no score for; counted apart.
    """

    n: int
    toxic: int
    tpr: float | None
    fpr: float | None
    auc: float | None
    abstained: int

    @property
    def holds(self) -> bool:
        """Whether the judge may be believed: few false alarms, classes well apart."""
        return self.fpr is not None and self.auc is not None and self.fpr <= MAX_FPR and self.auc >= MIN_AUC

    def line(self, name: str) -> str:
        """One line for people."""
        if not self.n or self.auc is None or self.tpr is None or self.fpr is None:
            return f"judge {name}: not valid here, {self.n} held-out gold rows do not hold both classes"
        verdict = "valid here" if self.holds else f"judge not valid here (needs FPR <= {MAX_FPR:.0%}, AUC >= {MIN_AUC})"
        fpr = wilson(round(self.fpr * (self.n - self.toxic)), self.n - self.toxic)
        return (
            f"judge {name}: TPR {self.tpr:.1%}, FPR {self.fpr:.1%} [{fpr.low:.1%}, {fpr.high:.1%}], AUC {self.auc:.3f}"
            f" on {self.n:,} held-out gold rows ({self.toxic:,} toxic): {verdict}"
        )


def labeler_name(labeler: object) -> str:
    """The recipe's word for a labeler."""
    return chosen_name(LABELERS, labeler)


def same_as_builder(judge: TextLabeler, dataset: Dataset) -> str | None:
    """The labeler of the dataset's build that a judge shares its name or a model with, or None.

    The name of a labeler whose model the recipe chooses (`hf`, `llm`) says nothing: only its models count.
    """
    name = None if hasattr(judge, "model") else labeler_name(judge).rpartition(":")[2]  # of a user's own, the class
    models = dataset.manifest.get("models", {})
    builders = [next(iter(stage)) if isinstance(stage, dict) else stage for stage in dataset.manifest["recipe"]["stages"]]
    for builder in builders:
        labels = builder in LABELERS or ":" in builder
        if labels and (builder.rpartition(":")[2] == name or set(models.get(builder, ())) & set(judge.models)):
            return str(builder)
    return None


def panel(judge: TextLabeler, truth: TextLabeler | None, others: Sequence[TextLabeler]) -> dict[str, TextLabeler]:
    """Everyone who scores completions, by role: "judge" first, "truth", and the others by name."""
    found: dict[str, TextLabeler] = {"judge": judge} | ({} if truth is None else {"truth": truth})
    for other in others:
        name = labeler_name(other)
        while name in found:
            name += "+"
        found[name] = other
    return found


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
            (f"eval: judge: {labeler_name(judge)} shares its name or models with {builder}, which labelled {dataset.folder}"),
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


def agreement(judge: TextLabeler, truth: TextLabeler, dataset: Dataset) -> dict[str, Any]:
    """How often the data's machine labels, and the judge, say what the truth says; over distinct texts of the corpus.

    Returns:
        `labeler` (rows with machine evidence) and `judge` (all rows), each `{agree, n}`.
    """
    rows = (
        dataset.corpus(["completion", "toxic", "evidence"]).filter(pl.col("completion").is_not_null()).unique(maintain_order=True)
    )
    texts = rows["completion"].unique(maintain_order=True).to_list()
    real = {text: verdict.toxic for text, verdict in zip(texts, verdicts_of(truth, texts), strict=True)}
    judged = {text: verdict.toxic for text, verdict in zip(texts, verdicts_of(judge, texts), strict=True)}
    machine = rows.filter((pl.col("evidence") == "machine") & pl.col("toxic").is_not_null())
    labels = list(zip(machine["completion"].to_list(), machine["toxic"].to_list(), strict=True))
    return {
        "labeler": _agree([(real[text], label) for text, label in labels]),
        "judge": _agree([(real[text], judged[text]) for text in texts]),
    }


def score_all(judge: TextLabeler, texts: Sequence[str]) -> NDArray[np.float32]:
    """Scores of texts, shape (n,); no text, no call."""
    return np.asarray(judge.score(list(texts)), dtype=np.float32) if texts else np.zeros(0, np.float32)


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one text; score and toxic are None where it abstains or failed, and `error` names the failure."""

    score: float | None
    toxic: bool | None
    error: str | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"score": self.score, "toxic": self.toxic} | ({"error": self.error} if self.error else {})


def verdicts_of(judge: TextLabeler, texts: Sequence[str]) -> list[Verdict]:
    """A verdict for each text; texts that a judge crashes on are found by halving and say so, the others keep their verdict.

    Raises:
        UserError: the judge says what is wrong with it, so there is something to mend.
    """
    found: dict[int, Verdict] = {}
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
                found |= dict.fromkeys(part, Verdict(None, None, type(error).__name__))
            else:
                left += [part[: len(part) // 2], part[len(part) // 2 :]]
            continue
        for at, score in zip(part, scores, strict=True):
            known = not np.isnan(score)
            found[at] = Verdict(round(float(score), 6), bool(score >= judge.threshold)) if known else Verdict(None, None)
    return [found[at] for at in range(len(texts))]


def known_of(verdicts: Sequence[Verdict]) -> list[bool]:
    """Whether toxic, without the texts that the judge has no score for."""
    return [verdict.toxic for verdict in verdicts if verdict.toxic is not None]


def plain_validity(validity: Validity) -> dict[str, Any]:
    """As JSON values, the verdict included."""
    return asdict(validity) | {"holds": validity.holds}


def _agree(pairs: list[tuple[bool | None, bool | None]]) -> dict[str, int]:
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return {"agree": sum(a == b for a, b in known), "n": len(known)}
