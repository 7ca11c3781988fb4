"""The grid: the same rows for every method, the same number of trials, one report whatever interrupted it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from align.ablation.ablate import Finished, ablate, conclude
from align.ablation.cost import spent, weights_of
from align.ablation.grid import Grid, read_grid
from align.ablation.ledger import Ledger
from align.ablation.pool import Mixture, Pool, open_pool
from align.ablation.price import price
from align.ablation.report.words import headline
from align.ablation.tasks import BASE, Task, choose_checkpoint, next_rate, task_key, total, tuned_sizes, wave
from align.ablation.worker import Worker
from align.data.dataset import open_dataset
from align.training.plan import make_plan
from curate.core.errors import DataError, RecipeError

TinyLlama = Callable[..., Any]

RECIPE = """
name: grid
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 3, batch_size: 16}}}}
ablation:
  sizes: [8, 40]
  seeds: [0]
  objectives:
    - sft: {{batch_size: 8}}
    - kto: {{batch_size: 8}}
  steps: 2
  checkpoints: [1, 2]
  tuning: {{rates: [1.0e-3, 4.0e-3], extra: 1, suites: [{{heldout: {{max_prompts: 4}}}}, {{retention: {{max_rows: 3}}}}]}}
  contrasts: [kto - sft, sft+kto - kto]
eval:
  suites: [{{heldout: {{max_prompts: 12}}}}, {{retention: {{max_rows: 4}}}}]
  judge: {{lexicon: {{terms: {terms}}}}}
  sampling: {{max_new_tokens: 12}}
