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
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from align.evaluation.asking import Prompt
from curate.core.errors import DataError, RecipeError, StorageError
from curate.core.schema import digest
from curate.core.store import write_bytes

PINNED = re.compile(r"^https?://[^\s]+/[0-9a-f]{40}/[^\s]+$")
"""An address that names a commit: what it holds can never change."""

MOST_BYTES = 200_000_000  # of a file that is fetched
SECONDS = 60  # to wait for a server

SetPath = Annotated[str, Field(min_length=1)]
"""A public set's file: a path from the working folder, or an address that names a commit."""

Limit = Annotated[int, Field(ge=1)] | None
"""At most so many prompts, the same ones for every run; None takes all."""


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


@dataclass(frozen=True)
class PublicRecord:
    """One record of a public set.

    Attributes:
        suite: whose it is, for errors and for the prompts' names.
        values: as the file has them.
    """

    suite: str
    values: object

    def field(self, name: str) -> object:
        """One field.

        Raises:
            DataError: there is no such field; those that there are are named.
        """
        if isinstance(self.values, Mapping) and name in self.values:
            return self.values[name]
        there = ", ".join(map(str, self.values)) if isinstance(self.values, Mapping) else type(self.values).__name__
        raise DataError(
            f"suite {self.suite}: found no column {name!r} in its file, but {there}", hint="set `path` to the file of this set"
        )

    def text(self, name: str) -> str:
        """One field as text."""
        return str(self.field(name))

    def prompt(self, text: str, cluster: str | None = None, *, benign: bool = False, stop: str = "") -> Prompt:
        """Somebody's message, named by its text; see `Prompt`. Without a cluster it is alone."""
        name = digest(self.suite, text)
        return Prompt(name, [{"role": "user", "content": text}], name if cluster is None else cluster, benign=benign, stop=stop)


def read_prompts(place: str, suite: str, prompt_of: Callable[[PublicRecord], Prompt | None], most: int | None) -> list[Prompt]:
    """The prompts of a public set.

    Args:
        place: see `read_items`.
        suite: its name.
        prompt_of: makes a prompt of a record, or None where the set has none there.
        most: at most so many, the same ones whatever their order in the file; None takes all.

    Raises:
        UserError: the file cannot be read, or is of another set.
    """
    prompts = [prompt_of(PublicRecord(suite, values)) for values in read_items(place, suite)]
    return chosen(list({prompt.id: prompt for prompt in prompts if prompt}.values()), most)


def chosen(prompts: list[Prompt], most: int | None) -> list[Prompt]:
    """At most so many, the same ones whatever their order in the file."""
    return sorted(prompts, key=lambda prompt: prompt.id)[:most]


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
