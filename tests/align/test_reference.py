"""The reference's log-probabilities: right, kept, and not believed when damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.attention import packed
from align.pack import lay
from align.phase import parse
from align.plan import make_plan
from align.reference import mismatches, reference_for, weights_hash
from align.rows import Rows
from align.score import log_probs
from curate.errors import NonFiniteError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
PHASE = parse({"kto_s": {"learning_rate": 1e-3, "batch_size": 8, "epochs": 2}}, "r.yaml")


def test_it_is_what_scoring_one_row_at_a_time_gives(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(double=True), make_rows(20)
    plan = make_plan(rows, PHASE, 0)
    scored: list[int] = []
    reference = reference_for(model, rows, plan, "key", tmp_path, 64, scored.append)
    assert sum(scored) == 20 + 2 * 20
    with packed(model), torch.no_grad():
        for row in range(20):
            assert torch.allclose(reference.matched[row], log_probs(model, lay([(rows.prompts[row], rows.completions[row])]))[0])
        for step, batch in enumerate(plan.batches):
            assert len(mismatches(rows, plan, step)) == len(reference.mismatched[step]) == len(batch.rows)
            for place, segment in mismatches(rows, plan, step).items():
                assert torch.allclose(reference.mismatched[step][place], log_probs(model, lay([segment]))[0])


def test_it_is_kept_and_computed_again_only_when_it_must(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(), make_rows(20)
    plan = make_plan(rows, PHASE, 0)
    scored: list[int] = []
    first = reference_for(model, rows, plan, "key", tmp_path, 512, scored.append)
    computed = len(scored)
    again = reference_for(model, rows, plan, "key", tmp_path, 512, scored.append)
    assert len(scored) == computed and torch.equal(first.matched, again.matched)
    reference_for(model, rows, plan, "another key", tmp_path, 512, scored.append)
    assert len(scored) == 2 * computed


def test_a_flipped_bit_is_not_believed(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(), make_rows(20)
    plan = make_plan(rows, PHASE, 0)
    first = reference_for(model, rows, plan, "key", tmp_path, 512, lambda rows: None)
    path = tmp_path / "reference.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    again = reference_for(model, rows, plan, "key", tmp_path, 512, lambda rows: None)
    assert torch.equal(first.matched, again.matched) and path.read_bytes() != bytes(data)


def test_a_reference_that_is_not_finite_names_the_weights(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(), make_rows(20)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"weights \(model.layers.1.mlp.up_proj.weight\)"):
        reference_for(model, rows, make_plan(rows, PHASE, 0), "key", tmp_path, 512, lambda rows: None)
    assert not (tmp_path / "reference.safetensors").exists()


def test_the_hash_of_weights_sees_one_changed_value(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    before = weights_hash(model)
    assert before == weights_hash(tiny_llama())
    with torch.no_grad():
        model.model.norm.weight[0] += 1e-6
    assert weights_hash(model) != before
