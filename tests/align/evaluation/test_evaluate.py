"""`align eval`: a model is judged as it is, by the same suites and draws as in the run that made it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from align.commands.compare import compare
from align.data.results import Checkpoint, RunResults
from align.models.export import export
from align.pipeline.recipe import eval_recipe, read_recipe
from align.pipeline.run import run
from align.report.results import summary
from curate.core.errors import DataError, RecipeError

RECIPE = """
name: small
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 3, batch_size: 16}}}}
phases: [{{sft: {{learning_rate: 3e-3, steps: 6, batch_size: 16}}}}, {{kto: {{learning_rate: 3e-3, steps: 3, batch_size: 16}}}}]
eval:
  suites: [{{heldout: {{max_prompts: 15}}}}, {{prefill: {{max_prompts: 6}}}}, {{retention: {{max_rows: 5}}}}]
  judge: {{lexicon: {{terms: {terms}}}}}
  sampling: {{max_new_tokens: 12}}
"""
Done = tuple[Path, RunResults]


def say(line: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(pairs: Path, terms: Path, runs: Path) -> Done:
    (runs / "small.yaml").write_text(RECIPE.format(pairs=pairs, terms=terms))
    folder, results, _ = run(read_recipe(runs / "small.yaml"), runs, say)
    return folder, results


@pytest.fixture(scope="module")
def again(finished: Done, runs: Path) -> Done:
    folder, results, unchanged = run(eval_recipe(str(finished[0]), None), runs, say)
    assert not unchanged
    return folder, results


def test_a_run_is_judged_again_as_it_was_and_nothing_is_trained(finished: Done, again: Done, runs: Path) -> None:
    folder, results = again
    (only,) = results.checkpoints
    assert only.suites == finished[1].checkpoints[-1].suites and results.phases == []
    assert only.heldout is not None and only.heldout.kl is not None and only.heldout.kl.value > 0, "from the run's own base"
    assert only.name == f"{finished[0].name}: 2-kto" and folder.name.startswith("eval-small-")
    assert run(eval_recipe(str(finished[0]), None), runs, say) == (folder, results, True)
    assert run(read_recipe(folder / "recipe.yaml"), runs, say)[2], "its recipe.yaml is the same evaluation"


def test_an_earlier_phase_and_other_suites_by_name(finished: Done, runs: Path) -> None:
    asked = eval_recipe(f"{finished[0]}:sft", None, ["eval.suites=[{heldout: {max_prompts: 15}}]"])
    _, results, _ = run(asked, runs, say)
    assert results.checkpoints[0].heldout == finished[1].checkpoints[1].heldout
    named = eval_recipe("x", None, suites=["prefill", "retention"]).eval.suites
    assert [type(suite).__name__ for suite in named] == ["Prefill", "Retention"]


def test_a_models_folder_is_judged_and_other_weights_in_it_are_another_evaluation(
    finished: Done, runs: Path, tmp_path: Path
) -> None:
    export(finished[0], tmp_path / "model")
    asked = eval_recipe(str(tmp_path / "model"), finished[0] / "recipe.yaml")
    folder, results, _ = run(asked, runs, say)
    heldout, before = results.checkpoints[0].heldout, finished[1].checkpoints[-1].heldout
    assert heldout is not None and before is not None
    assert heldout.toxic == before.toxic and heldout.kl is None, "a folder does not say what it was made from"
    shutil.rmtree(tmp_path / "model")
    export(finished[0], tmp_path / "model", phase="sft")
    other, _, unchanged = run(asked, runs, say)
    assert other != folder and not unchanged


def test_items_are_kept_and_two_evaluations_are_compared_prompt_by_prompt(finished: Done, again: Done) -> None:
    folder, results = again
    items = [json.loads(line) for line in (folder / "base" / "prefill.jsonl").read_text("utf-8").splitlines()]
    tallies = {suite: figures.tally for suite, figures in results.checkpoints[0].suites.items()}
    assert len(items) == tallies["prefill"].n and "judge" in items[0]
    text = compare([folder, finished[0]])
    for suite in ("heldout", "prefill"):
        n = tallies[suite].toxic.n
        assert f"{suite}: of {n} prompts that both answered, only the first is toxic on 0" in text
    assert "McNemar's exact p = 1" in text and text.count("eval-small") == 1, "one checkpoint, one line"


def test_the_table_has_every_suite_and_refusals_beside_toxicity(again: Done) -> None:
    text = summary(again[1])
    header = next(line for line in text.splitlines() if line.startswith("suite"))
    for word in ("toxic %, answered", "refused %", "over-refused %", "not scored", "KL to base"):
        assert word in header
    rows = [line.split()[0] for line in text.splitlines() if line.startswith(("heldout ", "prefill "))]
    assert rows == ["heldout", "prefill"] and "words 3" in text
    assert "By suite" in (again[0] / "report.html").read_text("utf-8")


def test_what_crashed_or_was_left_out_is_named_beside_the_table(again: Done) -> None:
    from align.report.suite_table import further

    values = again[1].to_json()["checkpoints"][0]["heldout"]
    values |= {"overlap": 3, "crashed": {"judge": {"n": 2, "error": "ValueError"}}}
    extra = {"gap": {"value": 0.25, "p": 0.5}, "toxicity_probability": {"hits": 1, "n": 4, "low": 0.1, "high": 0.7}}
    checkpoint = Checkpoint.from_json({"name": "base", "heldout": values | extra})
    lines = further(replace(again[1], checkpoints=[checkpoint]))
    assert lines[0] == "heldout, base: gap value 0.25, gap p 0.5, toxicity_probability 25.0 [10.0, 70.0] %"
    assert lines[1] == "heldout: 3 prompts occur in training and were left out"
    assert lines[2].startswith("warning: heldout, base: judge crashed on 2 completions (ValueError)")


def test_slips_are_named(finished: Done, again: Done, runs: Path) -> None:
    with pytest.raises(RecipeError, match="no suite 'held_out'; did you mean 'heldout'"):
        eval_recipe("builtin:tiny", None, suites=["held_out"])
    with pytest.raises(RecipeError, match="has none of that name; it has 1-sft, 2-kto"):
        run(eval_recipe(f"{finished[0]}:dpo", None), runs, say)
    with pytest.raises(DataError, match="trained nothing, it only evaluated a model"):
        run(eval_recipe(str(again[0]), None), runs, say)
    with pytest.raises(DataError, match="nowhere: cannot be loaded"):
        run(eval_recipe("nowhere", finished[0] / "recipe.yaml"), runs, say)
    assert eval_recipe("org/Model-8B", None, data="d/", judge="lexicon").name == "eval-Model-8B"
