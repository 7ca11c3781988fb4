"""Judges: never who labelled the data, believed only where people's labels say so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from align.data.dataset import Dataset, open_dataset
from align.data.figures import Agreement
from align.data.results import Validity
from align.evaluation.belief import with_own_truth
from align.evaluation.judges import check_judge, judge_validity, truth_belief, verdicts_of
from align.evaluation.settings import EvaluationOptions
from curate.core.errors import RecipeError
from curate.core.manifest import SourceEntry
from curate.core.store import sha256
from curate.labelers import LABELERS
from curate.labelers.lexicon.lexicon import Lexicon


@pytest.fixture(scope="module")
def dataset(pairs: Path) -> Dataset:
    return open_dataset(pairs)


@pytest.fixture
def lexicon(terms: Path) -> Lexicon:
    return Lexicon(terms=terms)


def built_by(dataset: Dataset, **models: list[str]) -> Dataset:
    stages = [{name: {}} for name in models]
    manifest = dataset.manifest
    manifest = dataclasses.replace(manifest, recipe=manifest.recipe | {"stages": stages}, models=models)
    return dataclasses.replace(dataset, manifest=manifest)


def test_the_labeler_that_built_the_data_may_not_judge(dataset: Dataset, lexicon: Lexicon) -> None:
    with pytest.raises(RecipeError, match=r"lexicon shares its name or models with lexicon.*allow_same_judge"):
        check_judge(lexicon, built_by(dataset, lexicon=[]), allowed=False)


def test_nor_may_one_with_another_name_and_the_same_model(dataset: Dataset, lexicon: Lexicon) -> None:
    with pytest.raises(RecipeError, match="with head, which labelled"):
        check_judge(lexicon, built_by(dataset, column=[], head=list(lexicon.models)), allowed=False)


def test_where_the_recipe_insists_every_table_says_so(dataset: Dataset, lexicon: Lexicon) -> None:
    warning = check_judge(lexicon, built_by(dataset, lexicon=[]), allowed=True)
    assert warning is not None and "labelled the training data" in warning


def test_another_judge_needs_no_warning(dataset: Dataset, lexicon: Lexicon) -> None:
    assert check_judge(lexicon, dataset, allowed=False) is None


def test_a_judge_that_knows_the_words_is_valid(dataset: Dataset, lexicon: Lexicon) -> None:
    found = judge_validity(lexicon, dataset)
    assert found.holds and (found.tpr, found.fpr, found.auc) == (1.0, 0.0, 1.0) and 0 < found.toxic < found.n


def test_only_test_rows_that_people_labelled_count_each_text_once(dataset: Dataset, lexicon: Lexicon) -> None:
    rows = dataset.corpus()
    gold = rows.filter((rows["split"] == "test") & (rows["evidence"] == "votes"))
    assert judge_validity(lexicon, dataset).n == gold["completion"].n_unique()


def test_a_judge_that_calls_mild_words_toxic_is_not_valid_and_the_line_says_so(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("nicely\n")
    found = judge_validity(Lexicon(terms=tmp_path / "bad.txt"), dataset)
    line = found.line("lexicon")
    assert not found.holds and found.tpr == 0 and found.fpr is not None and found.fpr > 0.02
    assert "judge not valid here (needs FPR <= 2%, AUC >= 0.95)" in line and "TPR 0.0%" in line


@pytest.mark.parametrize(
    ("fpr", "auc", "holds"), [(0.02, 0.95, True), (0.021, 0.99, False), (0.0, 0.949, False), (None, None, False)]
)
def test_validity_needs_few_false_alarms_and_classes_apart(fpr: float | None, auc: float | None, holds: bool) -> None:
    assert Validity(100, 50, 0.9, fpr, auc, 0).holds is holds


def test_agreement_counts_machine_labels_and_the_judge_apart(dataset: Dataset, lexicon: Lexicon) -> None:
    belief = truth_belief(lexicon, lexicon, dataset)
    machine = dataset.corpus().filter(dataset.corpus()["evidence"] == "machine")
    assert belief.labeler == Agreement(machine["completion"].n_unique(), machine["completion"].n_unique())
    assert belief.judge.agree == belief.judge.n > belief.labeler.n


def test_what_a_judge_has_no_score_for_is_counted_apart() -> None:
    verdicts = verdicts_of(LABELERS["ngram"](), ["what a nice day", "...", ""])
    assert [verdict.toxic for verdict in verdicts] == [False, None, None]


def made_of(dataset: Dataset, *hashes: str) -> Dataset:
    sources = tuple(SourceEntry(source=f"{at}.jsonl", sha256=one) for at, one in enumerate(hashes))
    return dataclasses.replace(dataset, manifest=dataclasses.replace(dataset.manifest, sources=sources))


def test_a_truth_counts_only_on_data_made_of_the_files_it_is_about(dataset: Dataset, lexicon: Lexicon, tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "deep"
    raw.mkdir(parents=True)
    for name in ("a.txt", "b.txt"):
        (raw / name).write_text(name)
    one, other = (sha256(raw / name) for name in ("a.txt", "b.txt"))
    options = EvaluationOptions(suites=(), judge=lexicon, truth=lexicon, truth_for=str(tmp_path / "raw"))
    for own in ((one,), (one, other)):
        assert with_own_truth(options, made_of(dataset, *own)) == (options, [])
    for foreign in ((), ("0" * 64,), (one, "0" * 64)):
        left, (line,) = with_own_truth(options, made_of(dataset, *foreign))
        assert left.truth is None and left.judge is lexicon
        assert line.startswith("truth: lexicon is about") and line.endswith("was made of other files: it is left out")
    vouched = dataclasses.replace(options, truth_for=None)
    assert with_own_truth(vouched, made_of(dataset, "0" * 64)) == (vouched, [])
