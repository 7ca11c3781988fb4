"""Personal data replaced by typed pseudonyms, numbered within a record."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from curate.text.personal.patterns import Finding, find

_PSEUDONYM = re.compile(r"<([A-Z]{2,10})_([0-9]{1,6})>")


def pseudonymised(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replace the personal data of texts that belong together.

    Args:
        texts: the messages of a row, oldest first, then its completion; one numbering for all.

    Returns:
        The texts, and the type of every replacement, sorted.

    >>> pseudonymised(["call me 9123 4567", "is it +65 91234567?"])
    (['call me <PHONE_1>', 'is it <PHONE_1>?'], ['PHONE', 'PHONE'])
    """
    return replace_pieces(texts, [find(text) for text in texts])


def replace_pieces(texts: Sequence[str], pieces: Sequence[Sequence[Finding]]) -> tuple[list[str], list[str]]:
    """As `pseudonymised`, where what was found in each text is known already."""
    last: dict[str, int] = defaultdict(int)
    for text in texts:
        for kind, number in _PSEUDONYM.findall(text):
            last[kind] = max(last[kind], int(number))
    numbers: dict[tuple[str, str], int] = {}
    replaced, types = [], []
    for text, findings in zip(texts, pieces, strict=True):
        parts, position = [], 0
        for start, end, kind, value in findings:
            if (kind, value) not in numbers:
                last[kind] += 1
                numbers[kind, value] = last[kind]
            parts += [text[position:start], f"<{kind}_{numbers[kind, value]}>"]
            position = end
            types.append(kind)
        replaced.append("".join([*parts, text[position:]]))
    return replaced, sorted(types)
