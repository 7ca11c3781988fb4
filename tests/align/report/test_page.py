"""report.html of a run: curves of what is there, completions only when asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from align.data.results import PhaseResult, RunResults
from align.report.page import report


def test_a_curve_ends_where_a_kill_cut_its_file_and_a_missing_file_is_named(results: RunResults, tmp_path: Path) -> None:
    (tmp_path / "1-kto").mkdir()
    lines = "".join(json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in (1, 2, 3))
    (tmp_path / "1-kto" / "metrics.jsonl").write_text(lines + '{"step": 4, "lo')
    phases = [PhaseResult(name, 3, 9, {}, {}, None) for name in ("1-kto", "2-dpo")]
    page = report(replace(results, phases=phases), tmp_path)
    assert page.count("<polyline") == 1 and ">3</text>" in page and "metrics.jsonl is not there" in page


def test_completions_are_shown_only_when_asked_for(results: RunResults, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    item = {"id": "p" * 32, "completion": "the laksa is nice", "judge": {"toxic": False}}
    (tmp_path / "base" / "heldout.jsonl").write_text(json.dumps(item) + "\n")
    results = replace(results, checkpoints=results.checkpoints[:1])
    assert "laksa" not in report(results, tmp_path)
    assert "the laksa is nice" in report(results, tmp_path, show_text=True)
