"""Progress on standard error: a bar with rows/s and time left on a terminal, a line every few seconds elsewhere.

Nothing where tqdm's own TQDM_DISABLE is set. Within `listening` a callback gets every step instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 10.0  # where there is no terminal, how often a line is worth printing


@dataclass(frozen=True)
class Step:
    """How far a piece of work is; as a text, one line for people.

    Attributes:
        label: what is being done: a stage, a phase; for a step that counts nothing, the whole line.
        done: units finished.
        total: how many there are; None when unknown.
        unit: what is counted; empty for a step that counts nothing.

    Example:
        >>> from curate.core.progress import Step
        >>> print(Step("near_duplicates", 1200, 4012, "rows"))
        near_duplicates: 1,200 of 4,012 rows
    """

    label: str
    done: int = 0
    total: int | None = None
    unit: str = ""

    def __str__(self) -> str:
        if not self.unit:
            return self.label
        return f"{self.label}: {self.done:,}{'' if self.total is None else f' of {self.total:,}'} {self.unit}"


Listener = Callable[[Step], object]

_listener: ContextVar[Listener | None] = ContextVar("progress", default=None)


@contextlib.contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Within this block, every step goes to a callback in place of the terminal; None changes nothing."""
    before = _listener.set(listener or _listener.get())
    try:
        yield
    finally:
        _listener.reset(before)


def remark(line: str) -> None:
    """Say one line beside the progress: to the callback, else on standard error."""
    listener = _listener.get()
    if listener is not None:
        listener(Step(line))
    else:
        sys.stderr.write(line + "\n")


class Progress:
    """Counts units of work; shows nothing for work that ends within a second.

    Args:
        label: what is being done, e.g. "near_duplicates".
        total: how many units there are; None when unknown.
        unit: what is counted.
    """

    def __init__(self, label: str, total: int | None, unit: str = "rows") -> None:
        """Start the clock."""
        self._label, self._unit, self._total = label, unit, total
        self._done, self._start = 0, time.monotonic()
        self._said = self._start
        self._listener = _listener.get()
        self._shown = not os.environ.get("TQDM_DISABLE")
        bar = sys.stderr.isatty() and self._listener is None
        self._bar = tqdm(total=total, desc=label, unit=f" {unit}", delay=1.0, leave=False) if bar else None

    def add(self, units: int) -> None:
        """Count more finished units."""
        self._done += units
        if self._listener is not None:
            self._listener(Step(self._label, self._done, self._total, self._unit))
        elif self._bar is not None:
            self._bar.update(units)
        elif self._shown and (now := time.monotonic()) - self._said >= LINE_SECONDS:
            self._said = now
            elapsed = now - self._start
            sys.stderr.write(self._line(elapsed) + "\n")

    def _line(self, elapsed: float) -> str:
        rate = self._done / elapsed
        if self._total is None:
            return f"{self._label}: {self._done:,} {self._unit}, {rate:,.0f}/s"
        left = tqdm.format_interval((self._total - self._done) / rate) if rate else "?"
        return f"{self._label}: {self._done:,} of {self._total:,} {self._unit}, {rate:,.0f}/s, {left} left"

    def __enter__(self) -> Self:
        """Enter."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars of transformers' own while it loads or saves a model: ours are the only ones."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
