"""Interrupted and resumed is bit-equal to uninterrupted; a damaged checkpoint is passed over, and said so."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.objectives.phase import Phase, parse
from align.training.checkpoints import Interrupted, TrainingTerminated
from align.training.job import TrainingJob
from align.training.trainer import train
from curate.core.errors import StorageError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
STEPS = 12  # two epochs of six
TIMES = {"rows/s", "tokens/s"}


def phase(word: str) -> Phase:
    options = {"learning_rate": 5e-3, "batch_size": 8, "epochs": 2, "save_steps": 4, "token_budget": 60}
    return parse({word: options}, "r.yaml: phases[0]")


def curve(out: Path) -> list[dict[str, float]]:
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in logged]


def send(number: signal.Signals, at: int) -> Callable[[dict[str, float]], None]:
    def hear(line: dict[str, float]) -> None:
        if line["step"] == at:
            os.kill(os.getpid(), number)

    return hear


@pytest.fixture(scope="module")
def whole(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of runs that nothing interrupted."""
    folders = {}
    for word in ("sft", "kto_s"):
        folders[word] = tmp_path_factory.mktemp(word)
        train(TrainingJob(tiny_llama(), make_rows(96 if word == "sft" else 48), phase(word), folders[word], seed=3))
    return folders


def same(out: Path, whole: Path) -> bool:
    return (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes() and curve(out) == curve(whole)


@pytest.mark.parametrize("word", ["sft", "kto_s"])
@pytest.mark.parametrize(("number", "at"), [(signal.SIGINT, 3), (signal.SIGTERM, 9)])
def test_a_signal_saves_and_the_resumed_run_ends_in_the_same_bits(
    word: str, number: signal.Signals, at: int, whole: dict[str, Path],
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path,
) -> None:  # fmt: skip
    rows = make_rows(96 if word == "sft" else 48)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"stopped after step {at + 1} of {STEPS}, checkpoint saved") as caught:
        train(TrainingJob(tiny_llama(), rows, phase(word), tmp_path, seed=3, log=send(number, at), log_every=1))
    assert caught.value.exit_code == 128 + number and isinstance(caught.value, TrainingTerminated) is (number == signal.SIGTERM)
    assert signal.getsignal(number) is before
    torch.manual_seed(99)  # the resumed process has drawn other random numbers
    result = train(TrainingJob(tiny_llama(), rows, phase(word), tmp_path, seed=3))
    assert result.resumed_from == at + 1 and result.damaged == ()
    assert same(tmp_path, whole[word])
    assert ("log_ratio_at_start" in result.metrics) == (word == "kto_s")


def test_a_tied_weight_is_not_reported_missing(
    stopped: Path, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import logging

    out, said = tmp_path / "run", []
    shutil.copytree(stopped, out)
    monkeypatch.setattr(logging.get_logger("transformers.trainer"), "warning", said.append)
    assert train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), out, seed=3)).resumed_from == 10
    assert said == []


@pytest.mark.parametrize("moment", ["during a step", "during a save"])
def test_a_kill_loses_the_steps_since_the_last_whole_checkpoint_and_nothing_else(
    moment: str, whole: dict[str, Path], tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    child = os.fork()
    if child == 0:
        from align.training import shell

        if moment == "during a save":
            sealed = shell.seal

            def seal(folder: Path, step: int, key: str) -> None:
                if step == 8:
                    os.kill(os.getpid(), signal.SIGKILL)
                sealed(folder, step, key)

            shell.seal = seal
        train(
            TrainingJob(
                tiny_llama(),
                make_rows(),
                phase("kto_s"),
                tmp_path,
                3,
                log=send(signal.SIGKILL, 7 if moment == "during a step" else 11),
                log_every=1,
            )
        )
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    result = train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), tmp_path, seed=3))
    assert result.resumed_from == 4
    assert result.damaged == (("checkpoint-8: was not finished",) if moment == "during a save" else ())
    assert same(tmp_path, whole["kto_s"])


@pytest.fixture(scope="module")
def stopped(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped after step 10: checkpoints 8 and 10 are whole."""
    out = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupted):
        train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), out, seed=3, log=send(signal.SIGINT, 9), log_every=1))
    assert sorted(path.name for path in out.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-8"]
    return out


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "manifest.json"])
def test_a_flipped_bit_sends_the_run_to_the_checkpoint_before(
    name: str, whole: dict[str, Path], stopped: Path,
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    path = out / "checkpoint-10" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), out, seed=3))
    assert result.resumed_from == 8
    assert len(result.damaged) == 1 and result.damaged[0].startswith("checkpoint-10: ")
    assert "going on from checkpoint-8" in caplog.text
    assert same(out, whole["kto_s"])


def test_nothing_that_could_run_code_is_kept(stopped: Path) -> None:
    assert not list(stopped.rglob("training_args.bin"))


def test_without_a_whole_checkpoint_the_phase_starts_again(
    whole: dict[str, Path], stopped: Path, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    for path in out.glob("checkpoint-*/optimizer.pt"):
        path.unlink()
    result = train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), out, seed=3))
    assert result.resumed_from == 0 and len(result.damaged) == 2
    assert same(out, whole["kto_s"])


def test_a_signal_during_the_reference_stops_before_the_first_step(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from align.training import reference

    whole_score = reference.log_probs

    def score(model: Any, pack: Any) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return whole_score(model, pack)

    monkeypatch.setattr(reference, "log_probs", score)
    with pytest.raises(TrainingTerminated, match="stopped before step 1"):
        train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), tmp_path, seed=3))
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("limit", [12_000, 60_000])
def test_a_disk_that_takes_no_more_is_one_line_and_the_run_goes_on_later(
    limit: int, whole: dict[str, Path], tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # writes beyond it fail, as on a full disk
        try:
            train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), tmp_path, seed=3))
        except StorageError as error:
            os._exit(74 if "\n" not in str(error) and error.exit_code == 74 else 1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 74
    result = train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), tmp_path, seed=3))
    assert result.resumed_from == 0 and same(tmp_path, whole["kto_s"])
