"""Shared by the tests of mining: records that need no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from curate.core.policy import load_policy
from curate.core.schema import canonical
from curate.raw.formats import Record
from curate.raw.mining.columns import flat
from curate.raw.mining.kinds import TableContext
from curate.raw.mining.miner import Miner
from curate.raw.mining.roles import Roles, find_roles
from curate.raw.mining.threads import Threads
from curate.raw.sources import SourceSettings

EVERY = SourceSettings(match="*")


def understand(records: Sequence[dict[str, Any]], settings: SourceSettings = EVERY, form: str = "jsonl") -> Roles:
    return find_roles([flat(fields) for fields in records], form, settings, load_policy(), "a.jsonl")


@pytest.fixture
def roles_of() -> Callable[..., Roles]:
    """How records are understood."""
    return understand


@pytest.fixture
def mine() -> Callable[..., list[list[dict[str, Any]] | str]]:
    """The rows of each record, or the reason why it has none."""

    def rows(
        records: Sequence[dict[str, Any]], settings: SourceSettings = EVERY, form: str = "jsonl"
    ) -> list[list[dict[str, Any]] | str]:
        roles = understand(records, settings, form)
        threads = Threads(map(flat, records), roles) if roles.kind == "thread" else None
        miner = Miner(TableContext("a.jsonl", roles, settings, load_policy(), b"key"), threads)
        return [miner(Record(fields, canonical(fields).encode(), f"line {at + 1}")) for at, fields in enumerate(records)]

    return rows
