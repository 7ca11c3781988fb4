"""What `align plan` refuses and warns of before hours are spent, and the run at its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from align.data.dataset import Dataset, check_prompts, open_dataset, training_rows
from align.pipeline import preview as plan
from align.pipeline import run as runs
from align.pipeline.recipe import Recipe, read_recipe
from curate.core.errors import DataError

RECIPE = """
name: small
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 0.1, batch_size: 16}}}}
phases: [{{sft: {{learning_rate: 1e-3, batch_size: 4096}}}}, {{kto_s: {{learning_rate: 1e-3, batch_size: 16}}}}]
eval: {{suites: {suites}, judge: ngram, truth: {{lexicon: {{terms: {terms}}}}}, truth_for: examples/raw/}}
"""


def recipe(folder: Path, pairs: Path, terms: Path, suites: str = "[heldout]") -> Recipe:
    (folder / "r.yaml").write_text(RECIPE.format(pairs=pairs, terms=terms, suites=suites))
    return read_recipe(folder / "r.yaml")


def without_prompts(folder: Path, most: int) -> Dataset:
    """The dataset with all but some of its prompts taken for the one that rows without any are given."""
    dataset = open_dataset(folder)
    template = [{"role": "user", "content": dataset.manifest.dataset_options["prompt_template"]}]
    for split in ("train", "validation", "test"):
        table = dataset.split("unpaired", split)
        own = table["prompt"].to_list()
        prompts: list[Any] = [prompt if at < most else template for at, prompt in enumerate(own)]
        dataset._tables[f"unpaired/{split}-"] = table.with_columns(prompt=pl.Series(prompts, dtype=table["prompt"].dtype))
    return dataset


def test_data_without_a_prompt_of_their_own_are_refused_with_what_would_help(pairs: Path) -> None:
    with pytest.raises(DataError, match="no row has a prompt of its own, so nothing can be asked") as error:
        check_prompts(without_prompts(pairs, most=0))
    assert "threads, chats, prompts with replies" in (error.value.hint or "") and "eval.suites" in (error.value.hint or "")
    check_prompts(without_prompts(pairs, most=1))
    check_prompts(open_dataset(pairs))


def test_plan_and_run_refuse_them_before_a_model_is_loaded(
    pairs: Path, terms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = without_prompts(pairs, most=0)
    for module in (plan, runs):
        monkeypatch.setattr(module, "open_dataset", lambda folder: bare)
    asking, other = recipe(tmp_path, pairs, terms), recipe(tmp_path, pairs, terms, "[retention]")
    with pytest.raises(DataError, match="nothing can be asked"):
        plan.preview(asking, tmp_path / "cache")
    with pytest.raises(DataError, match="nothing can be asked"):
        runs.run(asking, tmp_path / "runs", lambda line: None)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "cache").exists()
    plan.check_questions(other.eval, bare)


def test_a_phase_with_fewer_rows_than_a_batch_is_warned_of_in_plan_and_at_the_runs_start(
    pairs: Path, terms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = recipe(tmp_path, pairs, terms)
    count = training_rows(open_dataset(pairs), frozenset({"desirable"}))
    line = f"warning: 1-sft: {count} rows, fewer than a batch of 4,096: next to nothing can be learnt"
    text = plan.preview(few, tmp_path / "cache")
    assert line in text.splitlines() and "2-kto_s: " in text and "warning: 2-kto_s" not in text
    assert "warning: truth: lexicon is about examples/raw/" in text

    said: list[str] = []

    class Stop(Exception):  # noqa: N818 - nothing went wrong
        pass

    def say(message: str) -> None:
        said.append(message)
        if message == "base model":
            raise Stop

    with pytest.raises(Stop):
        runs.run(few, tmp_path / "runs", say)
    assert line in said and any(one.endswith("it is left out") for one in said)


def test_rows_that_fill_a_batch_need_no_warning(pairs: Path, terms: Path, tmp_path: Path) -> None:
    phase = recipe(tmp_path, pairs, terms).phases[1]
    assert plan.few_rows("a", phase, 16) == []
    assert plan.few_rows("a", phase, 1) == ["a: 1 row, fewer than a batch of 16: next to nothing can be learnt"]


def test_each_side_of_a_pair_is_a_row(pairs: Path) -> None:
    dataset = open_dataset(pairs)
    assert training_rows(dataset, frozenset({"paired"})) == 2 * dataset.split("paired", "train").height
    assert training_rows(dataset, frozenset({"unpaired"})) == dataset.split("unpaired", "train").height
