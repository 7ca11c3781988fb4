"""Copies of a record are counted exactly, in memory and on disk."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from curate.raw.files.occurrences import Occurrences


@pytest.mark.parametrize("most_held", [3, 1 << 16])
def test_copies_are_counted_exactly_wherever_the_count_is_held(most_held: int) -> None:
    draw, seen, counter = random.Random(5), Counter[tuple[str, bytes]](), Occurrences(most_held)
    for _ in range(500):
        table, raw = draw.choice(["", "posts"]), b"%d" % draw.randrange(60)
        assert counter.count(table, raw) == seen[table, raw]
        seen[table, raw] += 1
    counter.close()
