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
from align.training.packing.layout import PACKED, Layout, layout_for
from align.training.packing.padded import pad
from align.training.packing.probe import probe_padded
from align.training.packing.score import log_probs
from align.training.trainer import train
from curate.core.errors import UserError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]

KINDS = {
    "Llama": {},
    "Qwen3": {},
    "Gemma2": {"attn_logit_softcapping": 2.0},
    "Gemma3": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "GptOss": {"num_local_experts": 4, "sliding_window": 4},
    "Lfm2": {"layer_types": ["conv", "full_attention"]},  # a hybrid: short convolutions and attention
}
PACKABLE = {"Llama", "Qwen3"}


def tiny(kind: str) -> Any:
    import transformers

    torch.manual_seed(0)
    settings: dict[str, object] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "pad_token_id": 0,
    }
    name = "Gemma3TextConfig" if kind == "Gemma3" else f"{kind}Config"
    return getattr(transformers, f"{kind}ForCausalLM")(getattr(transformers, name)(**(settings | KINDS[kind])))


def alone(model: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([prompt + completion]), use_cache=False).logits[0].log_softmax(-1)
    return torch.stack([logits[len(prompt) - 1 + place, token] for place, token in enumerate(completion)]).sum()


def test_rows_stand_side_by_side_without_their_last_token() -> None:
    laid = pad([([5, 6], [7, 2]), ([8, 9, 10], [11, 2])])
    assert laid.tokens.tolist() == [[5, 6, 7, 0], [8, 9, 10, 11]] and laid.mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert laid.kept == 3 and laid.scored.tolist() == [0, 1, 4, 5]
    assert laid.targets.tolist() == [7, 2, 11, 2] and laid.owner.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_gets_the_faster_layout_that_is_exact(kind: str, make_rows: MakeRows) -> None:
    model, rows = tiny(kind).eval(), make_rows(12, paired=True)
    own = model.config._attn_implementation
    layout = layout_for(model, max(rows.lengths))
    assert layout.packs == (kind in PACKABLE) and model.config._attn_implementation == own
    segments = list(zip(rows.prompts, rows.completions, strict=True))
    expected = torch.stack([alone(model, *segment) for segment in segments])
    for way in {layout, Layout(own, "on purpose")}:
        with way.attended(model):
            assert torch.allclose(log_probs(model, way.lay(segments, "cpu")), expected, atol=1e-4)


@pytest.mark.parametrize("word", ["kto_s", "dpo"])
def test_padded_training_is_packed_training(
    word: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(48, paired=True)
    made = parse({word: {"learning_rate": 1e-3, "batch_size": 8, "steps": 8}}, "r.yaml")
    train(tiny_llama(), rows, made, tmp_path / "packed", seed=0)
    monkeypatch.setattr("align.training.packing.layout.layout_for", lambda model, longest: Layout("sdpa", "this test pads"))
    done = train(tiny_llama(), rows, dataclasses.replace(made, token_budget=60), tmp_path / "padded", seed=0)
    assert done.notes == ("rows are padded, not packed (this test pads): slower, the same losses",)
    for ours, theirs in zip(
        read_metrics(tmp_path / "packed" / "metrics.jsonl"), read_metrics(tmp_path / "padded" / "metrics.jsonl"), strict=True
    ):
        for name in ("loss", "grad_norm", "rewards/margins"):
            assert ours[name] == pytest.approx(theirs[name], abs=2e-5), name


@pytest.mark.parametrize("kind", sorted(set(KINDS) - PACKABLE))
def test_a_model_that_does_not_pack_is_trained_all_the_same_and_says_so(kind: str, make_rows: MakeRows, tmp_path: Path) -> None:
    made = parse({"kto_s": {"learning_rate": 2e-3, "batch_size": 8, "epochs": 4}}, "r.yaml")
    done = train(tiny(kind), make_rows(24), made, tmp_path, seed=0)
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


def test_attention_that_leaves_out_what_a_model_asks_for_gives_way_to_eager() -> None:
    from transformers import AttentionInterface

    def without_cap(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        return AttentionInterface()["sdpa"](module, query, key, value, mask, **(options | {"softcap": None}))

    AttentionInterface.register("without_cap", without_cap)
    model = tiny("Gemma2")
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
