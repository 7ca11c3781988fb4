"""Whether text is a table: its delimiter, whether quotes mean anything in it, and whether it has a header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath

DELIMITERS = (",", "\t", ";", "|")
SAMPLE = 300  # records that the sniffer looks at
AGREE = 0.8  # share of records of one width from which a delimiter is believed
AGREE_UNNAMED = 0.95  # the same, when nothing looks like a header

_NAME = re.compile(r"[^\W\d][\w .:/()\-]{0,40}", re.UNICODE)


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        delimiter: one of `DELIMITERS`.
        quoted: whether quotes enclose fields; otherwise they are characters like any other.
        width: columns.
    """

    delimiter: str
    quoted: bool
    width: int


def sniff(head: bytes, name: str) -> Dialect | None:
    """The dialect of a table's beginning, or None when it is no table.

    Args:
        head: the first bytes of the text.
        name: the file's name: ".csv" and ".tsv" decide where the content leaves it open, as with a single column.
    """
    text = head.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    whole = text[: text.rfind("\n") + 1] or text  # the last line may be cut
    best: tuple[bool, float, int, bool, Dialect] | None = None
    for delimiter in DELIMITERS:
        for quoted in (True, False):
            records = _records(whole, delimiter, quoted)
            if not records:
                continue
            width, votes = Counter(map(len, records)).most_common(1)[0]
            share = votes / len(records)
            named = len(records[0]) == width and header_of(records[0], name) is not None
            if width < 2 or share < (AGREE if named else AGREE_UNNAMED):
                continue
            if not named and (len(records) < 3 or not (delimiter == "\t" or _says_table(name))):
                continue
            found = (named, round(share, 2), width, quoted, Dialect(delimiter, quoted, width))
            if best is None or found[:4] > best[:4]:
                best = found
    if best is not None:
        return best[4]
    return Dialect(",", True, 1) if _says_table(name) else None


def header_of(cells: list[str], name: str) -> list[str] | None:
    """Column names, when a first record looks like them: short, distinct, no numbers, no sentences. An empty one gets a name.

    One cell by itself is a header only where it is a single lower-case word: "text", not a first sentence.
    """
    named = [cell.strip() for cell in cells]
    while len(named) > 1 and not named[-1]:
        named.pop()
    if len(named) == 1:
        return named if re.fullmatch(r"[A-Za-z][a-z_]{2,20}", named[0]) and _says_table(name) else None
    filled = [cell for cell in named if cell]
    if len(set(filled)) < len(filled) or len(filled) < 0.5 * len(named):
        return None
    if not all(map(is_name, filled)):
        return None
    return [cell or f"column_{index + 1}" for index, cell in enumerate(named)]


def is_name(cell: str) -> bool:
    """Whether a cell may name a column: a few words, of which the first begins with a letter."""
    return _NAME.fullmatch(cell) is not None and len(cell.split()) <= 4


def _says_table(name: str) -> bool:
    return any(suffix.lower() in (".csv", ".tsv", ".tab") for suffix in PurePath(name).suffixes)


def _records(text: str, delimiter: str, quoted: bool) -> list[list[str]]:
    """The first records of a text; what strict quoting refuses ends the sample and counts as one record of its own width."""
    lines = (f"{line}\n" for line in text.split("\n") if line.strip())
    records: list[list[str]] = []
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)
    while len(records) < SAMPLE:
        try:
            records.append(next(reader))
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end" in str(error):
                break  # a record cut by the end of the sample
            records.append([])
    return records
