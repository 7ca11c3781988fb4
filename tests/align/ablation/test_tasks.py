"""What comes next: how checkpoints and rates are chosen, and what the ledger holds of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from align.ablation.cells.context import GridContext
from align.ablation.grid import Grid
from align.ablation.ledger import Ledger
from align.ablation.result import RunStep, SplitFigures, TaskResult
from align.ablation.tasks import BASE, Task, choose_checkpoint, next_rate, wave


def figures(toxic: int, neutral: float, unscored: int = 0) -> SplitFigures:
    return {
        "heldout": {"toxic": {"hits": toxic, "n": 100 - unscored}, "n": 100, "unscored": unscored},
        "retention": {"neutral": {"perplexity": neutral}},
    }


def test_a_checkpoint_that_forgot_or_fell_silent_is_not_chosen() -> None:
    base = figures(50, 2.0)
    steps = {0: figures(50, 2.0), 4: figures(20, 2.1), 8: figures(5, 2.3), 16: figures(0, 2.0, unscored=90)}
    assert choose_checkpoint(steps, base, 0.10) == 4
    assert choose_checkpoint(steps, base, 0.20) == 8
    assert choose_checkpoint({4: figures(0, 9.0), 8: figures(0, 5.0)}, base, 0.10) == 8


def test_equals_go_to_the_earlier_checkpoint() -> None:
    base = figures(50, 2.0)
    assert choose_checkpoint({0: figures(50, 2.0), 8: figures(3, 2.0), 4: figures(3, 2.0)}, base, 0.1) == 4


def test_the_next_trial_goes_on_beyond_an_edge() -> None:
    assert next_rate({1e-4: (0.1, 0), 1e-3: (0.5, 0)}) == pytest.approx(1e-5)
    assert next_rate({1e-4: (0.5, 0), 1e-3: (0.1, 0)}) == pytest.approx(1e-2)


def test_nothing_is_asked_for_before_the_base_is_measured(grid: Grid, runs: Path) -> None:
    context = GridContext(grid, runs / "grid", runs / "cache")
    assert list(wave(grid, context.fixed, {}).ready.values()) == [Task(BASE)]


def test_what_failed_is_named_and_tried_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    task = Task("kto", 8, 0, 1e-3)
    assert ledger.claim({"a": task, "b": task}) == ("a", task) and ledger.claim({"a": task}) is None
    ledger.fail("a", "ValueError: no")
    assert ledger.failures() == {"a": (task, "ValueError: no")} and ledger.done() == {}
    assert ledger.release() == 1 and ledger.claim({"a": task}) == ("a", task)
    result = TaskResult({0: RunStep(flops=1)}, views={"best": 0}, steps={"kl": [0.5, None]})
    ledger.finish("a", result, 1.0, 2.0)
    assert ledger.done() == {"a": result} and ledger.release() == 0
