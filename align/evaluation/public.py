"""Public evaluation sets: read from a user's file, or from a public commit that a recipe pins; none comes with the project."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.core.errors import DataError, RecipeError, StorageError
from curate.core.schema import digest
from curate.core.store import write_bytes

PINNED = re.compile(r"^https?://[^\s]+/[0-9a-f]{40}/[^\s]+$")
"""An address that names a commit: what it holds can never change."""

MOST_BYTES = 200_000_000  # of a file that is fetched
SECONDS = 60  # to wait for a server

Item = Mapping[str, Any]


def read_items(place: str, suite: str) -> list[Any]:
    """The records of a file: rows of a table as mappings, entries of JSON or JSON lines as they are.

    Args:
        place: path (from the working folder) or pinned https address; csv, tsv, json, jsonl or parquet, plain or gz.
        suite: for errors.

    Raises:
        RecipeError: an address that names no commit.
        DataError: no such file, or one that cannot be read so.
        StorageError: the address cannot be fetched.
    """
    path = _fetched(place, suite) if "://" in place else Path(place)
    name = path.name.removesuffix(".gz")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.name.endswith(".gz") else data
        return _parse(name, data)
    except FileNotFoundError:
        raise DataError(f"suite {suite}: {place}: no such file", hint="set `path` to your copy of the set") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"suite {suite}: {place}: cannot be read as {Path(name).suffix or 'a table'} ({error})") from None


def column(item: object, name: str, suite: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """One field of a record.

    Raises:
        DataError: there is no such field; those that there are are named.
    """
    if isinstance(item, Mapping) and name in item:
        return item[name]
    found = ", ".join(map(str, item)) if isinstance(item, Mapping) else type(item).__name__
    raise DataError(f"suite {suite}: found no column {name!r} in its file, but {found}", hint="is it the file of this set?")


def _parse(name: str, data: bytes) -> list[Any]:
    if name.endswith(".parquet"):
        import polars as pl

        return pl.read_parquet(io.BytesIO(data)).to_dicts()
    text = data.decode("utf-8-sig")
    if name.endswith((".csv", ".tsv")):
        return list(csv.DictReader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ","))
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, list) else [whole]
    except ValueError:
        return [json.loads(line) for line in text.split("\n") if line.strip()]


def _fetched(place: str, suite: str) -> Path:
    """The file of a pinned address, fetched once and kept."""
    if not PINNED.match(place):
        raise RecipeError(f"suite {suite}: {place}: names no commit", hint="use an address with the full commit, or a local file")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "margins" / "public"
    path = home / digest(place, size=8) / place.rsplit("/", 1)[1]
    if not path.is_file():
        try:
            with urllib.request.urlopen(place, timeout=SECONDS) as answer:  # noqa: S310 - https, or a local server in tests
                data = answer.read(MOST_BYTES + 1)
        except OSError as error:
            raise StorageError(
                f"suite {suite}: {place}: cannot be fetched ({error})", hint="download it and set `path` to it"
            ) from None
        if len(data) > MOST_BYTES:
            raise StorageError(
                f"suite {suite}: {place}: is larger than {MOST_BYTES:,} bytes", hint="download it and set `path` to it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
    return path


def chosen(prompts: list[Any], most: int | None, key: Callable[[Any], str]) -> list[Any]:
    """At most so many, the same ones whatever their order in the file."""
    return sorted(prompts, key=key)[:most]
