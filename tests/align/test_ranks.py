"""Two processes are one: the same losses and the same table, whole or resumed; one failure is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from align.journal import read
from align.recipe import Recipe, read_recipe
from align.results import RESULTS
from align.run import run

RECIPE = """
name: small
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 2, batch_size: 16}}}}
phases:
  - sft: {{learning_rate: 3e-3, steps: 4, batch_size: 16}}
  - kto_s: {{learning_rate: 1e-3, steps: 6, batch_size: 16, save_steps: 2}}
eval:
  suites: [retention]
  judge: {{lexicon: {{terms: {terms}}}}}
"""
PLACES = ("1-sft", "2-kto_s")


@pytest.fixture(scope="module")
def recipe(pairs: Path, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(RECIPE.format(pairs=pairs, terms=terms))
    return path, read_recipe(path)


@pytest.fixture(scope="module")
def alone(recipe: tuple[Path, Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run as one process makes it."""
    return run(recipe[1], tmp_path_factory.mktemp("runs"), lambda line: None)[0]


def assert_same(folder: Path, alone: Path) -> None:
    for place in PLACES:
        ours, theirs = read(folder / place / "metrics.jsonl"), read(alone / place / "metrics.jsonl")
        assert [line["step"] for line in ours] == [line["step"] for line in theirs]
        for name in ("loss", "kl", "kl_raw", "grad_norm", "rewards/margins", "logps/rejected"):
            assert [line.get(name) for line in ours] == pytest.approx([line.get(name) for line in theirs], abs=1e-6), name
    found, expected = (json.loads((place / RESULTS).read_bytes()) for place in (folder, alone))
    for a, b in zip(found["checkpoints"], expected["checkpoints"], strict=True):
        assert a["name"] == b["name"]
        for part, value in b["retention"].items():
            assert a["retention"][part]["perplexity"] == pytest.approx(value["perplexity"], rel=1e-5)


def test_two_processes_of_a_launcher_make_the_run_of_one(recipe: tuple[Path, Recipe], alone: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "align", "run", str(recipe[0]), "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = tmp_path.glob("small-*")
    assert folder.name == alone.name
    assert_same(folder, alone)
    assert done.stdout.count("report: ") == 1 and done.stderr.count("base model") == 1
