"""Where packing is not exact rows are padded: the same plan, scores and losses, under the model's own attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.objectives.phase import parse
from align.training.job import TrainingJob
from align.training.packing.layout import PACKED, Layout, layout_for
from align.training.packing.padded import pad
from align.training.packing.probe import probe_padded
from align.training.packing.score import log_probs
from align.training.trainer import train
from curate.core.errors import UserError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
TinyOf = Callable[..., Any]
Alone = Callable[..., torch.Tensor]

KINDS: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen3": {},
    "Gemma2": {"attn_logit_softcapping": 2.0},
    "Gemma3": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "GptOss": {"num_local_experts": 4, "sliding_window": 4},
    "Lfm2": {"layer_types": ["conv", "full_attention"]},  # a hybrid: short convolutions and attention
}
PACKABLE = {"Llama", "Qwen3"}


def test_rows_stand_side_by_side_without_their_last_token() -> None:
    laid = pad([([5, 6], [7, 2]), ([8, 9, 10], [11, 2])])
    assert laid.tokens.tolist() == [[5, 6, 7, 0], [8, 9, 10, 11]] and laid.mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert laid.kept == 3 and laid.scored.tolist() == [0, 1, 4, 5]
    assert laid.targets.tolist() == [7, 2, 11, 2] and laid.owner.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_gets_the_faster_layout_that_is_exact(kind: str, tiny_of: TinyOf, alone: Alone, make_rows: MakeRows) -> None:
    model, rows = tiny_of(kind, **KINDS[kind]).eval(), make_rows(12, paired=True)
    own = model.config._attn_implementation
    layout = layout_for(model, max(rows.lengths))
    assert layout.packs == (kind in PACKABLE) and model.config._attn_implementation == own
    segments = list(zip(rows.prompts, rows.completions, strict=True))
    expected = torch.stack([alone(model, *segment) for segment in segments])
    for way in {layout, Layout(own, "on purpose")}:
        with way.attended(model):
            assert torch.allclose(log_probs(model, way.lay(segments, "cpu")), expected, atol=1e-4)


def test_a_padded_row_is_blind_to_its_neighbours_and_their_padding(tiny_llama: TinyLlama) -> None:
    model = tiny_llama(double=True).eval()
    first, other = ([5, 6], [7, 2]), ([8, 9, 10], [11, 2])
    one = log_probs(model, pad([first, other]))
    two = log_probs(model, pad([first, ([30, 31, 32, 33], [34, 35, 36, 2])]))
    moved = (one - two).abs()
    assert moved[0] < 1e-10 and moved[1] > 1e-3


@pytest.mark.parametrize("word", ["kto_s", "dpo"])
def test_padded_training_is_packed_training(
    word: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(48, paired=True)
    made = parse({word: {"learning_rate": 1e-3, "batch_size": 8, "steps": 8}}, "r.yaml")
    train(TrainingJob(tiny_llama(), rows, made, tmp_path / "packed", seed=0))
    monkeypatch.setattr("align.training.packing.layout.layout_for", lambda model, longest: Layout("sdpa", "this test pads"))
    done = train(TrainingJob(tiny_llama(), rows, dataclasses.replace(made, token_budget=60), tmp_path / "padded", seed=0))
    assert done.notes == ("rows are padded, not packed (this test pads): slower, the same losses",)
    for ours, theirs in zip(
        read_metrics(tmp_path / "packed" / "metrics.jsonl"), read_metrics(tmp_path / "padded" / "metrics.jsonl"), strict=True
    ):
        for name in ("loss", "grad_norm", "rewards/margins"):
            assert ours[name] == pytest.approx(theirs[name], abs=2e-5), name


@pytest.mark.parametrize("kind", sorted(set(KINDS) - PACKABLE))
def test_a_model_that_does_not_pack_is_trained_all_the_same_and_says_so(
    kind: str, tiny_of: TinyOf, make_rows: MakeRows, tmp_path: Path
) -> None:
    made = parse({"kto_s": {"learning_rate": 2e-3, "batch_size": 8, "epochs": 4}}, "r.yaml")
    done = train(TrainingJob(tiny_of(kind, **KINDS[kind]), make_rows(24), made, tmp_path, seed=0))
    (note,) = done.notes
    assert note.startswith(f"rows are padded, not packed ({kind}")
    assert done.metrics["log_ratio_at_start"] < 1e-4
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[0]["loss"] == pytest.approx(0.5, abs=1e-4) and lines[-1]["loss"] < 0.49


def test_padded_passes_count_their_padding() -> None:
    segments = [([1] * length, [2]) for length in (2, 9, 3, 9, 30)]
    found = list(Layout("sdpa", "why").passes(segments, 20))
    assert found == [[0, 2], [1, 3], [4]]
    assert sorted(index for chosen in PACKED.passes(segments, 20) for index in chosen) == [0, 1, 2, 3, 4]


def test_attention_that_leaves_out_what_a_model_asks_for_gives_way_to_eager(tiny_of: TinyOf) -> None:
    from transformers import AttentionInterface

    def without_cap(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        return AttentionInterface()["sdpa"](module, query, key, value, mask, **(options | {"softcap": None}))

    AttentionInterface.register("without_cap", without_cap)
    model = tiny_of("Gemma2", **KINDS["Gemma2"])
    model.set_attn_implementation("without_cap")
    assert probe_padded(model)[1] == "eager"
    assert model.config._attn_implementation == "without_cap"


def test_a_model_that_looks_ahead_is_refused(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    inner = model.model.layers[1].self_attn.forward

    def looks_ahead(hidden_states: torch.Tensor, **options: Any) -> Any:
        attended, weights = inner(hidden_states=hidden_states, **options)
        return attended + hidden_states.mean(1, keepdim=True), weights

    model.model.layers[1].self_attn.forward = looks_ahead
    with pytest.raises(UserError, match="padded and one by one differ .*; train another model"):
        layout_for(model, 10)