"""


@pytest.fixture(scope="module")
def recipe_file(pairs: Path, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "grid.yaml"
    path.write_text(RECIPE.format(pairs=pairs, terms=terms))
    return path


@pytest.fixture(scope="module")
def grid(recipe_file: Path) -> Grid:
    return read_grid(recipe_file)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(grid: Grid, runs: Path) -> Finished:
    return ablate(grid, runs, lambda line: None)


@pytest.fixture(scope="module")
def result(grid: Grid, finished: Finished) -> dict[str, Any]:
    return conclude(grid, finished)


@pytest.fixture(scope="module")
def pool(grid: Grid, runs: Path) -> Pool:
    dataset = open_dataset(Path(grid.recipe.data))
    return open_pool(dataset, grid.recipe.model.tokenizer(dataset, runs / "cache"), benign=True)


def test_a_smaller_size_is_the_beginning_of_a_larger_and_no_completion_counts_twice(pool: Pool) -> None:
    small, large = pool.draw(0, 8), pool.draw(0, 40)
    rows = pool.rows_for(_objective("kto"), Mixture(large, []))
    assert large[:4] == small and len(large) == 20 and pool.draw(1, 40) != large
    assert len(rows) == 40 and len(set(rows.ids)) == 40


def test_every_objective_sees_the_same_completions(pool: Pool) -> None:
    pairs = Mixture(pool.draw(0, 16), [])
    unpaired, paired, chosen = (pool.rows_for(_objective(name), pairs) for name in ("kto", "dpo", "sft"))
    assert unpaired.completions == paired.completions and unpaired.ids == paired.ids and set(unpaired.pair) == {-1}
    assert chosen.completions == paired.completions[::2] and all(chosen.desirable)


def test_more_rows_than_there_are_is_said_before_anything_is_trained(
    finished: Finished, recipe_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    with pytest.raises(DataError, match=r"sizes: 9,000 labelled completions asked for"):
        ablate(read_grid(recipe_file, ["ablation.sizes=[8, 9000]"]), tmp_path, lambda line: None)
    assert not list(tmp_path.glob("grid/cells/*"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("ablation.contrasts=[kto - ipo]", "names no method 'ipo'"),
        ("ablation.checkpoints=[2, 3]", "end at the step cap"),
        ("ablation.tuning.seed=0", "is one of the grid's seeds"),
        ("ablation.objectives=[{kto: {learning_rate: 1e-4}}]", "learning_rate is the grid's to set"),
        ("ablation.objectives=[kto, kto]", "named twice"),
        ("ablation.objectives=[kto]", "needs sft among the objectives"),
        ("ablation.sizes=[40, 8]", "must ascend"),
        ("ablation.size=[8]", "did you mean 'sizes'"),
        ("phases=[sft]", "take phases out"),
    ],
)
def test_a_slip_in_the_recipe_is_named(recipe_file: Path, setting: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        read_grid(recipe_file, [setting])


def test_a_mixture_keeps_the_number_of_labels_and_dpo_takes_pairs_alone(pool: Pool, make_rows: Callable[..., Any]) -> None:
    pool = replace(pool, benign=make_rows(30, share=1.0))
    single, paired = (pool.mixture(_objective(name), 0, 40, 0.25) for name in ("kto", "dpo"))
    assert (len(single.pairs), len(single.benign)) == (15, 10) and (len(paired.pairs), len(paired.benign)) == (20, 0)
    rows = pool.rows_for(_objective("kto"), single)
    assert len(rows) == 40 and len(set(rows.ids)) == 40 and sum(rows.desirable) == 25 and set(rows.pair) == {-1}
    assert {name[0] for name in rows.ids[-10:]} == {"r"}, "the benign ones"
    assert len(pool.rows_for(_objective("sft"), single)) == 25 and len(pool.rows_for(_objective("dpo"), paired)) == 40
    smaller = pool.mixture(_objective("kto"), 0, 20, 0.25)
    assert (smaller.pairs, smaller.benign) == (single.pairs[:8], single.benign[:4])  # 5 is odd: rounded to 4
    with pytest.raises(DataError, match="benign: 32 benign rows asked for at 128 .* take a smaller share"):
        pool.mixture(_objective("kto"), 0, 128, 0.25)


def test_what_is_benign_is_desirable_and_in_no_pair(tmp_path: Path, pairs: Path, grid: Grid, runs: Path) -> None:
    """The fixture has no benign row in training, so some of its single mild ones are declared so."""
    dataset = open_dataset(pairs)
    tokenizer = grid.recipe.model.tokenizer(dataset, runs / "cache")
    table = dataset.split("unpaired", "train")
    dataset._tables["unpaired/train-"] = table.with_columns(benign=True)
    pool = open_pool(dataset, tokenizer, benign=True)
    mild = {row["id"] for row in table.to_dicts() if row["label"]}
    assert pool.benign is not None and all(pool.benign.desirable) and set(pool.benign.ids) == mild - set(pool.rows.ids)
    assert open_pool(dataset, tokenizer).benign is None


def test_the_mixture_is_declared(recipe_file: Path, grid: Grid, finished: Finished, result: dict[str, Any]) -> None:
    single = "every objective learns from the same completions, all of them in pairs"
    assert grid.mixture == single == result["mixture"] and single in (finished.folder / "report.html").read_text("utf-8")
    objectives = "ablation.objectives=[{kto: {batch_size: 8}}, {dpo: {batch_size: 8}}]"
    mixed = read_grid(recipe_file, ["ablation.benign=0.25", objectives, "ablation.after_sft=false", "ablation.contrasts=[]"])
    assert mixed.mixture == "25 % of the completions of kto are benign rows, the others are in pairs; dpo: all are in pairs"


def test_every_method_gets_as_many_trials_and_every_cell_is_there(grid: Grid, finished: Finished) -> None:
    found = wave(grid, finished.fixed, finished.done)
    assert not finished.failures and not found.ready
    assert len(found.cells) == 3 * 2 and len(finished.done) == total(grid)
    for method in grid.methods:
        for size in tuned_sizes(grid):
            assert sum((task.method, task.size) == (method, size) for task in found.trials.values()) == 3
    assert {task.seed for task in found.trials.values()} == {grid.axes.tuning.seed}


def test_a_run_after_sft_starts_from_the_sft_of_its_own_size_and_seed(grid: Grid, finished: Finished) -> None:
    found = wave(grid, finished.fixed, finished.done)
    for task in found.cells.values():
        if task.parent is not None:
            parent = found.cells[task.parent]
            assert (parent.method, parent.size, parent.seed) == ("sft", task.size, task.seed)
            start = finished.done[task.parent]
            validation = start["checkpoints"][str(start["views"]["best"])]["validation"]
            key = task_key(grid, finished.fixed, task)
            assert finished.done[key]["checkpoints"]["0"]["validation"] == validation


def test_every_cell_answers_the_same_prompts(grid: Grid, finished: Finished) -> None:
    asked = {
        tuple(json.loads(line)["id"] for line in path.read_text("utf-8").splitlines())
        for path in finished.folder.glob("cells/*/test-*/heldout.jsonl")
    }
    assert len(asked) == 1 and len(next(iter(asked))) == 12


def test_the_same_grid_twice_does_nothing_the_second_time(grid: Grid, finished: Finished, runs: Path) -> None:
    again = ablate(grid, runs, lambda line: None)
    assert again.fresh == 0 and again.done == finished.done and again.warnings == finished.warnings


def test_runs_that_compare_with_the_same_model_on_the_same_rows_share_its_log_probs(grid: Grid, finished: Finished) -> None:
    """The trials of KTO at a size are one plan at several rates; every other pair of runs differs in rows or in start."""
    found = wave(grid, finished.fixed, finished.done)
    runs = [task for task in (*found.cells.values(), *found.trials.values()) if task.method != "sft"]
    plans = {(task.size, task.seed) for task in runs}
    files = list(finished.folder.glob("reference/*/*/*.safetensors"))
    assert len(list(finished.folder.glob("reference/*"))) == len(plans) == 4 and len(runs) == 16
    assert len(files) == len({file.parent for file in files}) <= 8, "none is computed twice"


def test_a_further_seed_keeps_what_is_done(recipe_file: Path, grid: Grid, finished: Finished) -> None:
    more = read_grid(recipe_file, ["ablation.seeds=[0, 2]"])
    found = wave(more, finished.fixed, finished.done)
    assert set(wave(grid, finished.fixed, finished.done).cells) <= set(found.cells)
    assert {task.seed for task in found.ready.values()} == {2}


def test_a_grid_that_lost_cells_ends_in_the_same_report(
    grid: Grid, finished: Finished, result: dict[str, Any], tmp_path: Path
) -> None:
    """What a kill leaves: a claimed cell without a result, cells that were never started, a cell folder half full."""
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    shutil.copytree(finished.folder, tmp_path / "grid", symlinks=True)
    found = wave(grid, finished.fixed, finished.done)
    lost = [key for key, task in found.cells.items() if task.size == 40 and task.method != "sft"]
    with sqlite3.connect(tmp_path / "grid" / "ledger.sqlite") as connection:
        connection.execute("UPDATE tasks SET state = 'running', result = NULL WHERE key = ?", lost[:1])
        connection.execute("DELETE FROM tasks WHERE key = ?", lost[1:])
    (tmp_path / "grid/cells" / lost[0] / "trained.json").unlink()
    shutil.rmtree(tmp_path / "grid/cells" / lost[0] / "validation-2")
    shutil.rmtree(tmp_path / "grid/cells" / lost[1])
    shutil.rmtree(tmp_path / "grid/reference")  # what is shared is what each would have computed
    again = ablate(grid, tmp_path, lambda line: None)
    assert again.fresh == 2 and conclude(grid, again) == result
    same_files(again.folder, finished.folder)


@pytest.mark.skipif("MARGINS_TORTURE" not in os.environ, reason="a grid twice over: make torture")
@pytest.mark.parametrize("at", range(5))
def test_a_killed_grid_ends_in_the_same_report(
    recipe_file: Path, finished: Finished, result: dict[str, Any], tmp_path: Path, at: int
) -> None:
    """kill -9 once some cells are done, with two workers at work; then the rest in this process."""
    (tmp_path / "cache").symlink_to(finished.folder.parent / "cache")
    command = [sys.executable, "-m", "align", "ablate", str(recipe_file), "--runs", str(tmp_path), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    path, wanted = tmp_path / "grid" / "ledger.sqlite", 1 + 5 * at
    while done_in(path) < wanted and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(2.0)  # the workers notice that their parent is gone
    grid = read_grid(recipe_file)
    again = ablate(grid, tmp_path, lambda line: None)
    assert 0 < again.fresh < total(grid) and conclude(grid, again) == result
    same_files(again.folder, finished.folder)


def test_what_failed_is_named_and_tried_again(grid: Grid, finished: Finished, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    task = Task("kto", 8, 0, 1e-3)
    assert ledger.claim({"a": task, "b": task}) == ("a", task) and ledger.claim({"a": task}) is None
    ledger.fail("a", "ValueError: no")
    assert ledger.failures() == {"a": (task, "ValueError: no")} and ledger.done() == {}
    assert ledger.release() == 1 and ledger.claim({"a": task}) == ("a", task)
    ledger.finish("a", {"x": 1}, 1.0, 2.0)
    assert ledger.done() == {"a": {"x": 1}} and ledger.release() == 0


def test_a_cell_that_is_missing_is_named_and_in_no_average(grid: Grid, finished: Finished, tmp_path: Path) -> None:
    found = wave(grid, finished.fixed, finished.done)
    gone = next(key for key, task in found.cells.items() if (task.method, task.size, task.seed) == ("kto", 40, 0))
    part = {key: value for key, value in finished.done.items() if key != gone}
    failures = {gone: (found.cells[gone].line(), "OSError: disk")}
    shutil.copytree(finished.folder, tmp_path / "grid")
    short = conclude(grid, replace(finished, folder=tmp_path / "grid", done=part, failures=failures))
    page = (tmp_path / "grid" / "report.html").read_text("utf-8")
    assert short["missing"] == ["kto, 40 completions, seed 0"] and "n90" not in short["views"]["best"]["methods"]["kto"]
    assert "OSError: disk" in page and "kto, 40 completions, seed 0" in page


def test_the_report_asks_nothing_of_anyone_and_says_everything_in_one_table(finished: Finished, result: dict[str, Any]) -> None:
    page = (finished.folder / "report.html").read_text("utf-8")
    assert "<script" not in page and "http://" not in page and "https://" not in page and page.count("data:image/svg+xml") == 4
    for word in (
        "toxic %, all",
        "toxic %, answered",
        "refused %",
        "over-refused %",
        "neutral ppl",
        "too few seeds",
        "equal FLOPs",
        "told apart",
    ):
        assert word in page, word
    assert len(headline(result)) == 3


def test_the_card_reads_as_a_model_card(finished: Finished, result: dict[str, Any]) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard((finished.folder / "MODEL_CARD.md").read_text("utf-8"))
    assert "toxicity" in card.data.tags and "| SFT + KTO |" in card.text and "every objective learns from the same" in card.text


def test_the_report_says_how_far_each_method_is_from_the_base(finished: Finished, result: dict[str, Any]) -> None:
    from align.ablation.report.tables import divergence

    header, rows = divergence(result)
    assert header[1:] == ["its own completions", "neutral texts", "clean texts"]
    assert rows[0] == ["base", "0.000", "0.000", "0.000"] and [row[0] for row in rows[1:]] == ["SFT", "KTO", "SFT + KTO"]
    assert "not measured" not in str(rows) and "nats per token" in (finished.folder / "report.html").read_text("utf-8")


def test_a_seeds_difference_adds_to_the_error_of_the_distance() -> None:
    from align.ablation.report.outcome import _pooled

    alike, apart = ([{"value": 0.2 + gap, "se": 0.03}, {"value": 0.2 - gap, "se": 0.03}] for gap in (0.0, 0.04))
    assert _pooled(alike) == {"value": pytest.approx(0.2), "se": pytest.approx(0.03)}
    assert _pooled(apart) == {"value": pytest.approx(0.2), "se": pytest.approx(0.05)}
    assert _pooled([*alike, None]) is None


def test_the_price_comes_from_what_is_done(grid: Grid, finished: Finished, runs: Path, tmp_path: Path, recipe_file: Path) -> None:
    assert price(grid, runs, 1).endswith("nothing is left to do")
    more = price(read_grid(recipe_file, ["ablation.seeds=[0, 2]"]), runs, 2)
    assert "done already: 18 trials, 6 cells" in more and "by what is done" in more
    assert "without its training" in price(grid, tmp_path, 1)


def test_the_price_says_first_what_the_data_cannot_give(recipe_file: Path, runs: Path) -> None:
    with pytest.raises(DataError, match="sizes: 4,096 labelled completions asked for, .* take smaller sizes"):
        price(read_grid(recipe_file, ["ablation.sizes=[8, 4096]"]), runs, 1)


def test_flops_are_those_that_torch_counts(tiny_llama: TinyLlama, make_rows: Callable[..., Any]) -> None:
    """One packed step of SFT by the formula and by torch's own counter; attention is what the formula leaves out."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from align.training.packing.attention import packed
    from align.training.packing.pack import lay
    from align.training.packing.score import log_probs

    model = tiny_llama(vocab_size=512, hidden_size=128, intermediate_size=256, num_attention_heads=4)
    rows = make_rows(16)
    phase = read_phase("sft")
    plan = make_plan(rows, phase, 0)
    found = spent(weights_of(model), rows, plan, reference=False)
    with FlopCounterMode(display=False) as counter, packed(model):
        chosen = plan.batches[0].rows
        torch.autograd.backward(-log_probs(model, lay([(rows.prompts[row], rows.completions[row]) for row in chosen])).sum())
    assert found[0] == 0 and found[1] == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_a_reference_and_mismatched_rows_cost_more(tiny_llama: TinyLlama, make_rows: Callable[..., Any]) -> None:
    rows, weights = make_rows(32), weights_of(tiny_llama())
    phase = read_phase("kto")
    plan = make_plan(rows, phase, 0)
    plain, full = (
        spent(weights, rows, replace(plan, batches=tuple(replace(b, partners=()) for b in plan.batches)), reference=False),
        spent(weights, rows, plan, reference=True),
    )
    assert 1.3 < full[1] / plain[1] < 2.0 and list(full) == sorted(full)


