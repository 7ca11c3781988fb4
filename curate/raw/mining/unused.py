"""Columns that play no role: no row holds them, and the work folder keeps them."""

from __future__ import annotations

from collections.abc import Collection

from curate.core.policy import Policy
from curate.core.schema import canonical
from curate.raw.files.records import Fields, Json
from curate.raw.mining.roles import Roles


def used_columns(roles: Roles, policy: Policy) -> frozenset[str]:
    """The columns that rows are made of, or that a public set's own rules read; none where no column holds a text."""
    if roles.kind is None:
        return frozenset()
    used = {column for columns in roles.columns.values() for column in columns}
    if roles.known is not None:
        public = policy.sources[roles.known]
        votes = (*public.votes.toxic, public.votes.all) if public.votes is not None else ()
        used |= {*public.columns, *votes, *public.texts, *(column for rule in public.rules for column in rule.when)}
    return frozenset(used)


def is_used(column: str, used: Collection[str]) -> bool:
    """Whether a column is one of them; "annotations.*" stands for all within an object."""
    return column in used or f"{column.rpartition('.')[0]}.*" in used


def unused(fields: Fields, used: Collection[str]) -> dict[str, Json]:
    """What a record says in the other columns; what says nothing is left out."""
    return {column: value for column, value in fields.items() if value not in (None, "") and not is_used(column, used)}


def as_json(fields: Fields) -> str:
    """Fields as JSON that any file takes: half of a surrogate pair as its escape."""
    return canonical(fields).encode("utf-8", "backslashreplace").decode("utf-8")
