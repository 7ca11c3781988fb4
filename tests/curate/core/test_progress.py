"""Progress where there is no terminal, and none from transformers."""

from __future__ import annotations

import pytest

from curate.core import progress
from curate.core.progress import Progress, quiet


def test_a_line_now_and_then_says_how_far_and_how_long_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 1.0, 20.0])
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with Progress("read", 400, "rows") as bar:
        bar.add(10)
        bar.add(90)
    assert capsys.readouterr().err == "read: 100 of 400 rows, 5/s, 01:00 left\n"


def test_bars_of_transformers_come_back_as_they_were() -> None:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    with quiet():
        assert not logging.is_progress_bar_enabled()
        with quiet():
            pass
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled() == shown
