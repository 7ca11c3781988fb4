"""LionGuard on tiny encoders and heads of the published layouts, read by the libraries that read the published ones."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.core.config import choose
from curate.core.errors import RecipeError, StorageError
from curate.core.policy import load_policy
from curate.labelers import LABELERS

CALM = ("thank you for your help", "the bus is late again lah", "see you at the stop tomorrow", "so kind of you")
RUDE = ("you are so stupid", "stupid clown", "you are a clown lah", "so stupid and late again you clown")
TEXTS = [*RUDE, "", *CALM, "the stop " * 50]
V1 = ("hateful", "harassment", "public_harm", "self_harm", "sexual", "toxic", "violent", "binary")
CATEGORIES = tuple(load_policy().categories)


@pytest.fixture(scope="session")
def encoder_folder(tiny_bert: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As bge is published: a transformer, CLS pooling, normalisation."""
    return save_encoder(tiny_bert(tmp_path_factory.mktemp("bert"), seed=4), tmp_path_factory.mktemp("bge"), "cls")


def save_encoder(bert: Path, folder: Path, pooling: str) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    transformer = Transformer(str(bert))
    model = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode=pooling), Normalize()], device="cpu")
    model.save_pretrained(str(folder))
    return folder


def vectors_by_hand(bert: Path, texts: list[str]) -> np.ndarray:
    """CLS vectors of length 1, the way the published inference code makes them: transformers, one text at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()
    with torch.no_grad():
        made = [model(**tokenizer(text, truncation=True, return_tensors="pt"))[0][:, 0] for text in texts]
    return torch.nn.functional.normalize(torch.cat(made), dim=1).numpy()


@pytest.fixture(scope="session")
def ridge(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """As v1 is published: one ONNX file a label, `binary` calibrated, the others not."""
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx makes the ONNX heads of this test")
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import RidgeClassifier

    folder = tmp_path_factory.mktemp("v1")
    (folder / "models").mkdir()
    x = vectors_by_hand(encoder_folder, [*RUDE, *CALM])
    fitted, classifier = {}, {}
    for at, label in enumerate(V1):
        y = np.array([1, 1, 1, 1, 0, 0, 0, 0]) if label in {"binary", "toxic"} else np.roll([1, 1, 0, 0, 0, 0, 1, 0], at)
        model = RidgeClassifier()
        fitted[label] = (CalibratedClassifierCV(model, cv=2) if label == "binary" else model).fit(x, y)
        file = f"models/lionguard-{label}.onnx"
        (folder / file).write_bytes(skl2onnx.to_onnx(fitted[label], x[:1]).SerializeToString())
        thresholds = {"high_recall": 0.2, "balanced": 0.5, "high_precision": 0.8}
        classifier[label] = {"calibrated": label == "binary", "threshold": thresholds, "model_type": "ridge_classifier"}
        classifier[label]["model_fp"] = file
    embedding = {"tokenizer": "BAAI/bge-large-en-v1.5", "model": "BAAI/bge-large-en-v1.5", "max_length": 512, "batch_size": 32}
    (folder / "config.json").write_text(json.dumps({"embedding": embedding, "classifier": classifier}))
    return folder, fitted


LITE = {
    "binary": ["binary"],
    "hateful": ["hateful_l1", "hateful_l2"],
    "insults": ["insults"],
    "sexual": ["sexual_l1", "sexual_l2"],
    "physical_violence": ["physical_violence"],
    "self_harm": ["self_harm_l1", "self_harm_l2"],
    "all_other_misconduct": ["all_other_misconduct_l1", "all_other_misconduct_l2"],
}


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """As 2-lite is published: a small network in safetensors, its labels in config.json."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    nn = torch.nn
    net = nn.Module()
    net.shared_layers = nn.Sequential(
        nn.Linear(32, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2)
    )
    heads = [nn.Sequential(nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 2), nn.Sigmoid()) for _ in LITE]
    net.output_heads = nn.ModuleList(heads)
    for parameter in net.parameters():
        parameter.data.mul_(6)  # far from one half, both ways
    folder = tmp_path_factory.mktemp("lite")
    save_file(net.state_dict(), folder / "model.safetensors")
    config = {"model_type": "lionguard2lite", "input_dim": 32, "categories": LITE, "category_order": list(LITE)}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "lionguard2lite.LionGuard2LiteModel"}}))
    return folder, net.eval()


def labeler(heads: Path, encoder: Path, /, **options: Any) -> Any:
    return choose(LABELERS, {"lionguard": {"heads": str(heads), "encoder": str(encoder)} | options}, "test", "labeler")


def test_v1_gives_what_its_classifiers_give(ridge: tuple[Path, dict[str, Any]], encoder_folder: Path) -> None:
    folder, fitted = ridge
    found = labeler(folder, encoder_folder).scores(TEXTS)
    assert found.shape == (10, 7) and np.isnan(found[4]).all()
    told = [text for text in TEXTS if text]
    x, rows = vectors_by_hand(encoder_folder, told), np.delete(found, 4, axis=0)
    assert rows[:, 0] == pytest.approx(fitted["binary"].predict_proba(x)[:, 1], abs=2e-3)  # vectors are rounded to float16
    share = {label: np.clip((1 + model.decision_function(x)) / 2, 0, 1) for label, model in fitted.items() if label != "binary"}
    column = dict(zip(("toxic", *CATEGORIES), rows.T, strict=True))
    assert column["hateful"] == pytest.approx(share["hateful"], abs=5e-3)
    assert column["insults"] == pytest.approx(np.maximum(share["harassment"], share["toxic"]), abs=5e-3)
    assert column["physical_violence"] == pytest.approx(share["violent"], abs=5e-3)
    assert column["other_misconduct"] == pytest.approx(share["public_harm"], abs=5e-3)


