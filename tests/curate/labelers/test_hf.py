"""Any sequence classifier as a labeler: the label map, both activations, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.core.config import choose
from curate.core.errors import RecipeError, StorageError
from curate.labelers import LABELERS

TEXTS = [
    "you are so stupid",
    "thank you for your help",
    "The bus is late again lah!",
    "see you at the stop tomorrow",
    "clown",
    "",
    "  ",
    "a kind of stop " * 40,
    "you are so kind and the bus is so late",
]
THREE = {"0": "rude", "1": "calm", "2": "hate"}
MAP = {"rude": "toxic", "calm": "non_toxic", "hate": "hateful"}


@pytest.fixture(scope="session")
def model(tiny_bert: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("hf"), id2label={int(at): name for at, name in THREE.items()}, num_labels=3)


def labeler(folder: Path, /, **options: object) -> Any:
    return choose(LABELERS, {"hf": {"model": str(folder), "labels": MAP} | options}, "test", "labeler")


def by_hand(model: Path, text: str) -> np.ndarray:
    """Logits as transformers gives them for one text alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(model)(text, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        return AutoModelForSequenceClassification.from_pretrained(model)(**tokens).logits[0].double().numpy()


def test_softmax_sums_what_is_mapped_to_toxic_and_to_categories(model: Path) -> None:
    found = labeler(model).scores(TEXTS)
    for text, (toxic, hateful) in zip(TEXTS, found, strict=True):
        if not text.strip():
            assert np.isnan(toxic) and np.isnan(hateful)
            continue
        told = np.exp(by_hand(model, text))
        told /= told.sum()
        assert toxic == pytest.approx(told[0] + told[2], abs=2e-6) and hateful == pytest.approx(told[2], abs=2e-6)


def test_sigmoid_takes_each_label_by_itself(model: Path) -> None:
    found = labeler(model, activation="sigmoid").scores(TEXTS[:1])[0]
    told = 1 / (1 + np.exp(-by_hand(model, TEXTS[0])))
    assert found == pytest.approx([told[0], told[2]], abs=2e-6)
    without = labeler(model, activation="sigmoid", labels={"rude": "insults", "calm": "ignored", "hate": "hateful"})
    assert without.categories == ("hateful", "insults")
    assert without.scores(TEXTS[:1])[0] == pytest.approx([max(told[0], told[2]), told[2], told[0]], abs=2e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_neither_batch_nor_order_changes_a_score(model: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.text import batches

    one = labeler(model, precision=precision)
    texts = [*TEXTS, *(f"{text} {word}" for text in TEXTS for word in ("lah", "again", "you"))]
    together = one.scores(texts)
    alone = np.concatenate([one.scores([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)
    order = random.Random(1).sample(range(len(texts)), len(texts))
    np.testing.assert_array_equal(one.scores([texts[at] for at in order]), together[order])
    monkeypatch.setattr(batches, "BATCH_TOKENS", 90)
    np.testing.assert_array_equal(one.scores(texts), together)


def test_as_a_stage_it_writes_a_column_for_each_category(model: Path) -> None:
    rows = pl.DataFrame({"completion": [*TEXTS, None]})
    said = labeler(model)(rows)
    assert dict(said.schema) == labeler(model).writes == {"score_hf": pl.Float32, "score_hf_hateful": pl.Float32}
    scores = labeler(model).score(TEXTS)
    np.testing.assert_array_equal(said["score_hf"].fill_null(float("nan")).to_numpy()[:-1], scores)
    assert said["score_hf"].is_null().to_list() == [not text.strip() for text in TEXTS] + [True]
    assert labeler(model)(rows.head(0)).height == 0


def test_only_undecided_rows_are_asked_about(model: Path) -> None:
    one = labeler(model, only="undecided")
    assert one.reads == ("completion", "undecided")
    rows = pl.DataFrame({"completion": TEXTS[:4], "undecided": [True, False, None, True]})
    assert one(rows)["score_hf"].is_null().to_list() == [False, True, True, False]


def test_what_is_cut_off_is_said(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    labeler(model).scores(TEXTS)
    assert "hf: 1 of 9 texts are longer than 64 tokens" in capfd.readouterr().err
    short = labeler(model, max_tokens=8)
    assert short.scores(["you are so kind and the bus is late"]) == pytest.approx(short.scores(["you are so kind and the stop"]))


def test_what_is_known_of_a_text_is_not_computed_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.core.cache import caching
    from curate.labelers.outside.hf import Hf

    with caching(tmp_path):
        first = labeler(model).scores(TEXTS)
        monkeypatch.setattr(Hf, "_compute", None)
        np.testing.assert_array_equal(labeler(model).scores(TEXTS[::-1]), first[::-1])
        assert labeler(model, threshold=0.3).score(TEXTS).shape == (9,)
        with pytest.raises(TypeError):
            labeler(model, activation="sigmoid").scores(TEXTS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": {"rude": "toxic", "calm": "non_toxic"}}, "labels: 'hate' of the model is not mapped"),
        ({"labels": MAP | {"spam": "ignored"}}, "the model has no 'spam'; it has rude, calm, hate"),
        ({"labels": MAP | {"hate": "hatred"}}, "no category 'hatred'; known: toxic, non_toxic, ignored, hateful"),
        ({"labels": {"rude": "ignored", "calm": "non_toxic"}}, "none is mapped to toxic"),
        ({"revision": "main"}, "is a folder, which has no revision"),
        ({"model": "no/such/model"}, "not a Hub id"),
        ({"model": "nobody/nothing"}, "the Hub did not give it"),
    ],
)
def test_a_recipe_that_does_not_fit_the_model_is_refused_before_it_runs(model: Path, options: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        _ = labeler(model, **options).models


def test_labels_of_which_several_hold_need_sigmoid(tiny_bert: Any, tmp_path: Path) -> None:
    several = tiny_bert(tmp_path, id2label={0: "rude", 1: "calm"}, num_labels=2, problem_type="multi_label_classification")
    with pytest.raises(RecipeError, match="use sigmoid"):
        labeler(several, labels={"rude": "toxic", "calm": "non_toxic"}).score(["you"])


def test_weights_that_are_missing_are_never_made_up(tiny_bert: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_bert(tmp_path, id2label={0: "rude", 1: "calm"}, num_labels=2)
    weights = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if "classifier" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StorageError, match="no weights for classifier"):
        labeler(folder, labels={"rude": "toxic", "calm": "non_toxic"}).score(["you"])


def test_pickled_weights_are_not_read(tiny_bert: Any, tmp_path: Path) -> None:
    import torch

    folder = tiny_bert(tmp_path, id2label={0: "rude", 1: "calm"}, num_labels=2)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(StorageError, match="no .safetensors file"):
        labeler(folder, labels={"rude": "toxic", "calm": "non_toxic"}).score(["you"])
