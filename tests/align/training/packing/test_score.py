"""Scores: summed log-probabilities of completions, whatever shares the pass with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from align.data.rows import Rows
from align.training.packing.attention import packed
from align.training.packing.pack import lay, lay_after
from align.training.packing.score import log_probs

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
Alone = Callable[..., torch.Tensor]


def test_packed_scores_are_those_of_one_row_at_a_time(tiny_llama: TinyLlama, alone: Alone, make_rows: MakeRows) -> None:
    model, rows = tiny_llama(double=True).eval(), make_rows(12)
    expected = torch.stack([alone(model, *row) for row in zip(rows.prompts, rows.completions, strict=True)])
    with packed(model):
        found = log_probs(model, lay(list(zip(rows.prompts, rows.completions, strict=True))))
    assert found.dtype == torch.float64 and torch.allclose(found, expected, atol=1e-10)


def test_a_row_is_blind_to_its_neighbours(tiny_llama: TinyLlama) -> None:
    model = tiny_llama(double=True).eval()
    with packed(model):
        one = log_probs(model, lay([([5, 6], [7, 2]), ([8, 9], [10, 2])]))
        other = log_probs(model, lay([([5, 6], [7, 2]), ([30, 31, 32], [33, 34, 2])]))
    moved = (one - other).abs()  # sums of another length may differ in their last bits on some processors
    assert moved[0] < 1e-10 and moved[1] > 1e-3


def test_behind_an_earlier_pass_a_completion_sees_its_own_prompt_alone(tiny_llama: TinyLlama) -> None:
    model = tiny_llama(double=True).eval()

    def scored(neighbour: list[int]) -> torch.Tensor:
        with packed(model):
            earlier = lay([([5, 6], [7, 2]), (neighbour, [10, 2])], keep=True)
            log_probs(model, earlier)
            return log_probs(model, lay_after(earlier, [([5, 6], [11, 2]), (neighbour, [12, 2])], [0, 1]))

    moved = (scored([8, 9]) - scored([30, 31, 32])).abs()
    assert moved[0] < 1e-10 and moved[1] > 1e-3


def test_half_precision_weights_are_scored_in_single_precision(tiny_llama: TinyLlama) -> None:
    model = tiny_llama().bfloat16().eval()
    with packed(model):
        assert log_probs(model, lay([([5, 6], [7, 2])])).dtype == torch.float32