def checkpoint(toxic: int, neutral: float, unscored: int = 0) -> dict[str, Any]:
    return {
        "validation": {
            "heldout": {"toxic": {"hits": toxic, "n": 100 - unscored}, "n": 100, "unscored": unscored},
            "retention": {"neutral": {"perplexity": neutral}},
        }
    }


def test_a_checkpoint_that_forgot_or_fell_silent_is_not_chosen() -> None:
    base = checkpoint(50, 2.0)["validation"]
    steps = {"0": checkpoint(50, 2.0), "4": checkpoint(20, 2.1), "8": checkpoint(5, 2.3), "16": checkpoint(0, 2.0, unscored=90)}
    assert choose_checkpoint(steps, base, 0.10) == 4
    assert choose_checkpoint(steps, base, 0.20) == 8
    assert choose_checkpoint({"4": checkpoint(0, 9.0), "8": checkpoint(0, 5.0)}, base, 0.10) == 8


def test_equals_go_to_the_earlier_checkpoint() -> None:
    base = checkpoint(50, 2.0)["validation"]
    assert choose_checkpoint({"0": checkpoint(50, 2.0), "8": checkpoint(3, 2.0), "4": checkpoint(3, 2.0)}, base, 0.1) == 4


def test_the_next_trial_goes_on_beyond_an_edge() -> None:
    assert next_rate({1e-4: (0.1, 0), 1e-3: (0.5, 0)}) == pytest.approx(1e-5)
    assert next_rate({1e-4: (0.5, 0), 1e-3: (0.1, 0)}) == pytest.approx(1e-2)


