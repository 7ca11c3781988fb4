"""What was forgotten, as keyed hashes: enough to know a text or a record again, never enough to read it.

The hashes are HMACs under the work folder's key, so the file tells nothing without the key. A text is remembered in two
forms: as mining found it, which holds whatever later versions of repair or pii do; and as `--out` shows it, without the
numbers of pseudonyms, by which every copy is known that repair and pii make equal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curate.core.errors import StorageError
from curate.core.schema import canonical, digest
from curate.core.store import write_json
from curate.raw.files.records import Json
from curate.text.normalise import normalise
from curate.text.personal.pseudonyms import pseudonymised
from curate.text.repair import repaired

FILE = "tombstones.json"
REASON = "forgotten"  # why ingest skips a record
_NUMBER = re.compile(r"<([A-Z]{2,10})_[0-9]{1,6}>")
_KINDS = ("texts", "records", "rows")


@dataclass(frozen=True)
class Tombstones:
    """The forgotten texts, the records they stood in, and the rows of those records.

    Attributes:
        key: of the HMACs.
        texts: completions, each in both forms.
        records: every record with a row that holds one of them; known again under another recipe too.
        rows: ids, so that forgetting twice is not an error.
    """

    key: bytes
    texts: frozenset[str] = frozenset()
    records: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything was forgotten."""
        return bool(self.texts or self.records)

    @property
    def hash(self) -> str | None:
        """Digest of all of them; None where nothing was forgotten."""
        return digest(canonical({kind: sorted(getattr(self, kind)) for kind in _KINDS})) if self else None

    def mark(self, kind: str, value: str) -> str:
        """The HMAC of one text, record id or row id."""
        return hmac.new(self.key, f"\0{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    def text_marks(self, text: str) -> frozenset[str]:
        """The marks of a text in both forms; none of a text of blanks."""
        return frozenset(self.mark("text", form) for form in _forms(text))

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row as mining made it comes from a forgotten record or holds a forgotten text."""
        if self.mark("record", row["record"]) in self.records:
            return True
        return any(map(self.knows, texts_of(row)))

    def knows(self, text: str) -> bool:
        """Whether a text is a forgotten one."""
        return not self.texts.isdisjoint(self.text_marks(text))

    def within(self, value: Json) -> bool:
        """Whether one of the texts in a JSON value is a forgotten one."""
        if isinstance(value, str):
            return bool(self) and self.knows(value)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        return bool(self) and any(map(self.within, inner))

    def joined(self, texts: Iterable[str] = (), records: Iterable[str] = (), rows: Iterable[str] = ()) -> Tombstones:
        """These and more; texts, record ids and row ids as they are."""
        marks = {mark for text in texts for mark in self.text_marks(text)}
        return Tombstones(
            self.key,
            self.texts | marks,
            self.records | {self.mark("record", name) for name in records},
            self.rows | {self.mark("row", name) for name in rows},
        )

    def write(self, work: Path) -> None:
        """Keep them in the work folder."""
        marks = {kind: sorted(getattr(self, kind)) for kind in _KINDS}
        write_json(work / FILE, marks | {"key": _fingerprint(self.key), "digest": digest(canonical(marks))})


def load_tombstones(work: Path, key: bytes) -> Tombstones:
    """What was forgotten in a work folder; nothing, where nothing was.

    Raises:
        StorageError: the file was changed, or made under another key: ignoring it would bring back what was forgotten.
    """
    path = work / FILE
    try:
        content = json.loads(path.read_bytes())
        marks = {kind: content[kind] for kind in _KINDS}
        whole = content["digest"] == digest(canonical(marks))
        same_key = content["key"] == _fingerprint(key)
    except FileNotFoundError:
        return Tombstones(key)
    except (OSError, ValueError, KeyError, TypeError):
        whole, same_key, marks = False, True, {}
    if not whole:
        raise StorageError(f"{path}: is not as `curate forget` wrote it", hint="restore it, or what was forgotten comes back")
    if not same_key:
        raise StorageError(
            f"{path}: was made under another author.key", hint="restore that key, or what was forgotten comes back"
        )
    return Tombstones(key, *(frozenset(marks[kind]) for kind in _KINDS))


def texts_of(row: Mapping[str, Any]) -> Iterator[str]:
    """The completion and every message of the prompt."""
    yield row["completion"] or ""
    for message in row["prompt"] or ():
        yield message["content"] or ""


@lru_cache(maxsize=4096)
def _forms(text: str) -> tuple[str, ...]:
    shown = _NUMBER.sub(r"<\1>", pseudonymised([repaired(text)])[0][0])
    return tuple({form for form in (normalise(text), normalise(shown)) if form})


def _fingerprint(key: bytes) -> str:
    return digest("tombstones", key)
