"""The bench races real trainers on the same rows, and says what it found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from align.bench import bench as racing
from align.bench.contender import make_phase, make_rows, needed_flops, plan_both_can_follow, race
from align.bench.figures import BenchFigures, table
from align.bench.messages import SIDES, Settings, SetUp, Totals
from align.bench.meter import peak_resident
from curate.core.errors import UserError

SMALL: dict[str, Any] = {"hidden": 64, "layers": 1, "vocabulary": 64, "batch": 4, "steps": 3, "prompt": 12, "completion": 8}


def settings(folder: Path, side: str, **changes: Any) -> Settings:
    whole = racing._settings(racing.SCENARIOS["proxy"], None, "cpu")
    return dataclasses.replace(whole, side=side, folder=str(folder), **(SMALL | changes))


@pytest.mark.parametrize("paired", [False, True])
def test_partners_are_those_that_trl_takes_and_no_row_meets_its_own_prompt(paired: bool) -> None:
    rows = make_rows(32, 512, paired=paired, prompt=60, completion=40)
    made = make_phase(settings(Path(), "ours", batch=8))
    plan = plan_both_can_follow(rows, made)
    assert sorted(row for batch in plan.batches for row in batch.rows) == list(range(32))
    for batch in plan.batches:
        assert batch.partners == (batch.rows[-1], *batch.rows[:-1])
        assert all(rows.prompts[row] != rows.prompts[other] for row, other in zip(batch.rows, batch.partners, strict=True))


def test_lengths_have_the_means_that_were_asked_for() -> None:
    rows = make_rows(2000, 512, paired=False, prompt=60, completion=40)
    assert sum(map(len, rows.prompts)) / 2000 == pytest.approx(60, rel=0.05)
    assert sum(map(len, rows.completions)) / 2000 == pytest.approx(41, rel=0.05)


@pytest.mark.parity
def test_ours_and_trls_trainers_lose_the_same_step_by_step(tmp_path: Path) -> None:
    raced: dict[str, racing.Raced] = {}
    for side in SIDES:
        heard: list[Any] = []
        race(settings(tmp_path / side, side, paired=True), heard.append, lambda: None)
        set_up, *times, totals = heard
        assert isinstance(set_up, SetUp) and isinstance(totals, Totals)
        assert [time.step for time in times] == [1, 2, 3]
        raced[side] = racing.Raced(set_up, [time.seconds for time in times[1:]], totals)
        assert totals.bytes_at_peak > 1e8 and totals.flops[0] > 0
    figures = racing._figures(raced, settings(tmp_path, ""), racing.SCENARIOS["paired"])
    assert len(set(raced["ours"].totals.losses)) > 1  # training moves it
    assert all(max(apart) <= 1e-5 for apart in figures.loss_differences.values())
    whole = BenchFigures("here", {"torch": "2"}, {"paired": figures})
    text = table(whole)
    assert "trl tuned" in text and "goal peak memory <= trl tuned" in text and text.count("goal >= 2.5 x trl tuned") == 1
    assert table(BenchFigures.from_json(json.loads(json.dumps(whole.to_json())))) == text


def test_rates_and_shares_are_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of which the first warms up: 2 x 4 rows, 150 tokens, 3e12 operations in 2 s on an H200 (989e12 in one)."""
    monkeypatch.setattr(racing, "_gpu", lambda: "NVIDIA H200")
    totals = Totals([0.5, 0.4, 0.3], [1_000, 100, 50], [1e15, 2e12, 1e12], 7)
    raced = {side: racing.Raced(SetUp(9.0), [seconds], totals) for side, seconds in zip(SIDES, (2.0, 8.0, 5.0), strict=True)}
    figures = racing._figures(raced, settings(Path(), "", device="cuda"), racing.SCENARIOS["proxy"])
    ours = figures.sides["ours"]
    assert (ours.seconds_per_step, ours.rows_per_second, ours.tokens_per_second) == (1.0, 4.0, 75.0)
    assert ours.mfu == pytest.approx(3e12 / 2 / 989e12) and figures.tokens_per_step == 75
    assert figures.times_faster == {"trl default": 4.0, "trl tuned": 2.5}
    assert [holds for _, holds in figures.verdicts()] == [True, True, True]


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989e12), ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("Tesla T4", None)],
)
def test_a_gpus_peak_is_its_data_sheets(name: str, peak: float | None) -> None:
    assert racing.peak_flops(name) == peak


def test_needed_operations_are_worked_by_hand() -> None:
    """2 a weight and token: forward and back through all, the gradient of what is trained, z over the completions."""
    import torch

    model = torch.nn.ModuleDict({"embed_tokens": torch.nn.Embedding(9, 9), "frozen": torch.nn.Linear(10, 3, bias=False)})
    model["adapter"] = torch.nn.Linear(5, 1, bias=False)
    for name in ("embed_tokens", "frozen"):
        model[name].requires_grad_(False)
    rows = make_rows(8, 512, paired=False, prompt=6, completion=4)
    plan = plan_both_can_follow(rows, make_phase(settings(Path(), "ours", batch=8)))
    tokens, completions = sum(rows.lengths), sum(map(len, rows.completions))
    assert needed_flops(model, rows, plan) == [2 * (2 * 35 + 5) * tokens + 2 * 35 * completions]


def test_the_peak_is_in_bytes_and_counts_from_where_it_was_cleared() -> None:
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_resident()
    held = bytearray(b"1") * 200_000_000
    gained = peak_resident() - before
    assert len(held) <= gained + 20_000_000 and gained < 1.5 * len(held)


def test_a_side_that_fails_is_one_line(tmp_path: Path) -> None:
    with (
        racing._started(settings(tmp_path, ""), "nobody") as side,
        pytest.raises(UserError, match="nobody failed .ValueError"),
    ):
        side.hear(SetUp)
