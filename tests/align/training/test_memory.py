"""The longest pass is tried out before the first step; where it does not fit, passes get smaller and the losses stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.objectives.phase import parse
from align.training.trainer import train
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
    whole = train(roomy, rows, MADE, tmp_path / "whole", seed=0)
    split = train(tight, rows, MADE, tmp_path / "split", seed=0)
    assert whole.notes == () and plenty.seen[0] == max(plenty.seen) > 80  # the longest pass came first
    assert 1 <= len(split.notes) <= 3 and all("do not fit into memory; going on with at most" in note for note in split.notes)
    assert max(layer.seen[len(split.notes) + 1 :]) <= 40
    for ours, theirs in zip(
        read_metrics(tmp_path / "whole" / "metrics.jsonl"), read_metrics(tmp_path / "split" / "metrics.jsonl"), strict=True
    ):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], abs=1e-5)


def test_a_single_row_that_does_not_fit_is_refused(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model = tiny_llama()
    narrow(model, 4, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    with pytest.raises(UserError, match=r"phase kto_s: a pass of \d+ tokens, a single row or pair, does not fit into memory"):
        train(model, make_rows(32), MADE, tmp_path, seed=0)


def test_another_error_is_not_taken_for_lack_of_memory(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    model = tiny_llama()
    narrow(model, 4, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(model, make_rows(32), MADE, tmp_path, seed=0)
