"""A static model: distilled from an encoder, fitted to a corpus, looked up without torch, and never mistaken for its teacher."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.core.errors import RecipeError, StorageError
from curate.core.shipped import bundled
from curate.dataset.verify import verify
from curate.pipeline.build import build
from curate.pipeline.forget import forget
from curate.pipeline.recipe import read_recipe
from curate.text.encoders import BUILTIN, BUILTIN_DIM, encoder
from curate.text.encoders.corpus_model import distil_corpus, static_models
from curate.text.encoders.distil import RIDGE, distil, fit_vectors
from curate.text.encoders.static import WEIGHTS, means

PLACES = ("Bedok", "Yishun", "Clementi", "Tampines", "Bishan")
FOODS = ("laksa", "prata", "kopi")
TEXTS = [
    *(f"where can I get good {food} in {place}?" for food in FOODS for place in PLACES),
    *(f"the {thing} is {state} again" for thing in ("bus", "lift", "train") for state in ("late", "full", "spoilt")),
]
RECIPE = """
stages: [repair, pii, exact_duplicates, column, ngram, encode: {encoder: static}, consensus: {labelers: [column, ngram]},
  semantic_duplicates: {threshold: 0.99}]
pairing: [given, same_prompt]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("static")
    distil(encoder(BUILTIN), TEXTS, place)
    return place


