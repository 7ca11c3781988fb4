"""Training a phase: it learns, logs what it must, stops at NaN, and knows when it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.objectives import OBJECTIVES
from align.objectives.phase import Phase, parse
from align.training.job import TrainingJob
from align.training.trainer import train
from curate.core.errors import NonFiniteError, StorageError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]


def phase(word: str, **options: object) -> Phase:
    given = {"learning_rate": 2e-3, "batch_size": 8, "epochs": 2, "save_steps": 100}
    return parse({word: given | options}, "r.yaml: phases[0]")


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("word", OBJECTIVES)
def test_the_loss_falls_and_every_step_is_logged(word: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    rows = make_rows(48, paired="paired" in OBJECTIVES[word].needs)
    rows = dataclasses.replace(rows, unsafe=[not side for side in rows.desirable])
    result = train(TrainingJob(tiny_llama(), rows, phase(word, epochs=6), tmp_path, seed=0))
    logged = lines(tmp_path)
    assert [line["step"] for line in logged] == list(range(1, result.steps + 1))
    assert logged[-1]["loss"] < logged[0]["loss"] * 0.95
    assert result.model.is_file() and result.resumed_from == 0 and not list(tmp_path.glob("checkpoint-*"))
    assert result.metrics["loss"] < logged[0]["loss"]


def test_every_promised_metric_is_there(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    result = train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s"), tmp_path, seed=0))
    line = lines(tmp_path)[-1]
    promised = "loss lr grad_norm rows tokens rows/s tokens/s logps/chosen logps/rejected rewards/chosen rewards/rejected"
    promised += " rewards/margins kl kl_raw kl_count"
    assert set(promised.split()) | {"step"} == set(line)
    assert line["kl"] == pytest.approx(max(0.0, line["kl_raw"])) and line["kl_count"] == 8
    assert line["rewards/margins"] == pytest.approx(line["rewards/chosen"] - line["rewards/rejected"])
    assert 0 <= result.metrics["kl_positive_share"] <= 1 and result.metrics["log_ratio_at_start"] < 1e-4


def test_the_first_step_measures_no_drift(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    train(TrainingJob(tiny_llama(), make_rows(), phase("kto", steps=1), tmp_path, seed=0))
    (line,) = lines(tmp_path)
    assert abs(line["kl_raw"]) < 1e-5 and abs(line["rewards/margins"]) < 1e-5 and line["loss"] == pytest.approx(0.5, abs=1e-5)


def test_the_callback_hears_of_the_last_step_too(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    heard: list[dict[str, float]] = []
    train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s", steps=7), tmp_path, seed=0, log=heard.append, log_every=3))
    assert [line["step"] for line in heard] == [3, 6, 7]


def test_the_same_call_again_trains_nothing_and_gives_the_same_weights(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    first, second = tiny_llama(), tiny_llama()
    made = train(TrainingJob(first, make_rows(), phase("kto_s"), tmp_path, seed=0))
    stamp = made.model.stat().st_mtime_ns
    heard: list[dict[str, float]] = []
    again = train(TrainingJob(second, make_rows(), phase("kto_s"), tmp_path, seed=0, log=heard.append))
    assert again.resumed_from == again.steps and heard == [] and made.model.stat().st_mtime_ns == stamp
    assert again.metrics == made.metrics
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_weights_that_were_changed_after_the_end_are_trained_again(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    made = train(TrainingJob(tiny_llama(), make_rows(), phase("sft", steps=3), tmp_path, seed=0))
    good = made.model.read_bytes()
    made.model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert train(TrainingJob(tiny_llama(), make_rows(), phase("sft", steps=3), tmp_path, seed=0)).resumed_from == 0
    assert made.model.read_bytes() == good


@pytest.mark.parametrize("change", ["seed", "rows", "option", "weights"])
def test_a_folder_of_other_work_is_left_alone(change: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    made = train(TrainingJob(tiny_llama(), make_rows(), phase("sft", steps=2), tmp_path, seed=0))
    before = made.model.read_bytes()
    with pytest.raises(StorageError, match="holds another phase's work"):
        train(
            TrainingJob(
                tiny_llama(seed=int(change == "weights")),
                make_rows(seed=int(change == "rows")),
                phase("sft", steps=2, learning_rate=3e-3 if change == "option" else 2e-3),
                tmp_path,
                seed=int(change == "seed"),
            )
        )
    assert made.model.read_bytes() == before


def test_dropout_is_off(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model = tiny_llama(attention_dropout=0.5)
    assert train(TrainingJob(model, make_rows(), phase("kto_s", steps=2), tmp_path, seed=0)).metrics["log_ratio_at_start"] < 1e-4


def test_generation_works_as_before_after_training(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model = tiny_llama()
    before = model.config._attn_implementation
    train(TrainingJob(model, make_rows(), phase("sft", steps=1), tmp_path, seed=0))
    assert model.config._attn_implementation == before
    assert model.generate(torch.tensor([[3, 4]]), max_new_tokens=2, min_new_tokens=2, do_sample=False).shape == (1, 4)


class Planted(torch.autograd.Function):
    """Passes its input on, and sends NaN back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0] * float("nan")


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("loss", "step 6: NaN or infinity in the loss"),
        ("gradient", r"step 6: NaN or infinity in the gradient \(model"),
        ("weights", r"step 6: NaN or infinity in the weights \(model.norm.weight\)"),
        ("log_prob", "step 6: NaN or infinity in the log-probabilities of desirable"),
    ],
)
def test_nan_stops_training_within_a_step_and_the_last_good_checkpoint_stays(
    where: str, named: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from align.objectives.kto_s import KTOS
    from align.training import step as stepping

    model, step = tiny_llama(), 0
    whole_loss, whole_score = KTOS.__call__, stepping.log_probs

    def count(line: dict[str, float]) -> None:
        nonlocal step
        step = int(line["step"])
        if where == "weights" and step == 5:
            with torch.no_grad():
                model.model.norm.weight[3] = float("nan")

    def loss(self: KTOS, log_ratio: torch.Tensor, desirable: torch.Tensor, kl: torch.Tensor) -> torch.Tensor:
        losses = whole_loss(self, log_ratio, desirable, kl)
        if step == 5 and where == "loss":
            return losses * float("nan")
        return Planted.apply(losses) if step == 5 and where == "gradient" else losses

    def score(model: Any, pack: Any) -> torch.Tensor:
        found = whole_score(model, pack)
        return found * float("inf") if step == 5 and where == "log_prob" and found.requires_grad else found

    monkeypatch.setattr(KTOS, "__call__", loss)
    monkeypatch.setattr(stepping, "log_probs", score)
    with pytest.raises(NonFiniteError, match=named) as caught:
        train(TrainingJob(model, make_rows(), phase("kto_s", save_steps=2), tmp_path, seed=0, log=count, log_every=1))
    assert caught.value.exit_code == 65
    assert (tmp_path / "checkpoint-4" / "manifest.json").is_file() and not (tmp_path / "model.safetensors").exists()
    if where != "weights":
        assert all(bool(torch.isfinite(value).all()) for value in model.parameters())
    monkeypatch.undo()
    assert train(TrainingJob(tiny_llama(), make_rows(), phase("kto_s", save_steps=2), tmp_path, seed=0)).resumed_from == 4


def test_weights_that_overflow_in_the_last_update_are_not_saved(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    model = tiny_llama()

    def overflow(weight: torch.Tensor) -> None:
        weight.data.fill_(float("inf"))

    def plant(line: dict[str, float]) -> None:
        if line["step"] == 3:
            model.lm_head.weight.register_post_accumulate_grad_hook(overflow)

    with pytest.raises(NonFiniteError, match=r"step 4: NaN or infinity in the weights \(model.embed_tokens.weight\)"):
        train(TrainingJob(model, make_rows(), phase("sft", steps=4), tmp_path, seed=0, log=plant, log_every=1))
    assert not (tmp_path / "model.safetensors").exists()
