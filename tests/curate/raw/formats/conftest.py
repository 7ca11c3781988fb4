"""Shared by the tests of formats: what no damage to a file may do."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from curate.raw.files.lines import KEPT
from curate.raw.formats import READERS, Broken, Record, Stream


@pytest.fixture
def mutants_are_read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Reads a file of the module's FORM with some of its bytes replaced, many times over.

    None crashes the reader; every record can be stored, of what is broken only so much is kept, and both kinds come.
    """

    def check(seed: bytes, marks: Sequence[bytes], rounds: int) -> None:
        chance, path = random.Random(9), tmp_path / "mutant"
        kinds: set[type] = set()
        for _ in range(rounds):
            data = bytearray(seed)
            for _ in range(chance.randrange(1, 8)):
                at = chance.randrange(len(data))
                data[at : at + chance.randrange(0, 9)] = chance.choice(marks)
            path.write_bytes(bytes(data) or b"x")
            for entry in READERS[request.module.FORM](Stream(path)):
                assert entry.locator
                kinds.add(type(entry))
                if isinstance(entry, Record):
                    assert entry.raw and json.dumps(entry.fields, ensure_ascii=False).encode()
                else:
                    assert entry.reason and len(entry.raw) <= KEPT
        assert kinds == {Record, Broken}

    return check
