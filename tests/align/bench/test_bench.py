"""The bench races real trainers on the same rows, and says what it found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from align.bench import bench as racing
from align.bench.contender import SIDES, Settings, make_phase, make_rows, plan_both_can_follow, race
from curate.core.errors import UserError

SMALL: dict[str, Any] = {"hidden": 64, "layers": 1, "vocabulary": 64, "batch": 4, "steps": 3, "prompt": 12, "completion": 8}


def settings(folder: Path, side: str, **changes: Any) -> Settings:
    made = racing._settings(racing.SCENARIOS["proxy"], None, "cpu", SMALL | changes)
    return dataclasses.replace(made, side=side, folder=str(folder))


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
    found: dict[str, dict[str, Any]] = {}
    for side in SIDES:
        heard: list[dict[str, Any]] = []
        race(settings(tmp_path / side, side, paired=True), heard.append, lambda: None)
        assert [answer["step"] for answer in heard[1:-1]] == [1, 2, 3]
        found[side] = heard[0] | heard[-1] | {"seconds": [answer["seconds"] for answer in heard[2:-1]]}
        assert found[side]["bytes_at_peak"] > 1e8 and found[side]["flops"][0] > 0
    figures = racing._figures(found, settings(tmp_path, ""), racing.SCENARIOS["paired"])
    assert len(set(found["ours"]["losses"])) > 1  # training moves it
    assert all(max(apart) <= 1e-5 for apart in figures["loss_differences"].values())
    text = racing.table({"machine": "here", "versions": {"torch": "2"}, "scenarios": {"paired": json.loads(json.dumps(figures))}})
    assert "trl tuned" in text and "goal peak memory <= trl tuned" in text and text.count("goal >= 2.5 x trl tuned") == 1


def test_a_side_that_fails_is_one_line(tmp_path: Path) -> None:
    with (
        racing._started(settings(tmp_path, "nobody")) as side,
        pytest.raises(UserError, match="nobody failed .ValueError"),
    ):
        side.hear()
