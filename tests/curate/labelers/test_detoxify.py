"""Detoxify on a tiny checkpoint of the published layout, through the library's own loading code."""

from __future__ import annotations

import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.core.config import choose
from curate.core.errors import RecipeError, StorageError
from curate.core.store import sha256
from curate.labelers import LABELERS

SIX = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]  # as the checkpoint spells them
SEVEN = ["toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit"]
TEXTS = [
    "you are so stupid",
    "thank you for your help",
    "",
    "the bus is late again lah",
    "clown",
    "see you at the stop " * 40,
    "so kind of you",
]


@pytest.fixture(scope="session")
def base(tiny_bert: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration, tokenizer, and the weights that checkpoints are made of."""
    return tiny_bert(tmp_path_factory.mktemp("base"), trained=True, num_labels=6, problem_type="multi_label_classification")


def checkpoint(base: Path, path: Path, classes: list[str] = SIX, **changes: Any) -> Path:
    """A file as Detoxify publishes them; `changes` replaces weights by name, None takes one away."""
    import torch
    from safetensors.torch import load_file

    state = {name: changes.get(name, tensor) for name, tensor in load_file(base / "model.safetensors").items()}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    names = {"model_type": "bert-base-uncased", "model_name": "BertForSequenceClassification", "tokenizer_name": "BertTokenizer"}
    config = {"arch": {"args": names | {"num_classes": len(classes)}}, "dataset": {"args": {"classes": classes}}}
    torch.save({"config": config, "state_dict": state}, path)
    return path


@pytest.fixture(scope="session")
def file(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(base, tmp_path_factory.mktemp("detoxify") / "tiny.ckpt")


def labeler(path: Path, folder: Path, /, **options: Any) -> Any:
    options = {"checkpoint": str(path), "sha256": sha256(path), "base": str(folder)} | options
    return choose(LABELERS, {"detoxify": options}, "test", "labeler")


def test_scores_are_the_probabilities_of_the_checkpoints_labels(file: Path, base: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    found = labeler(file, base).scores(TEXTS)
    assert labeler(file, base).categories == ("hateful", "insults", "physical_violence")
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    for text, line in zip(TEXTS, found, strict=True):
        if not text:
            assert np.isnan(line).all()
            continue
        with torch.no_grad():
            told = torch.sigmoid(model(**tokenizer(text, truncation=True, max_length=64, return_tensors="pt")).logits)[0].numpy()
        assert line == pytest.approx([told[0], told[5], told[4], told[3]], abs=2e-6)


def test_a_rude_text_scores_above_a_calm_one_and_judges_can_use_it(file: Path, base: Path) -> None:
    one = labeler(file, base)
    rude, calm = one.score(["stupid clown", "so kind of you"])
    assert rude > one.threshold > calm
    assert one.models == (sha256(file),) and one.trained_on


def test_neither_batch_nor_order_changes_a_score(file: Path, base: Path) -> None:
    one = labeler(file, base)
    together = one.scores(TEXTS)
    np.testing.assert_array_equal(np.concatenate([one.scores([text]) for text in TEXTS]), together)
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    np.testing.assert_array_equal(one.scores([TEXTS[at] for at in order]), together[order])
    assert one.scores([]).shape == (0, 4)


def test_as_a_stage_it_writes_a_column_for_each_category(file: Path, base: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = labeler(file, base)
    said = one(pl.DataFrame({"completion": TEXTS}))
    assert dict(said.schema) == one.writes
    assert said["score_detoxify_insults"].is_null().to_list() == [not text for text in TEXTS]
    assert "detoxify: 1 of 7 texts are longer than 64 tokens" in capfd.readouterr().err


@pytest.mark.parametrize("variant", ["unbiased", "multilingual"])
def test_seven_labels_give_a_category_more(variant: str, tiny_bert: Any, tmp_path: Path) -> None:
    base = tiny_bert(tmp_path / "base", trained=True, num_labels=7, problem_type="multi_label_classification")
    one = labeler(checkpoint(base, tmp_path / "seven.ckpt", SEVEN), base, variant=variant)
    assert one.categories == ("hateful", "insults", "sexual", "physical_violence")
    assert one.scores(TEXTS[:2]).shape == (2, 5)


def test_a_file_of_other_bytes_is_not_even_read(file: Path, base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ckpt"
    shutil.copy(file, copy)
    with copy.open("ab") as more:
        more.write(b" ")
    with pytest.raises(StorageError, match="nothing of it was loaded"):
        labeler(copy, base, sha256=sha256(file)).score(["you"])
    with pytest.raises(RecipeError, match="sha256 is missing"):
        labeler(file, base, sha256=None)
    with pytest.raises(RecipeError, match="cannot be read"):
        _ = labeler(file, base, checkpoint=str(tmp_path / "absent.ckpt")).models


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pinned_file_that_would_run_code_runs_none(how: str, base: Path, tmp_path: Path) -> None:
    import torch

    path, mark = tmp_path / "trap.ckpt", tmp_path / "mark"
    if how == "torch":
        torch.save({"config": {"arch": {"args": {}}}, "state_dict": Trap(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(StorageError, match="nothing in it was run"):
        labeler(path, base).score(["you"])
    assert not mark.exists()


def test_wrong_names_of_weights_are_refused_instead_of_scoring_at_random(file: Path, base: Path, tmp_path: Path) -> None:
    import torch

    loaded = torch.load(file, weights_only=True)
    renamed = {f"module.{name}": tensor for name, tensor in loaded["state_dict"].items()}
    torch.save(loaded | {"state_dict": renamed}, tmp_path / "renamed.ckpt")
    with pytest.raises(StorageError, match="its names do not fit the model"):
        labeler(tmp_path / "renamed.ckpt", base).score(["you"])
    part = checkpoint(base, tmp_path / "part.ckpt", **{"classifier.bias": None})
    with pytest.raises(StorageError, match=r"holds no weight classifier\.bias"):
        labeler(part, base).score(["you"])


def test_weights_that_know_nothing_are_refused(base: Path, tmp_path: Path) -> None:
    import torch

    dull = checkpoint(base, tmp_path / "dull.ckpt", **{"classifier.weight": torch.zeros(6, 32)})
    with pytest.raises(StorageError, match="know nothing of toxicity"):
        labeler(dull, base).score(["you"])


def test_without_a_base_and_without_a_network_it_says_what_is_missing(file: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="base model bert-base-uncased: cannot be loaded"):
        labeler(file, base, base=None).score(["you"])
    with pytest.raises(RecipeError, match=r"holds no config\.json"):
        labeler(file, base, base=str(tmp_path)).score(["you"])


def test_the_published_checkpoint_is_looked_for_and_held_to_its_name(
    monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked: list[str] = []

    def refuse(url: str, *_: Any, **__: Any) -> None:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    one = choose(LABELERS, {"detoxify": {"variant": "unbiased"}}, "test", "labeler")
    with pytest.raises(RecipeError, match="could not be fetched"):
        _ = one.models
    assert asked[0].endswith("toxic_debiased-c7548aa0.ckpt")
    shutil.copy(file, tmp_path / "hub" / "checkpoints" / "toxic_debiased-c7548aa0.ckpt")
    with pytest.raises(StorageError, match="is not c7548aa0"):
        _ = one.models