def raw(place: Path) -> Path:
    lines = [
        {"prompt": f"Where got {food} in {place} ah?", "completion": text.format(food, place), "is_toxic": toxic}
        for food in FOODS
        for place in PLACES
        for text, toxic in (("The {} stall at {} hub damn shiok lah", 0), ("Blind is it, {} also cannot find in {}, stupid", 1))
    ]
    (place / "raw").mkdir()
    (place / "raw/stalls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (place / "recipe.yaml").write_text(RECIPE)
    return place


def test_the_fit_is_the_minimum_of_what_it_minimises() -> None:
    draw = np.random.default_rng(0)
    start, wanted = draw.normal(size=(4, 3)).astype(np.float32), draw.normal(size=(6, 3)).astype(np.float32)
    ids = [[0, 1], [1, 2], [0, 0, 1], [], [2], [1]]  # token 3 never occurs
    share = np.zeros((6, 4))
    for row, some in enumerate(ids):
        for at in some:
            share[row, at] += 1 / len(some)
    guess = share @ start
    origin = start * (guess * wanted).sum() / (guess * guess).sum()
    exact = origin + np.linalg.solve(share.T @ share + RIDGE * np.eye(4), share.T @ (wanted - share @ origin))
    found = fit_vectors(start, ids, wanted)
    assert found == pytest.approx(exact, abs=1e-4)
    assert found[3] == pytest.approx(origin[3], abs=1e-6)


def test_a_mean_is_that_of_its_own_tokens_alone() -> None:
    table = np.random.default_rng(1).normal(size=(9, 5)).astype(np.float32)
    ids = [[3], [], [1, 2, 2], [8, 0, 4, 7], []]
    found = means(table, ids)
    assert found[[1, 4]].tolist() == [[0.0] * 5] * 2
    assert found[2] == pytest.approx((table[1] + 2 * table[2]) / 3, abs=1e-6)
    assert all((means(table, [some])[0] == vector).all() for some, vector in zip(ids, found, strict=True))


def test_the_same_texts_in_any_order_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    distil(encoder(BUILTIN), [*reversed(TEXTS), TEXTS[0], " "], tmp_path)
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_a_static_text_has_one_vector_alone_in_company_and_repeated(folder: Path) -> None:
    static = encoder(str(folder))
    texts = [*TEXTS, "", "k", "a text of words that it never saw, quaint marzipan"]
    together = static.encode(texts)
    assert together.shape == (len(texts), BUILTIN_DIM) and not together[len(TEXTS)].any()
    assert (together == together.astype(np.float16)).all()
    assert (static.encode(texts[::-1])[::-1] == together).all()
    for text, vector in zip(texts, together, strict=True):
        assert (static.encode([text])[0] == vector).all()


def test_what_it_was_fitted_to_comes_near_the_teachers_vectors(folder: Path) -> None:
    exact, rough = encoder(BUILTIN).encode(TEXTS), encoder(str(folder)).encode(TEXTS)
    assert (exact * rough).sum(axis=1).min() > 0.85
    shuffled = encoder(str(folder)).encode(["is the bus late again", "again the late bus is"])
    assert (shuffled[0] * shuffled[1]).sum() > 0.999  # blind to order


def test_looking_up_imports_no_torch(folder: Path) -> None:
    code = (
        f"import sys; from curate.text.encoders import encoder; v = encoder({str(folder)!r}).encode(['the bus is late']); "
        "assert v.any() and not {'torch', 'transformers', 'sentence_transformers', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)


def test_model2vec_reads_the_folder_and_gives_the_same_vectors(folder: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    theirs = model2vec.StaticModel.from_pretrained(str(folder)).encode(TEXTS, use_multiprocessing=False)
    assert np.abs(encoder(str(folder)).encode(TEXTS) - theirs).max() < 1e-3  # ours are in float16 precision


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_a_damaged_static_model_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / name
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(StorageError, match="not a static model.*distil it again"):
        encoder(str(tmp_path / "copy")).encode(["hello"])


def test_a_static_model_takes_no_precision_and_no_backend(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="takes no precision"):
        encoder(str(folder), precision="bf16")
    for options, said in (
        ("encoder: static, precision: bf16", "takes no precision"),
        ("encoder: static, backend: openvino", "no backend"),
        ("teacher: other/model", "only `encoder: static` is distilled"),
    ):
        path = tmp_path / "bad.yaml"
        path.write_text(RECIPE.replace("encode: {encoder: static}", f"encode: {{{options}}}"))
        with pytest.raises(RecipeError, match=said):
            read_recipe(path)


def test_head_is_not_given_vectors_that_it_was_not_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("consensus: {labelers: [column, ngram]}", "head, consensus: {labelers: [column, head]}"))
    with pytest.raises(RecipeError, match="head was trained on vectors of builtin:minilm, encode makes those of static"):
        read_recipe(path)


def test_a_model_that_a_work_folder_keeps_is_believed_only_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        "curate.text.encoders.corpus_model.distil", lambda teacher, texts, place: (made.append(teacher.name), stub(place))
    )

    def stub(place: Path) -> None:
        place.mkdir(parents=True)
        (place / WEIGHTS).write_bytes(b"weights")

    with static_models(tmp_path):
        name = distil_corpus(BUILTIN, ["a", "b"])
        assert distil_corpus(BUILTIN, ["b", "a", "a"]) == name and len(made) == 1
        (tmp_path / name.partition("@")[2] / WEIGHTS).write_bytes(b"changed")
        assert distil_corpus(BUILTIN, ["a", "b"]) == name and len(made) == 2
        other = distil_corpus(BUILTIN, ["a", "c"])
        assert {path.stem for path in tmp_path.iterdir()} == {other.partition("@")[2]} and other != name
    with pytest.raises(RecipeError, match="a build distils it"):
        distil_corpus(BUILTIN, ["a"])


def test_a_build_distils_its_own_encoder_and_forgets_with_it(tmp_path: Path) -> None:
    place = raw(tmp_path)
    recipe = read_recipe(bundled("static"))
    manifest = build(place / "raw", place / "out", recipe).manifest.to_json()
    assert verify(place / "out") == []
    word, (model,) = encode_of(manifest)["encoder"], manifest["models"]["encode"]
    assert word.startswith("static@") and len(model) == 64
    assert build(place / "raw", place / "out", recipe).unchanged
    shutil.rmtree(place / "out.work/static")
    shutil.rmtree(place / "out")
    again = build(place / "raw", place / "out", recipe).manifest.to_json()
    assert (again["models"]["encode"], encode_of(again)["encoder"]) == ([model], word)
    gone = next(iter(_ids(place / "out")))
    forget(place / "out", [gone])
    after = json.loads((place / "out/manifest.json").read_bytes())
    assert encode_of(after)["encoder"] != word and after["models"]["encode"] != [model]
    assert {path.stem for path in (place / "out.work/static").iterdir()} == {encode_of(after)["encoder"].partition("@")[2]}
    assert verify(place / "out") == []


def encode_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(dict(stage["encode"]) for stage in manifest["recipe"]["stages"] if "encode" in stage)


def _ids(out: Path) -> list[str]:
    import polars as pl

    return pl.concat(pl.read_parquet(path, columns=["id"]) for path in sorted((out / "corpus").glob("*.parquet")))["id"].to_list()
