"""A run: table and report at the end, nothing to do the second time, and the same figures after an interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from align.commands.compare import compare
from align.data.results import RunResults
from align.data.run_folder import RESULTS, read_results
from align.objectives.phase import parse
from align.pipeline.recipe import Recipe, read_recipe
from align.pipeline.run import _mean_beta_kl, run
from align.report.comparison import seeds_summary
from align.report.page import report
from align.report.results import summary, targets
from curate.core.errors import DataError, RecipeError

RECIPE = """
name: small
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 4, batch_size: 16}}}}
phases:
  - sft: {{learning_rate: 3e-3, epochs: 2, batch_size: 16}}
  - kto_s: {{learning_rate: 1e-3, epochs: 2, batch_size: 16, save_steps: 3}}
eval:
  suites: [heldout, retention]
  judge: {{lexicon: {{terms: {terms}}}}}
  truth: {{lexicon: {{terms: {terms}}}}}
  sampling: {{max_new_tokens: 24}}
"""


@pytest.fixture(scope="module")
def recipe_file(pairs: Path, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE.format(pairs=pairs, terms=terms))
    return path


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    return read_recipe(recipe_file)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(recipe: Recipe, runs: Path) -> tuple[Path, RunResults]:
    folder, results, unchanged = run(recipe, runs, lambda line: None)
    assert not unchanged
    return folder, results


def figures(results: RunResults) -> list[Any]:
    """What a resumed run must find again: all but the time it took."""
    phases = [
        replace(phase, metrics={name: value for name, value in phase.metrics.items() if not name.endswith("/s")})
        for phase in results.phases
    ]
    return [results.checkpoints, phases, results.belief, results.key]


def test_beta_times_z_is_the_mean_over_the_steps_that_have_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "kl": 0.5}\n{"step": 2, "loss": 1.0}\n{"step": 3, "kl": 1.5}\n{"step": 4, "kl": 0.25}\n')
    kto_s = parse({"kto_s": {"learning_rate": 1e-4, "beta": 0.5}}, "here")
    assert _mean_beta_kl(path, kto_s) == 0.375  # 0.5 * (0.5 + 1.5 + 0.25) / 3
    assert _mean_beta_kl(path, parse({"sft": {"learning_rate": 1e-4}}, "here")) is None
    path.write_text('{"step": 1, "loss": 1.0}\n')
    assert _mean_beta_kl(path, kto_s) is None


def test_cpu_seconds_count_from_the_start_of_the_process_unless_told(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    starts = []

    def clock(path: Path, since: float) -> None:
        starts.append(since)
        raise Stop

    monkeypatch.setattr("align.pipeline.run.Clock", clock)
    for options in ({}, {"cpu_since": 2.5}):
        with pytest.raises(Stop):
            run(recipe, tmp_path, lambda line: None, **options)
    assert starts == [0.0, 2.5]


def test_alignment_lowers_the_toxic_share(finished: tuple[Path, RunResults]) -> None:
    _, results = finished
    names = [checkpoint.name for checkpoint in results.checkpoints]
    shares = [checkpoint.heldout.toxic.hits for checkpoint in results.checkpoints if checkpoint.heldout]
    assert names == ["base", "after sft", "after sft + kto_s"] and shares[-1] < shares[0]
    assert results.belief.judge.validity.holds


def test_the_base_is_at_no_distance_from_itself_and_each_phase_moves_the_model_away(finished: tuple[Path, RunResults]) -> None:
    _, results = finished
    base, sft, kto_s = (one.heldout.kl.value for one in results.checkpoints if one.heldout and one.heldout.kl)
    assert base == 0.0 < sft and kto_s > 0.0 and sft != kto_s


def test_the_run_folder_holds_what_was_done_and_found(finished: tuple[Path, RunResults]) -> None:
    folder, results = finished
    assert folder.name.startswith("small-")
    for place in ("base", "1-sft", "2-kto_s"):
        items = [json.loads(line) for line in (folder / place / "heldout.jsonl").read_text("utf-8").splitlines()]
        assert results.checkpoints[0].heldout is not None and len(items) == results.checkpoints[0].heldout.n
        assert set(items[0]) == {
            "id",
            "sample",
            "cluster",
            "benign",
            "completion",
            "tokens",
            "ended",
            "refused",
            "kl",
            "judge",
            "truth",
        }
    for place in ("1-sft", "2-kto_s"):
        assert (folder / place / "metrics.jsonl").is_file() and (folder / place / "model.safetensors").is_file()
    assert json.loads((folder / RESULTS).read_text()) == results.to_json() and read_results(folder) == results


def test_the_recipe_in_the_folder_is_the_same_run(finished: tuple[Path, RunResults], runs: Path) -> None:
    folder, results = finished
    again = run(read_recipe(folder / "recipe.yaml"), runs, lambda line: None)
    assert again == (folder, results, True)


def test_the_table_has_a_row_per_checkpoint_and_no_completion(finished: tuple[Path, RunResults]) -> None:
    folder, results = finished
    text = summary(results)
    for word in (
        "base",
        "after sft",
        "after sft + kto_s",
        "toxic % (lexicon)",
        "neutral ppl",
        "clean ppl",
        "KL to base",
        "ended %",
        "distinct",
    ):
        assert word in text
    assert "z > 0 in" in text and "mean beta*z" in text and "CPU seconds" in text and "valid here" in text
    said = [json.loads(line)["completion"] for line in (folder / "base/heldout.jsonl").read_text("utf-8").splitlines()]
    assert not any(completion in text for completion in said if len(completion) > 8)


def test_the_report_asks_nothing_of_anyone_and_shows_text_only_when_told(finished: tuple[Path, RunResults]) -> None:
    folder, results = finished
    page = (folder / "report.html").read_text("utf-8")
    said = [json.loads(line)["completion"] for line in (folder / "base/heldout.jsonl").read_text("utf-8").splitlines()][:5]
    assert "<svg" in page and "<script" not in page and "http://" not in page and "https://" not in page
    assert not any(completion in page for completion in said if len(completion) > 8)
    assert any(completion in report(results, folder, show_text=True) for completion in said if len(completion) > 8)


def test_a_completion_that_is_markup_is_shown_as_text(finished: tuple[Path, RunResults], tmp_path: Path) -> None:
    folder, results = finished
    (tmp_path / "base").mkdir()
    item = {"id": "a" * 32, "completion": "<script>alert(1)</script>", "judge": {"toxic": None}}
    (tmp_path / "base/heldout.jsonl").write_text(json.dumps(item) + "\n")
    page = report(results, tmp_path, show_text=True)
    assert "<script" not in page and "&lt;script&gt;" in page


def test_a_killed_run_ends_in_the_same_figures(recipe_file: Path, finished: tuple[Path, RunResults], tmp_path: Path) -> None:
    """Ctrl-C while KTO-S trains, then the same command."""
    command = [sys.executable, "-m", "align", "run", str(recipe_file), "--runs", str(tmp_path)]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("small-*/2-kto_s/checkpoint-*/manifest.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command" in said.splitlines()[-1] and "Traceback" not in said
    (folder,) = tmp_path.glob("small-*")
    assert not (folder / RESULTS).exists()
    again, results, unchanged = run(read_recipe(recipe_file), tmp_path, lambda line: None)
    assert again == folder and not unchanged and figures(results) == figures(finished[1])


def test_another_seed_is_another_run(recipe_file: Path, recipe: Recipe, finished: tuple[Path, RunResults]) -> None:
    from align.data.dataset import open_dataset
    from align.pipeline.identity import run_folder, run_key

    dataset = open_dataset(Path(recipe.data))
    other = read_recipe(recipe_file, ["seed=1"])
    first, second = (run_folder(Path("runs"), one, run_key(one, dataset)) for one in (recipe, other))
    assert first.name == finished[0].name and second.name != first.name


def test_dpo_runs_on_the_same_folder(recipe_file: Path, runs: Path) -> None:
    settings = ["phases=[{dpo: {learning_rate: 1e-4, steps: 2, batch_size: 8}}]", "name=dpo", "eval.suites=[retention]"]
    _, results, _ = run(read_recipe(recipe_file, settings), runs, lambda line: None)
    assert [one.name for one in results.checkpoints] == ["base", "after dpo"] and results.checkpoints[0].heldout is None
    assert "neutral ppl" in summary(results) and results.phases[0].kl_positive_share is None


def test_compare_puts_runs_side_by_side(finished: tuple[Path, RunResults], tmp_path: Path) -> None:
    folder, _ = finished
    text = compare([folder, folder])
    assert text.splitlines()[0].split()[:3] == ["run", "seed", "checkpoint"] and text.count("after sft + kto_s") == 2
    with pytest.raises(DataError, match=r"found no results\.json"):
        compare([tmp_path])


def test_the_seeds_summary_says_which_target_was_missed(finished: tuple[Path, RunResults]) -> None:
    _, results = finished
    text = seeds_summary([results, results])
    held = 2 * all(target.holds for target in targets(results))
    assert text.splitlines()[-1] == f"every target holds in {held} of 2 seeds"
    assert text.count("seed 0: ") == 2 * len(targets(results))


def test_a_judge_that_built_the_data_stops_the_run_before_it_starts(recipe_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="which labelled"):
        run(read_recipe(recipe_file, ["eval.judge=head"]), tmp_path, lambda line: None)
    assert not list(tmp_path.iterdir())
