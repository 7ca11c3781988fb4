"""The suite loop: one checkpoint measured by every suite, its items kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from align.evaluation.subject import Measured
from align.evaluation.suites import SUITES, Subject, Suite
from curate.core.config import chosen_name, file_word
from curate.core.contracts import own_code
from curate.core.store import write_text


def measure(suites: Sequence[Suite], subject: Subject, folder: Path | None, *, prefix: str = "") -> dict[str, dict[str, object]]:
    """Run each suite on one checkpoint, in order.

    Args:
        suites: what is measured.
        subject: the checkpoint, its judges and how completions are drawn.
        folder: where each suite's items go, one JSON line each, into `<prefix><suite>.jsonl`; None keeps none.
        prefix: of the files' names.

    Returns:
        The suites' figures by suite name, as JSON values.
    """
    figures: dict[str, dict[str, object]] = {}
    for suite in suites:
        name = chosen_name(SUITES, suite)
        with own_code(name):
            measured = suite(subject)
            if not isinstance(measured, Measured):
                raise TypeError(f"gave back {type(measured).__name__}, not Measured")
        if folder is not None:
            lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in measured.items)
            write_text(folder / f"{prefix}{file_word(name)}.jsonl", "".join(lines))
        figures[name] = measured.values
    return figures
