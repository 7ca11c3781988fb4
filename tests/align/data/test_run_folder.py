"""The files of a run's folder, read back: as they were written, without what a kill cut short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from align.data.figures import Agreement, Crash, Divergence, SuiteFigures, Tally, TextFigures
from align.data.results import Checkpoint
from align.data.run_folder import RESULTS, read_measured, read_metrics, read_results, write_measured
from align.statistics import wilson
from curate.core.errors import DataError


def tally(**more: object) -> Tally:
    half, none = wilson(1, 2), wilson(0, 2)
    return Tally(2, 2, 0, 0, half, half, none, None, ended=1.0, distinct=2, mean_tokens=3.5, **more)


def test_a_last_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1, "loss": 0.5}]


def test_a_checkpoint_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    whole = tally(
        others={"truth": wilson(2, 2)},
        agreement={"judge and truth": Agreement(1, 2)},
        crashed={"truth": Crash(1, "ValueError")},
        overlap=3,
        kl=Divergence(0.1, None, 0.4, 7),
    )
    extras = {"qa": {"biased": wilson(1, 4), "n": 4}, "gap": None, "p": 0.5}
    retention = SuiteFigures(texts={"neutral": TextFigures(2.5, 3, 9, None), "clean": TextFigures(None, 0, 0, None)})
    written = Checkpoint("base", {"retention": retention, "heldout": SuiteFigures(whole, {"a": tally()}, extras=extras)})
    write_measured(tmp_path, written)
    read = read_measured(tmp_path, ["retention", "heldout"])
    assert read == written and read is not None and list(read.suites) == ["retention", "heldout"]
    assert read_measured(tmp_path / "elsewhere", []) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ('{"format": 99}', "is not of format 1"),
        (json.dumps({"format": 1, "name": "a"}), "is not as this version writes it.*'key'"),
    ],
)
def test_results_that_cannot_be_read_say_so(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_results(tmp_path)
    assert caught.value.hint is not None and "recipe" in caught.value.hint
