"""Progress on standard error: a bar with rows/s and time left on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 10.0  # where there is no terminal, how often a line is worth printing


class Progress:
    """Counts units of work; shows nothing for work that ends within a second.

    Args:
        label: what is being done, e.g. "near_duplicates".
        total: how many units there are; None when unknown.
        unit: what is counted.
    """

    def __init__(self, label: str, total: int | None, unit: str = "rows") -> None:
        """Start the clock."""
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            desc=label,
            unit=f" {unit}",
            delay=1.0,
            leave=False,
            file=sys.stderr,
            dynamic_ncols=terminal,
            mininterval=0.2 if terminal else LINE_SECONDS,
            ascii=None if terminal else True,
        )

    def add(self, units: int) -> None:
        """Count more finished units."""
        self._bar.update(units)

    def __enter__(self) -> Self:
        """Enter."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Take the bar away."""
        self._bar.close()
