"""Base models: the built-in one is made from the data and the seed alone; adapters train in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.dataset import Dataset, open_dataset
from align.data.rows import Rows
from align.models.adapters import Lora
from align.models.pretrained import Pretrained
from align.models.tiny import Tiny
from align.objectives.phase import parse
from align.training.job import TrainingJob
from align.training.trainer import train
from curate.core.errors import DataError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
SMALL = Tiny(vocab_size=400, hidden_size=32, layers=1, epochs=0.5, batch_size=16)


@pytest.fixture(scope="module")
def dataset(pairs: Path) -> Dataset:
    return open_dataset(pairs)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().float().flatten() for parameter in model.parameters()])


def test_the_same_texts_options_and_seed_make_the_same_weights(dataset: Dataset, tmp_path: Path) -> None:
    one, two = (SMALL.load(dataset, tmp_path / name, seed=0) for name in ("one", "two"))
    assert torch.equal(weights(one.model), weights(two.model)) and one.fingerprint == two.fingerprint
    assert not torch.equal(weights(one.model), weights(SMALL.load(dataset, tmp_path / "one", seed=1).model))


def test_the_cache_gives_the_weights_back_and_a_damaged_one_is_made_anew(dataset: Dataset, tmp_path: Path) -> None:
    first = weights(SMALL.load(dataset, tmp_path, seed=0).model).clone()
    (path,) = tmp_path.glob("*/model.safetensors")
    written = path.stat().st_mtime_ns
    assert torch.equal(weights(SMALL.load(dataset, tmp_path, seed=0).model), first)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    assert torch.equal(weights(SMALL.load(dataset, tmp_path, seed=0).model), first)


def test_it_learns_what_the_texts_say(dataset: Dataset, tmp_path: Path) -> None:
    from align.data.dataset import tokens
    from align.models.likelihood import likelihoods

    table = dataset.split("unpaired", "train")
    losses = []
    for epochs in (0.1, 4.0):
        tiny = Tiny(vocab_size=400, hidden_size=32, layers=1, epochs=epochs, batch_size=16)
        loaded = tiny.load(dataset, tmp_path, seed=0)
        rows = tokens(table["prompt"].to_list(), table["completion"].to_list(), loaded.tokenizer)
        losses.append(-sum(one.log_prob for one in likelihoods(loaded.model, *rows)) / sum(map(len, rows[1])))
    assert losses[1] < 0.6 * losses[0]


def test_test_rows_are_not_learned_from_but_dropped_rows_are(dataset: Dataset) -> None:
    from align.models.tiny import _dialogues

    corpus = dataset.corpus(["completion", "split", "reason"])
    learned = {dialogue[-1]["content"] for dialogue in _dialogues(dataset)}
    test = set(corpus.filter(corpus["split"] == "test")["completion"]) - set(
        corpus.filter(corpus["split"] != "test")["completion"]
    )
    dropped = set(corpus.filter(corpus["reason"].is_not_null() & (corpus["split"] != "test"))["completion"])
    assert test and dropped and not learned & test and dropped <= learned


def test_the_skeleton_has_the_models_own_size(dataset: Dataset, tmp_path: Path) -> None:
    skeleton, loaded = SMALL.skeleton(dataset, tmp_path), SMALL.load(dataset, tmp_path, seed=0)
    assert weights(loaded.model).numel() == sum(parameter.numel() for parameter in skeleton.parameters())
    assert all(parameter.is_meta for parameter in skeleton.parameters())


def apart(one: Any, other: Any) -> float:
    """The largest difference of two models' logits on a few tokens."""
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        return float((one(ids).logits - other(ids).logits).abs().max())


@pytest.fixture(scope="module")
def local(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a folder, as the Hub has them."""
    folder = tmp_path_factory.mktemp("local")
    loaded = SMALL.load(dataset, folder / "cache", seed=0)
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def test_a_local_model_keeps_its_template_and_tokens(local: Path, dataset: Dataset, tmp_path: Path) -> None:
    loaded = Pretrained(path=str(local)).load(dataset, tmp_path, seed=0)
    assert loaded.tokenizer.chat_template and loaded.model.dtype == torch.float32


def test_another_revision_is_another_model(local: Path, dataset: Dataset, tmp_path: Path) -> None:
    one, other = (Pretrained(path=str(local), revision=name).load(dataset, tmp_path, seed=0) for name in ("main", "0123"))
    assert one.fingerprint != other.fingerprint and one.name == other.name


def test_adapters_start_as_nothing_and_only_they_are_trained(
    local: Path, dataset: Dataset, make_rows: MakeRows, tmp_path: Path
) -> None:
    plain = Pretrained(path=str(local), dtype="float32").load(dataset, tmp_path, seed=0).model
    adapted = Pretrained(path=str(local), dtype="float32", lora=Lora(rank=2)).load(dataset, tmp_path, seed=0).model
    assert apart(plain, adapted) < 1e-5  # fp32; the adapters' zeros are added, and that is another computation
    frozen = {name: value.clone() for name, value in adapted.named_parameters() if not value.requires_grad}
    trained = [name for name, value in adapted.named_parameters() if value.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    phase = parse({"kto_s": {"learning_rate": 1e-2, "batch_size": 8, "epochs": 1}}, "r")
    train(TrainingJob(adapted, make_rows(24), phase, tmp_path / "out", seed=0))
    assert all(torch.equal(value, frozen[name]) for name, value in adapted.named_parameters() if name in frozen)
    assert apart(plain, adapted) > 1e-2


def test_frozen_weights_are_bf16_and_adapters_fp32(local: Path, dataset: Dataset, tmp_path: Path) -> None:
    model = Pretrained(path=str(local), lora=Lora(rank=2)).load(dataset, tmp_path, seed=0).model
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_adapters_on_bf16_weights_are_trained_and_fp32(
    local: Path, dataset: Dataset, make_rows: MakeRows, tmp_path: Path
) -> None:
    model = Pretrained(path=str(local), lora=Lora(rank=2)).load(dataset, tmp_path, seed=0).model
    phase = parse({"kto_s": {"learning_rate": 1e-2, "batch_size": 8, "steps": 3}}, "r")
    train(TrainingJob(model, make_rows(24), phase, tmp_path / "out", seed=0))
    moved = [value for name, value in model.named_parameters() if "lora_B" in name]
    assert all(value.dtype == torch.float32 for value in moved) and any(bool(value.any()) for value in moved)


def test_a_model_that_is_not_there_is_one_line(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere/none: cannot be loaded") as caught:
        Pretrained(path="nowhere/none").load(dataset, tmp_path, seed=0)
    assert "\n" not in str(caught.value)
