"""A step's line is its sums over its counts, and a journal's end is the mean of its last tenth: worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from align.training import journal
from align.training.journal import SUMS, Counts, Journal, line_of, summary

COUNTS = Counts(
    step=3, lr=0.5, rows=10, tokens=70, chosen_rows=4, rejected_rows=6, chosen_tokens=20, rejected_tokens=30, kl_count=5,
    reference=True, log_ratio_at_start=0.25,
)  # fmt: skip
VALUES = {
    "loss": 2.0,
    "reward_chosen": 8.0,
    "reward_rejected": 3.0,
    "log_prob_chosen": -40.0,
    "log_prob_rejected": -90.0,
    "log_ratio_mismatched": -2.5,
    "kl": 0.0,
    "grad_norm": 1.5,
}


def test_a_line_is_the_sums_over_the_counts() -> None:
    assert line_of(COUNTS, VALUES) == {
        "step": 3,
        "loss": 2.0,
        "lr": 0.5,
        "grad_norm": 1.5,
        "rows": 10,
        "tokens": 70,
        "logps/chosen": -2.0,  # a token
        "rewards/chosen": 2.0,  # a row
        "logps/rejected": -3.0,
        "rewards/rejected": 0.5,
        "rewards/margins": 1.5,
        "kl": 0.0,
        "kl_raw": -0.5,
        "kl_count": 5,
        "log_ratio_at_start": 0.25,
    }


def test_what_a_step_did_not_measure_is_not_in_its_line() -> None:
    plain = {"step", "loss", "lr", "grad_norm", "rows", "tokens"}
    sft = replace(COUNTS, rejected_rows=0, rejected_tokens=0, kl_count=None, reference=False, log_ratio_at_start=None)
    assert set(line_of(sft, VALUES)) == plain | {"logps/chosen"}
    assert set(line_of(replace(sft, reference=True), VALUES)) == plain | {"logps/chosen", "rewards/chosen"}
    one_row = line_of(replace(sft, chosen_rows=1, chosen_tokens=4), VALUES)
    assert one_row["logps/chosen"] == -10.0


def test_without_a_mismatched_row_z_rests_on_nothing_and_is_0() -> None:
    line = line_of(replace(COUNTS, kl_count=0), VALUES | {"log_ratio_mismatched": 0.0})
    assert (line["kl"], line["kl_raw"], line["kl_count"]) == (0.0, 0.0, 0)


def test_the_summary_is_the_mean_of_the_last_tenth_and_counts_z_over_all_steps() -> None:
    lines = [{"step": float(at), "loss": float(at), "kl": 0.5 if at % 5 == 0 else 0.0} for at in range(1, 26)]
    lines[0]["log_ratio_at_start"] = 0.125
    lines[-1]["rewards/margins"] = 3.0
    assert summary(lines) == {
        "loss": 24.5,  # of steps 24 and 25
        "kl": 0.25,
        "rewards/margins": 3.0,  # the one line that has it
        "log_ratio_at_start": 0.125,
        "kl_positive_share": 0.2,  # steps 5, 10, 15, 20 and 25
    }
    assert summary(lines[:5])["loss"] == 5.0, "of few steps the last one"
    assert "kl_positive_share" not in summary([{"step": 1.0, "loss": 1.0}])
    assert summary([]) == {}


def test_a_journal_writes_what_waits_and_says_how_fast_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    clock = iter([10.0, 14.0, 14.0])
    monkeypatch.setattr(journal, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    sums = torch.tensor([VALUES[name] for name in SUMS])
    book = Journal(tmp_path / "metrics.jsonl", 0)
    assert book.drain() == {}
    book.add(replace(COUNTS, step=1), sums)
    book.add(replace(COUNTS, step=2, rows=6, tokens=50), sums)
    newest = book.drain()
    assert newest["step"] == 2 and newest["loss"] == 2.0 and newest["logps/chosen"] == -2.0
    assert newest["rows/s"] == 16 / 4 and newest["tokens/s"] == 120 / 4
    assert book.drain() == newest, "nothing waits: no clock is read and nothing written"
    book.add(COUNTS, sums)
    assert book.drain()["rows/s"] == pytest.approx(10 / 1e-9), "no time at all counts as a nanosecond"
    written = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in written] == [1, 2, 3] and written[1] == newest
    assert book.summary() == summary(written)


def test_a_resumed_journal_cuts_away_what_it_writes_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": at, "loss": 1.0 * at}) + "\n" for at in (1, 2, 3, 4)))
    book = Journal(path, 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
    assert book.drain() == {"step": 2, "loss": 2.0} and book.summary() == {"loss": 2.0}


def test_a_process_that_does_not_write_sums_up_all_the_same() -> None:
    import torch

    book = Journal(None, 7)
    book.add(COUNTS, torch.tensor([VALUES[name] for name in SUMS]))
    assert book.drain()["rewards/margins"] == 1.5 and book.summary()["loss"] == 2.0
