"""What a record says about its own toxicity, read by the policy: one label, votes, or counts of votes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.core.policy import Policy
from curate.raw.mining.columns import leaf
from curate.raw.mining.roles import Roles
from curate.raw.sources import Source

LABELS = frozenset({"label", "votes", "votes_toxic"})
PROVEN = {True: "is_toxic", False: "is_safe"}  # the name that a column earns by the words in it
MOST_VOTES = 65_535  # what the column holds


@dataclass(frozen=True)
class Given:
    """A label as rows carry it: see `given`, `votes`, `evidence` and `category` in `schema.ROW`."""

    share: float | None = None
    votes: int = 0
    category: str | None = None

    @property
    def evidence(self) -> str | None:
        """One vote is a label that somebody gave; several are votes."""
        if self.share is None:
            return None
        return "votes" if self.votes > 1 else "human"


def given(fields: Mapping[str, Any], roles: Roles, settings: Source, policy: Policy) -> Given:
    """Read a record's label.

    The recipe's own `labels` come first, then the rules for the public set that the header shows, then votes, then the label.
    """
    if roles.known is None and not LABELS.intersection(roles.columns):
        return Given()
    pinned = {_spelling(word): toxic for word, toxic in settings.labels.items()}
    if roles.known is not None and not pinned:
        said = policy.label_record(roles.known, fields)
        if said.excluded or said.weak:
            return Given()
        counted = policy.votes(roles.known, fields)
        if counted is not None:
            return Given(counted[0], min(counted[1], MOST_VOTES), said.category if counted[0] > policy.share else None)
        if said.toxic is not None:
            return Given(float(said.toxic), 1, said.category if said.toxic else None)
    votes = _counts(fields, roles) or _ballots(fields, roles, pinned, policy)
    category = _category(fields, roles, policy)
    if votes is not None and votes[1]:
        toxic, total = votes
        return Given(toxic / total, min(total, MOST_VOTES), category if toxic / total > policy.share else None)
    column = roles.column("label")
    if column is None:
        return Given()
    value = fields.get(column)
    toxic_label, of_label = _toxic(column, value, pinned, policy, roles.answers)
    if toxic_label is None:
        return Given()
    return Given(float(toxic_label), 1, (category or of_label) if toxic_label else None)


def _toxic(
    column: str,
    value: Any,  # noqa: ANN401 - any JSON value
    pinned: Mapping[str, bool],
    policy: Policy,
    answers: bool | None,
) -> tuple[bool | None, str | None]:
    if pinned:
        return pinned.get(_spelling(value)), None
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None  # several labels on one record prove nothing
    said = policy.label(leaf(column), value)
    if said.toxic is None and answers is not None:
        said = policy.label(PROVEN[answers], value)
    return (None if said.excluded or said.weak else said.toxic), said.category


def _category(fields: Mapping[str, Any], roles: Roles, policy: Policy) -> str | None:
    column = roles.column("category")
    return None if column is None else policy.label(leaf(column), fields.get(column)).category


def _counts(fields: Mapping[str, Any], roles: Roles) -> tuple[int, int] | None:
    """Votes that say toxic and all votes, where the record counts them."""
    toxic, total, other = (
        None if column is None else _integer(fields.get(column))
        for column in (roles.column("votes_toxic"), roles.column("votes_total"), roles.column("votes_non_toxic"))
    )
    if toxic is None:
        return None
    everything = total if total is not None else None if other is None else toxic + other
    return (toxic, everything) if everything is not None and 0 <= toxic <= everything else None


def _ballots(fields: Mapping[str, Any], roles: Roles, pinned: Mapping[str, bool], policy: Policy) -> tuple[int, int] | None:
    """The same, where the record holds what each annotator said; one who abstains does not count."""
    columns = roles.columns.get("votes", ())
    if not columns:
        return None
    said: list[bool] = []
    if columns[0].endswith(".*"):
        columns = tuple(sorted(column for column in fields if column.startswith(columns[0][:-1])))
    for column in columns:
        value = fields.get(column)
        for vote in _listed(value) if len(columns) == 1 else [value]:
            toxic, _ = _toxic(column, vote, pinned, policy, roles.answers)
            said += [] if toxic is None else [toxic]
    return sum(said), len(said)


def _listed(value: Any) -> Sequence[Any]:  # noqa: ANN401 - any JSON value
    """A list of votes, also as text: '["toxic", "ok"]', "['toxic', 'ok']", "toxic;ok"."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            parsed = json.loads(text)
            return parsed if isinstance(parsed, list) else [parsed]
        except (ValueError, RecursionError):
            text = text[1:-1]
    return [part.strip().strip("'\"") for part in re.split(r"[;|,]", text)]


def _integer(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    text = "" if isinstance(value, bool) else str(value).strip()
    return int(text.removesuffix(".0")) if re.fullmatch(r"\d{1,9}(\.0)?", text) else None


def _spelling(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return str(value).strip().casefold()