def test_v1_has_three_thresholds(ridge: tuple[Path, dict[str, Any]], encoder_folder: Path, tmp_path: Path) -> None:
    thresholds = [
        labeler(ridge[0], encoder_folder, operating=point).threshold for point in ("high_recall", "balanced", "high_precision")
    ]
    assert thresholds == pytest.approx([0.2, 0.5, 0.8])
    rude, calm = labeler(ridge[0], encoder_folder).score([RUDE[1], CALM[0]])
    assert rude > calm


def test_lite_gives_what_its_network_gives(lite: tuple[Path, Any], encoder_folder: Path) -> None:
    import torch

    folder, net = lite
    one = labeler(folder, encoder_folder, variant="2-lite")
    found = one.scores(TEXTS)
    assert np.isnan(found[4]).all() and one.threshold == 0.5 and one.categories == CATEGORIES
    prefixed = [f"task: classification | query: {text}" for text in TEXTS if text]
    with torch.no_grad():
        x = net.shared_layers(torch.tensor(vectors_by_hand(encoder_folder, prefixed)))
        levels = {label: head(x).numpy() for label, head in zip(LITE, net.output_heads, strict=True)}
    wanted = []
    for label, names in LITE.items():
        first, second = levels[label].T
        wanted.append(np.where((second > first) & (len(names) == 2), (first + second) / 2, first))
    np.testing.assert_allclose(np.delete(found, 4, axis=0), np.stack(wanted, axis=1), atol=5e-3)
    assert any(((level[:, 1] > level[:, 0]).any()) for label, level in levels.items() if len(LITE[label]) == 2)


@pytest.mark.parametrize("variant", ["v1", "2-lite"])
def test_neither_batch_nor_order_changes_a_score(variant: str, request: pytest.FixtureRequest, encoder_folder: Path) -> None:
    heads = request.getfixturevalue("ridge" if variant == "v1" else "lite")[0]
    one = labeler(heads, encoder_folder, variant=variant)
    together = one.scores(TEXTS)
    alone = np.concatenate([one.scores([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, rtol=0, atol=2e-3)  # vectors are rounded to float16, some otherwise
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    np.testing.assert_allclose(one.scores([TEXTS[at] for at in order]), together[order], rtol=0, atol=2e-3)
    assert ((alone > one.threshold) == (together > one.threshold)).all()
    assert np.ptp(np.delete(together, 4, axis=0), axis=0).max() > 0.1  # other texts have other scores


def test_as_a_stage_it_writes_every_category(lite: tuple[Path, Any], encoder_folder: Path) -> None:
    one = labeler(lite[0], encoder_folder, variant="2-lite", only="undecided")
    told = one(pl.DataFrame({"completion": TEXTS[:3], "undecided": [True, False, True]}))
    assert dict(told.schema) == one.writes and told["score_lionguard_self_harm"].is_null().to_list() == [False, True, False]
    assert len(one.models) == 2 and one.trained_on


def test_an_encoder_that_averages_tokens_is_refused_for_v1(
    ridge: tuple[Path, dict[str, Any]], tiny_bert: Any, tmp_path: Path
) -> None:
    mean = save_encoder(tiny_bert(tmp_path / "bert"), tmp_path / "mean", "mean")
    with pytest.raises(RecipeError, match="does not pool by the CLS token"):
        labeler(ridge[0], mean).score(["you"])


def test_an_encoder_of_another_width_is_refused(lite: tuple[Path, Any]) -> None:
    with pytest.raises(RecipeError, match="vectors have 384 numbers, its heads take 32"):
        labeler(lite[0], Path("builtin:minilm"), variant="2-lite").score(["you"])


def test_heads_that_are_not_there_or_not_whole_are_refused(
    lite: tuple[Path, Any], ridge: tuple[Path, dict[str, Any]], encoder_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="the Hub did not give it"):
        _ = labeler(Path("nobody/nothing"), encoder_folder).models
    with pytest.raises(StorageError, match="not the heads of lionguard v1"):
        _ = labeler(lite[0], encoder_folder).models
    from safetensors.torch import load_file, save_file

    weights = load_file(lite[0] / "model.safetensors")
    del weights["output_heads.3.2.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((lite[0] / "config.json").read_text())
    with pytest.raises(StorageError, match=r"output_heads\.3\.2\.bias"):
        _ = labeler(tmp_path, encoder_folder, variant="2-lite").models
    facts = json.loads((ridge[0] / "config.json").read_text())
    facts["classifier"]["sexual"]["model_fp"] = "../elsewhere.onnx"
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(StorageError, match="lies outside the folder"):
        _ = labeler(tmp_path, encoder_folder).models
