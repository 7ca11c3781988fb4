"""Two processes are one: the same losses and the same table, whole or resumed; one failure is one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from safetensors.torch import load_file

from align.data.rows import Rows
from align.data.run_folder import RESULTS, read_metrics
from align.objectives.phase import parse
from align.pipeline.recipe import Recipe, read_recipe
from align.pipeline.run import run
from align.processes import ranks
from align.training.trainer import train
from curate.core.command import entry
from curate.core.errors import DataError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
Two = Callable[[Callable[[int], None]], list[int]]

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


def assert_same_steps(folder: Path, alone: Path) -> None:
    ours, theirs = read_metrics(folder / "metrics.jsonl"), read_metrics(alone / "metrics.jsonl")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for name in ("loss", "kl", "kl_raw", "rewards/margins", "logps/rejected", "grad_norm"):
        found, expected = ([line[name] for line in lines if name in line] for lines in (ours, theirs))
        noise = 1e-6 if name == "loss" else 1e-5  # of single precision, in nats that are sums over tokens
        assert found == pytest.approx(expected, abs=noise, rel=0 if name == "loss" else noise), name


def assert_same(folder: Path, alone: Path) -> None:
    for place in PLACES:
        assert_same_steps(folder / place, alone / place)
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


def test_a_signal_to_one_process_stops_both_and_the_same_call_goes_on(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, two: Two
) -> None:
    """The second process alone is told; both save, and one says so."""
    made = parse({"kto_s": {"learning_rate": 5e-3, "batch_size": 8, "steps": 6, "save_steps": 2}}, "r.yaml: phases[0]")
    rows, out = make_rows(48), tmp_path / "two"
    train(tiny_llama(), rows, made, tmp_path / "alone", 3)

    def interrupted(rank: int) -> None:
        heard = capture(tmp_path / f"said-{rank}")

        def hear(line: dict[str, float]) -> None:
            if rank == 1 and line["step"] == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        @click.command()
        def command() -> None:
            with ranks.joined():
                train(tiny_llama(), rows, made, out, 3, log=hear, log_every=1)

        heard(command)

    def resumed(rank: int) -> None:
        with ranks.joined():
            assert train(tiny_llama(), rows, made, out, 3).resumed_from == 4

    codes = two(interrupted)
    said = [(tmp_path / f"said-{rank}").read_text() for rank in range(2)]
    assert codes == [130, 143], said
    assert sum(text.count("Error: ") for text in said) == 1 and "Traceback" not in "".join(said)
    assert "stopped after step 4 of 6, checkpoint saved" in "".join(said)
    assert sorted(path.name for path in out.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    assert two(resumed) == [0, 0]
    assert_same_steps(out, tmp_path / "alone")
    found, expected = (load_file(place / "model.safetensors") for place in (out, tmp_path / "alone"))
    assert all(float((found[name] - expected[name]).abs().max()) <= 1e-5 for name in expected)


def capture(path: Path) -> Callable[[click.Command], None]:
    """Run a command as ours are run, with what it says in a file."""
    os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.argv = ["align"]
    return lambda command: entry(command, ranks.tell)


def test_a_failure_of_one_process_is_one_line(tmp_path: Path, two: Two) -> None:
    def fail(rank: int) -> None:
        heard = capture(tmp_path / f"said-{rank}")

        @click.command()
        def command() -> None:
            with ranks.joined():
                ranks.on_main(lambda: None)
                ranks.together(lambda: refuse() if rank == 1 else None)

        heard(command)

    def refuse() -> None:
        raise DataError("row 7: is not there")

    assert two(fail) == [1, DataError.exit_code]
    assert [(tmp_path / f"said-{rank}").read_text() for rank in range(2)] == [
        "",
        "Error: process 1 of 2: row 7: is not there\n",
    ]


def test_a_command_that_no_launcher_helps_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from align.commands.cli import main

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(sys, "argv", ["align", "plan", "r.yaml"])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 2 and "start it without a launcher" in capsys.readouterr().err