def test_nothing_is_asked_for_before_the_base_is_measured(grid: Grid, runs: Path) -> None:
    worker = Worker(grid, runs / "grid", runs / "cache")
    assert list(wave(grid, worker.fixed, {}).ready.values()) == [Task(BASE)]


def _objective(name: str) -> Any:
    from align.objectives import OBJECTIVES

    return OBJECTIVES[name]()


def read_phase(name: str) -> Any:
    from align.objectives.phase import parse

    return parse({name: {"learning_rate": 1e-3, "batch_size": 16, "steps": 1}}, "r.yaml")


def same_files(one: Path, other: Path) -> None:
    for name in (
        "report.html",
        "outcome.json",
        "MODEL_CARD.md",
        "figures/toxicity.svg",
        "figures/toxicity.png",
        "figures/toxicity.csv",
    ):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def done_in(path: Path) -> int:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM tasks WHERE state = 'done'").fetchone()[0])
    except sqlite3.Error:
        return 0


GPU = Path(__file__).resolve().parents[3] / "benchmarks" / "ablation_gpu.sh"
GPU_SAYS = "7 methods x 2 sizes (8, 16 labelled completions) x 6 seeds = 84 cells, and 84 trials"


def gpu_toy(pairs: Path, terms: Path) -> list[str]:
    return [
        f"data={pairs}",
        "model={builtin:tiny: {vocab_size: 400, hidden_size: 32, layers: 1}}",
        "ablation.sizes=[8, 16]",
        f"eval.judge={{lexicon: {{terms: {terms}}}}}",
        "eval.sampling.max_new_tokens=8",
    ]


def test_the_recipe_for_a_gpu_is_priced_at_toy_size(pairs: Path, terms: Path, tmp_path: Path) -> None:
    """Everything up to the first training run: data, model, pool, price."""
    recipe = GPU.parents[1] / "recipes" / "ablation_gpu.yaml"
    assert GPU_SAYS in price(read_grid(recipe, gpu_toy(pairs, terms)), tmp_path, 1)


@pytest.mark.skipif("MARGINS_TORTURE" not in os.environ, reason="a process that starts from nothing: make torture")
def test_the_script_for_a_gpu_runs_at_toy_size(pairs: Path, terms: Path, tmp_path: Path) -> None:
    settings = [part for one in gpu_toy(pairs, terms) for part in ("--set", one)]
    command = ["bash", str(GPU), str(pairs), "--plan", "--runs", str(tmp_path), *settings]
    ran = subprocess.run(command, env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert GPU_SAYS in ran.stdout
