"""Take candidates in order until their caps are met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl


def take(candidates: pl.DataFrame, caps: Mapping[str | tuple[str, ...], int]) -> pl.Series:
    """Which candidates are taken, visited from the first line to the last.

    Args:
        candidates: best first; the caller settles ties.
        caps: column, or columns together -> how often one value (or tuple) may be taken.

    Returns:
        Boolean, one per candidate.

    >>> take(pl.DataFrame({"a": [1, 1, 2], "b": [5, 6, 5]}), {"a": 1, "b": 1}).to_list()
    [True, False, False]
    """
    keys = [candidates.select(names) for names in caps]
    used: list[Counter[tuple[Any, ...]]] = [Counter() for _ in caps]
    taken = []
    for line in zip(*(frame.iter_rows() for frame in keys), strict=True):
        free = all(count[key] < most for count, key, most in zip(used, line, caps.values(), strict=True))
        taken.append(free)
        if free:
            for count, key in zip(used, line, strict=True):
                count[key] += 1
    return pl.Series(taken, dtype=pl.Boolean)
