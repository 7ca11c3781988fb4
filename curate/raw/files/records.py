"""What a reader gives: a record, or bytes that are none and why."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from curate.raw.files.container import Undecodable

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""Any JSON value."""

Fields: TypeAlias = Mapping[str, Json]
"""A record's columns by name."""

MAX_DEPTH = 64  # of nested JSON; data that people annotate is nested three or four deep
_SUSPECT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        fields: its columns by name; values are JSON values, and text where the format has no types.
        raw: its bytes as the file has them (as UTF-8, where the file is UTF-16; as canonical JSON, where it is binary).
        locator: where in the file, for people: "line 412".
        table: which table of a file that holds several, each with columns of its own; "" where there is but one.
    """

    fields: Fields
    raw: bytes
    locator: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes that should be a record and are none: they go to quarantine."""

    raw: bytes
    locator: str
    reason: str


def parse_json(text: str, raw: bytes) -> Json:
    """One JSON value that can be stored as Unicode.

    Raises:
        Undecodable: not JSON, nested too deep, or holding NUL or half of a surrogate pair.
    """
    try:
        value: Json = json.loads(text)
    except RecursionError:
        raise Undecodable(f"JSON nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise Undecodable(f"not JSON: {error.msg.lower()} at character {error.pos + 1}") from None
    except ValueError:
        raise Undecodable("not JSON: a number of too many digits") from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Undecodable(f"JSON nested deeper than {MAX_DEPTH}")
    if _SUSPECT.search(raw):
        encoded = json.dumps(value, ensure_ascii=False)
        if "\\u0000" in encoded:
            raise Undecodable("holds NUL")
        try:
            encoded.encode("utf-8")
        except UnicodeEncodeError:
            raise Undecodable("holds half of a surrogate pair") from None
    return value


def record_of(value: Json, raw: bytes, locator: str) -> Record | Broken:
    """A JSON value as a record: an object, or a text by itself."""
    if isinstance(value, dict):
        return Record(value, raw, locator)
    if isinstance(value, str):
        return Record({"text": value}, raw, locator)
    kind = {list: "a list", bool: "true or false", type(None): "null"}.get(type(value), "a number")
    return Broken(raw, locator, f"expected an object or a text, found {kind}")


def _depth(value: Json) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(node, dict):
            stack.extend((inner, depth + 1) for inner in node.values() if isinstance(inner, (dict, list)))
        elif isinstance(node, list):
            stack.extend((inner, depth + 1) for inner in node if isinstance(inner, (dict, list)))
    return deepest
