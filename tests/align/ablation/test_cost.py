"""Operations by the formula are those that torch counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from align.ablation.cost import spent, weights_of
from align.objectives.phase import Phase, parse
from align.training.plan import make_plan

TinyLlama = Callable[..., Any]


def test_flops_are_those_that_torch_counts(tiny_llama: TinyLlama, make_rows: Callable[..., Any]) -> None:
    """One packed step of SFT by the formula and by torch's own counter; attention is what the formula leaves out."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from align.training.packing.attention import packed
    from align.training.packing.pack import lay
    from align.training.packing.score import log_probs

    model = tiny_llama(vocab_size=512, hidden_size=128, intermediate_size=256, num_attention_heads=4)
    rows = make_rows(16)
    phase = read_phase("sft")
    plan = make_plan(rows, phase, 0)
    flops = spent(weights_of(model), rows, plan, reference=False)
    with FlopCounterMode(display=False) as counter, packed(model):
        chosen = plan.batches[0].rows
        torch.autograd.backward(-log_probs(model, lay([(rows.prompts[row], rows.completions[row]) for row in chosen])).sum())
    assert flops[0] == 0 and flops[1] == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_a_reference_and_mismatched_rows_cost_more(tiny_llama: TinyLlama, make_rows: Callable[..., Any]) -> None:
    rows, weights = make_rows(32), weights_of(tiny_llama())
    phase = read_phase("kto")
    plan = make_plan(rows, phase, 0)
    plain, full = (
        spent(weights, rows, replace(plan, batches=tuple(replace(b, partners=()) for b in plan.batches)), reference=False),
        spent(weights, rows, plan, reference=True),
    )
    assert 1.3 < full[1] / plain[1] < 2.0 and list(full) == sorted(full)


def read_phase(name: str) -> Phase:
    return parse({name: {"learning_rate": 1e-3, "batch_size": 16, "steps": 1}}, "r.yaml")
