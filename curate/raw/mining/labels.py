"""What a record says about its own toxicity, read by the policy: one label, votes, or counts of votes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.columns import leaf
from curate.raw.mining.roles import Roles
from curate.raw.sources import SourceSettings

LABELS = frozenset({"label", "votes", "votes_toxic"})
PROVEN = {True: "is_toxic", False: "is_safe"}  # the name that a column earns by the words in it
MOST_VOTES = 65_535  # what the column holds


@dataclass(frozen=True)
class GivenLabel:
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


NO_LABEL = GivenLabel()


def given_label(fields: Fields, roles: Roles, settings: SourceSettings, policy: Policy) -> GivenLabel:
    """Read a record's label.

    The recipe's own `labels` come first, then the rules for the public set that the header shows, then votes, then the label.
    """
    if roles.known is None and not LABELS.intersection(roles.columns):
        return NO_LABEL
    pinned = {_spelling(word): toxic for word, toxic in settings.labels.items()}
    if roles.known is not None and not pinned:
        by_rule = _by_public_rule(fields, roles.known, policy)
        if by_rule is not None:
            return by_rule
    votes = _counts(fields, roles) or _ballots(fields, roles, pinned, policy)
    category = _category(fields, roles, policy)
    if votes is not None and votes[1]:
        toxic, total = votes
        return _voted(toxic / total, total, category, policy)
    column = roles.column("label")
    if column is None:
        return NO_LABEL
    is_toxic, of_label = _read(column, fields.get(column), pinned, policy, roles.answers)
    if is_toxic is None:
        return NO_LABEL
    return GivenLabel(float(is_toxic), 1, (category or of_label) if is_toxic else None)


def _by_public_rule(fields: Fields, known: str, policy: Policy) -> GivenLabel | None:
    """What the rules of a public set say of a record; None where they leave it to its columns."""
    label = policy.label_record(known, fields)
    if label.excluded or label.weak:
        return NO_LABEL
    votes = policy.votes(known, fields)
    if votes is not None:
        return _voted(*votes, label.category, policy)
    if label.toxic is not None:
        return GivenLabel(float(label.toxic), 1, label.category if label.toxic else None)
    return None


def _voted(share: float, total: int, category: str | None, policy: Policy) -> GivenLabel:
    return GivenLabel(share, min(total, MOST_VOTES), category if share > policy.share else None)


def _read(
    column: str, value: Json, pinned: Mapping[str, bool], policy: Policy, answers: bool | None
) -> tuple[bool | None, str | None]:
    """Whether a cell says toxic, and of which category; null where it says neither."""
    if pinned:
        return pinned.get(_spelling(value)), None
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None  # several labels on one record prove nothing
    label = policy.label(leaf(column), value)
    if label.toxic is None and answers is not None:
        label = policy.label(PROVEN[answers], value)
    return (None if label.excluded or label.weak else label.toxic), label.category


def _category(fields: Fields, roles: Roles, policy: Policy) -> str | None:
    column = roles.column("category")
    return None if column is None else policy.label(leaf(column), fields.get(column)).category


def _counts(fields: Fields, roles: Roles) -> tuple[int, int] | None:
    """Votes that say toxic and all votes, where the record counts them."""
    toxic, total, other = (
        None if column is None else _integer(fields.get(column))
        for column in (roles.column("votes_toxic"), roles.column("votes_total"), roles.column("votes_non_toxic"))
    )
    if toxic is None:
        return None
    everything = total if total is not None else None if other is None else toxic + other
    return (toxic, everything) if everything is not None and 0 <= toxic <= everything else None


def _ballots(fields: Fields, roles: Roles, pinned: Mapping[str, bool], policy: Policy) -> tuple[int, int] | None:
    """The same, where the record holds what each annotator said; one who abstains does not count."""
    columns = roles.columns.get("votes", ())
    if not columns:
        return None
    ballots: list[bool] = []
    if columns[0].endswith(".*"):
        columns = tuple(sorted(column for column in fields if column.startswith(columns[0][:-1])))
    for column in columns:
        value = fields.get(column)
        for vote in _listed(value) if len(columns) == 1 else [value]:
            toxic, _ = _read(column, vote, pinned, policy, roles.answers)
            ballots += [] if toxic is None else [toxic]
    return sum(ballots), len(ballots)


def _listed(value: Json) -> Sequence[Json]:
    """A list of votes, also as text: '["toxic", "ok"]', "['toxic', 'ok']", "toxic;ok"."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            parsed: Json = json.loads(text)
            return parsed if isinstance(parsed, list) else [parsed]
        except (ValueError, RecursionError):
            text = text[1:-1]
    return [part.strip().strip("'\"") for part in re.split(r"[;|,]", text)]


def _integer(value: Json) -> int | None:
    text = "" if isinstance(value, bool) else str(value).strip()
    return int(text.removesuffix(".0")) if re.fullmatch(r"\d{1,9}(\.0)?", text) else None


def _spelling(value: Json) -> str:
    return str(value).strip().casefold()
