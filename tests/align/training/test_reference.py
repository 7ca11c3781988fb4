"""The reference's log-probabilities: right, kept, and not believed when damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.models.adapters import Lora, add_adapters
from align.objectives.phase import parse
from align.training.packing.attention import packed
from align.training.packing.pack import lay
from align.training.packing.score import log_probs
from align.training.plan import make_plan
from align.training.reference import mismatches, reference_for, reference_name
from curate.core.errors import NonFiniteError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
PHASE = parse({"kto_s": {"learning_rate": 1e-3, "batch_size": 8, "epochs": 2}}, "r.yaml")


def test_it_is_what_scoring_one_row_at_a_time_gives(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(double=True), make_rows(20)
    plan = make_plan(rows, PHASE, 0)
    scored: list[int] = []
    reference = reference_for(model, rows, plan, tmp_path, 64, scored.append)
    assert sum(scored) == 20 + 2 * 20
    with packed(model), torch.no_grad():
        for row in range(20):
            assert torch.allclose(reference.matched[row], log_probs(model, lay([(rows.prompts[row], rows.completions[row])]))[0])
        for step, batch in enumerate(plan.batches):
            assert len(mismatches(rows, plan, step)) == len(reference.mismatched[step]) == len(batch.rows)
            for place, segment in mismatches(rows, plan, step).items():
                assert torch.allclose(reference.mismatched[step][place], log_probs(model, lay([segment]))[0])


def test_a_second_objective_on_the_same_rows_computes_nothing(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(), make_rows(20, paired=True)
    scored: list[int] = []

    def of(word: str, model: Any = model, seed: int = 0) -> Any:
        phase = parse({word: {"learning_rate": 1e-3, "batch_size": 8, "epochs": 1}}, "r.yaml")
        return reference_for(model, rows, make_plan(rows, phase, seed), tmp_path, 512, scored.append)

    first = of("kto_s")
    computed = sum(scored)
    assert computed == 40
    assert torch.equal(of("kto").matched, first.matched) and torch.equal(of("dpo").matched, first.matched)
    assert sum(scored) == computed
    of("kto", seed=1)
    assert computed < sum(scored) <= computed + 20  # other partners only
    computed = sum(scored)
    of("dpo", tiny_llama(seed=1))
    assert sum(scored) == computed + 20


def test_adapters_that_add_nothing_yet_share_the_reference(tiny_llama: TinyLlama) -> None:
    plain, adapted, other = tiny_llama(), tiny_llama(), tiny_llama()
    add_adapters(adapted, Lora(rank=4), seed=0)
    add_adapters(other, Lora(rank=8), seed=1)
    assert reference_name(plain) == reference_name(adapted) == reference_name(other)
    with torch.no_grad():
        next(value for name, value in other.named_parameters() if "lora_B" in name)[0, 0] = 1e-3
    assert reference_name(other) != reference_name(plain)


def test_a_flipped_bit_is_not_believed(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(), make_rows(20)
    plan = make_plan(rows, PHASE, 0)
    first = reference_for(model, rows, plan, tmp_path, 512, lambda rows: None)
    (path,) = tmp_path.rglob("*.safetensors")
    good = path.read_bytes()
    data = bytearray(good)
    data[-3] ^= 4
    path.write_bytes(data)
    again = reference_for(model, rows, plan, tmp_path, 512, lambda rows: None)
    assert torch.equal(first.matched, again.matched) and path.read_bytes() == good


def test_a_reference_that_is_not_finite_names_the_weights(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model, rows = tiny_llama(), make_rows(20)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"weights \(model.layers.1.mlp.up_proj.weight\)"):
        reference_for(model, rows, make_plan(rows, PHASE, 0), tmp_path, 512, lambda rows: None)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_name_of_a_reference_sees_one_changed_value_and_one_changed_setting(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    before = reference_name(model)
    assert before == reference_name(tiny_llama())
    model.config.rms_norm_eps *= 2
    assert reference_name(model) != before
    model.config.rms_norm_eps /= 2
    with torch.no_grad():
        model.model.norm.weight[0] += 1e-6
    assert reference_name(model) != before
