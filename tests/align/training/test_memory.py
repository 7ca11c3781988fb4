"""The longest pass is tried out before the first step; where it does not fit, passes get smaller and the losses stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from align.data.dataset import open_dataset, phase_rows
from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.models.likelihood import _batches
from align.models.tiny import Tiny
from align.objectives.phase import parse
from align.pipeline.preview import preview
from align.pipeline.recipe import read_recipe
from align.training.job import TrainingJob
from align.training.reference import score_all
from align.training.trainer import _threads, train
from curate.core.errors import UserError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
MADE = parse({"kto_s": {"learning_rate": 1e-3, "batch_size": 8, "epochs": 1}}, "r.yaml")


class Narrow(torch.nn.Module):
    """A layer on a device that holds so many tokens with their gradients, and no more."""

    def __init__(self, inner: torch.nn.Module, room: int, error: Exception) -> None:
        super().__init__()
        self.inner, self.room, self.error = inner, room, error
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            self.seen.append(x.shape[1])
            if x.shape[1] > self.room:
                raise self.error
        return self.inner(x)


def narrow(model: Any, room: int, error: Exception) -> Narrow:
    model.model.layers[1].mlp = Narrow(model.model.layers[1].mlp, room, error)
    return model.model.layers[1].mlp


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), MemoryError()],
    ids=["cuda", "python"],
)
def test_a_pass_that_does_not_fit_is_halved_and_nothing_else_changes(
    error: Exception, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    rows = make_rows(32)
    roomy, tight = tiny_llama(), tiny_llama()
    plenty, layer = narrow(roomy, 10_000, error), narrow(tight, 40, error)
    whole = train(TrainingJob(roomy, rows, MADE, tmp_path / "whole", seed=0))
    split = train(TrainingJob(tight, rows, MADE, tmp_path / "split", seed=0))
    assert whole.notes == () and plenty.seen[0] == max(plenty.seen) > 80  # the longest pass came first
    assert 1 <= len(split.notes) <= 3 and all("do not fit into memory; going on with at most" in note for note in split.notes)
    assert max(layer.seen[len(split.notes) + 1 :]) <= 40
    most = 16_384
    for note in split.notes:
        tokens, halved = (int(number.replace(",", "")) for number in re.findall(r"[\d,]{2,}", note))
        assert halved == min(tokens, most) // 2
        most = halved
    for ours, theirs in zip(
        read_metrics(tmp_path / "whole" / "metrics.jsonl"), read_metrics(tmp_path / "split" / "metrics.jsonl"), strict=True
    ):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], abs=1e-5)


def test_a_single_row_that_does_not_fit_is_refused(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model = tiny_llama()
    narrow(model, 4, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    with pytest.raises(UserError, match=r"phase kto_s: a pass of \d+ tokens, a single row or pair, does not fit into memory"):
        train(TrainingJob(model, make_rows(32), MADE, tmp_path, seed=0))


def test_another_error_is_not_taken_for_lack_of_memory(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model = tiny_llama()
    narrow(model, 4, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(TrainingJob(model, make_rows(32), MADE, tmp_path, seed=0))


def test_on_a_cpu_the_reference_is_scored_2048_tokens_at_a_time(tiny_llama: TinyLlama) -> None:
    """Whatever the budget: larger passes fall out of the processor's cache."""
    segments = [([3 + at % 60, 3 + at // 60, *[5] * 14], [6] * 16) for at in range(100)]  # 100 prompts, 32 tokens a row
    scored: list[int] = []
    score_all(tiny_llama(), segments, 16_384, scored.append)
    assert scored == [64, 36]
    scored.clear()
    score_all(tiny_llama(), segments, 1_024, scored.append)
    assert scored == [32, 32, 32, 4]


@pytest.mark.parametrize(("device", "vocabulary", "rows"), [("cpu", 2**13, 16), ("meta", 2**18, 16)])
def test_a_pass_of_likelihoods_holds_8_mb_of_logits_on_a_cpu_and_256_elsewhere(device: str, vocabulary: int, rows: int) -> None:
    model: Any = SimpleNamespace(device=torch.device(device), config=SimpleNamespace(vocab_size=vocabulary))
    batches = list(_batches(model, [[5] * 10] * 40, [[6] * 6] * 40))
    assert [len(batch) for batch, _, _ in batches] == [rows, rows, 40 - 2 * rows]
    assert rows * 16 * vocabulary * 4 == (2**23 if device == "cpu" else 2**28)


@pytest.mark.parametrize(("weights", "threads"), [(19_999_999, 1), (20_000_000, 2)])
def test_a_model_under_20_million_weights_trains_on_one_thread(weights: int, threads: int) -> None:
    model: Any = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.empty(weights, device="meta"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with _threads(model, None):
            assert torch.get_num_threads() == threads
        with _threads(model, 3):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def billion(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of a billion weights, without the weights: `align plan` counts them."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("billion")
    tokenizer = Tiny(vocab_size=400).tokenizer(open_dataset(pairs), folder)
    tokenizer.save_pretrained(folder / "model")
    LlamaConfig(
        vocab_size=32_000,
        hidden_size=2_048,
        intermediate_size=8_192,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=16,
        tie_word_embeddings=False,
    ).save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.parametrize(("lora", "budget"), [("", 16_384), (", lora: {rank: 8, targets: [q_proj]}", 16_384), ("", 100)])
def test_the_plans_estimate_of_memory_is_worked_by_hand(
    lora: str, budget: int, billion: Path, pairs: Path, terms: Path, tmp_path: Path
) -> None:
    """Weights, 12 bytes of AdamW for each trained one, 34 of activations a token, layer and unit of width (fp32: 68), logits."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\ndata: {pairs}\nmodel: {{pretrained: {{path: {billion}{lora}}}}}\n"
        f"phases: [{{kto_s: {{learning_rate: 1e-4, batch_size: 32, token_budget: {budget}}}}}]\n"
        f"eval: {{suites: [heldout], judge: {{lexicon: {{terms: {terms}}}}}}}\n"
    )
    said = re.search(r"1-kto_s: about ([\d.]+) GB at most", preview(read_recipe(recipe), tmp_path))
    assert said is not None
    dataset = open_dataset(pairs)
    rows = phase_rows(dataset, frozenset({"unpaired"}), Tiny(vocab_size=400).tokenizer(dataset, billion.parent))
    tokens = min(sum(sorted(rows.lengths)[-32:]), max(budget, max(rows.lengths)))
    assert tokens > 400 or budget == 100
    weights = 2 * 32_000 * 2_048 + 16 * (4 * 2_048**2 + 3 * 2_048 * 8_192 + 2 * 2_048) + 2_048
    adapters = 16 * 2 * 8 * 2_048 if lora else 0
    held = weights * 2 + adapters * 4 if lora else weights * 4
    adam = 12 * (adapters or weights)
    activations = tokens * 16 * 2_048 * 34 * (1 if lora else 2)
    scored = tokens * sum(map(len, rows.completions)) / sum(rows.lengths)
    logits = 3 * 4 * scored * 32_000
    assert float(said[1]) == pytest.approx((held + adam + activations + logits) / 1e9, abs=0.006)
    assert min(activations, logits) > 0.012e9  # each of them moves what is printed
