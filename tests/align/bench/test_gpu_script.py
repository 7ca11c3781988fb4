"""`benchmarks/gpu.sh` does without a GPU, at toy size, what it does with one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "gpu.sh"


def told(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=280, check=False, env=environment)


def test_packing_is_checked_before_anything_is_raced() -> None:
    done = told("--checks")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no GPU, toy size" in done.stdout and "packed against alone, grouped queries, float32" in done.stdout


@pytest.mark.skipif(not os.environ.get("MARGINS_TORTURE"), reason="three trainers in processes of their own; `make torture`")
def test_the_race_runs_at_toy_size() -> None:
    done = told()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "trl tuned" in done.stdout and "ours" in done.stdout


def test_the_goals_are_read_off_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu

    ours = {"rows_per_second": 125.0, "mfu": 0.5}
    found = gpu.verdicts({"scenarios": {"proxy": {"sides": {"ours": ours}, "times_faster": {"trl tuned": 1.5}}}})
    assert found == [
        "proxy: goal >= 2 x trl tuned: 1.50: MISSED",
        "proxy: goal MFU >= 45%: 50.0%: reached",
        "proxy: goal <= 2 x the floor of 4.4 ms a row: 8.0 ms: reached",
    ]
