"""Recipes that ship with expensive labelers, and these labelers as judges of `align`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.core.config import choose, chosen_name
from curate.core.manifest import Manifest
from curate.core.policy import load_policy
from curate.labelers import LABELERS
from curate.pipeline.recipe import TABLE, read_recipe

SHIPPED = sorted((Path(__file__).parents[3] / "recipes" / "curate").glob("*.yaml"))
EXPENSIVE = {"llm", "hf", "detoxify", "lionguard", "tuned"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_reads_and_asks_expensive_labelers_only_about_the_undecided(path: Path) -> None:
    recipe = read_recipe(path)
    names = [chosen_name(TABLE, stage) for stage in recipe.stages]
    for name, stage in zip(names, recipe.stages, strict=True):
        if name in EXPENSIVE:
            assert stage.only == "undecided" and names.index("undecided") < names.index(name)


def test_every_expensive_labeler_is_in_a_shipped_recipe() -> None:
    used = {chosen_name(TABLE, stage) for path in SHIPPED for stage in read_recipe(path).stages}
    assert EXPENSIVE | {"lexicon", "ngram", "undecided"} <= used


OPTIONS: dict[str, dict[str, Any]] = {
    "hf": {"model": "someone/something", "labels": {"a": "toxic", "b": "sexual"}},
    "llm": {"url": "http://localhost/v1", "model": "m"},
    "detoxify": {"variant": "unbiased"},
    "lionguard": {},
    "lexicon": {},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_labeler_declares_the_categories_it_writes_without_loading_anything(name: str) -> None:
    labeler = choose(LABELERS, {name: OPTIONS[name]}, "test", "labeler")
    assert list(labeler.writes) == [f"score_{name}", *(f"score_{name}_{category}" for category in labeler.categories)]
    assert set(labeler.categories) <= set(load_policy().categories)
    assert load_policy().labeler_scores(labeler.writes) == [f"score_{name}"]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_labeler_may_judge(name: str, tmp_path: Path) -> None:
    from align.pipeline.recipe import read_recipe as read_run

    (tmp_path / "run.yaml").write_text(
        f"extends: {Path(__file__).parents[3] / 'recipes' / 'kto_s.yaml'}\neval:\n  judge: {{{name}: {_flow(OPTIONS[name])}}}\n"
    )
    judge = read_run(tmp_path / "run.yaml").eval.judge
    assert type(judge) is LABELERS[name] and judge.trained_on is not None and callable(judge.score)


def test_a_judge_with_a_model_of_its_own_may_share_the_builders_word() -> None:
    from align.evaluation.judges import same_as_builder

    class Built:
        manifest = Manifest(recipe={"stages": ["pii", {"llm": {}}]}, models={"llm": ["llm: m", "0123"]})

    judge = {"url": "http://localhost/v1", "parameters": {"temperature": 1}}
    assert same_as_builder(choose(LABELERS, {"llm": judge | {"model": "m"}}, "test", "labeler"), Built()) == "llm"  # type: ignore[arg-type]
    assert same_as_builder(choose(LABELERS, {"llm": judge | {"model": "n"}}, "test", "labeler"), Built()) is None  # type: ignore[arg-type]


def _flow(options: dict[str, Any]) -> str:
    import json

    return json.dumps(options)


def test_a_judge_that_is_a_classifier_gives_verdicts(tiny_bert: Any, tmp_path: Path) -> None:
    from align.evaluation.judges import verdicts_of

    model = tiny_bert(tmp_path, id2label={0: "rude"}, num_labels=1, trained=True)
    judge = choose(
        LABELERS, {"hf": {"model": str(model), "labels": {"rude": "toxic"}, "activation": "sigmoid"}}, "test", "labeler"
    )
    rude, calm, blank = verdicts_of(judge, ["stupid clown", "so kind of you", " "])
    assert rude.toxic is True and calm.toxic is False and blank.toxic is None
