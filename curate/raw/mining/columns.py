"""Which column plays which role: by its name, and by simple evidence in its values.

`RULES` is the whole of it, from first to last. A rule sees what those before it bound, and what it says wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.names import ANNOTATOR, NAMES, NESTED, NESTED_ROLES, NEUTRAL, TALLIES
from curate.raw.sources import SourceSettings

WORDY = 1.5  # mean words of a column from which it holds texts, not labels or names
DECISIONS = frozenset({"accept", "reject", "ignore"})
DEEP = 4  # how far nested objects are opened into dotted columns

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class TableSample:
    """The first records of a table, column by column, and what else is known of it.

    Attributes:
        place: the file, or the table within it, for errors.
        form: the reader's format; a chat log is a chat whatever its columns.
        settings: what the recipe says of it.
        policy: which words and column names can be labels.
        records: how many were looked at.
        values: column -> what they hold in it.
    """

    place: str
    form: str
    settings: SourceSettings
    policy: Policy
    records: int
    values: Mapping[str, Sequence[Json]]

    @property
    def labels_pinned(self) -> bool:
        """Whether the recipe itself says where labels are, or what they mean."""
        columns = self.settings.columns if self.records else {}
        return bool(self.settings.labels) or any(role in columns for role in ("label", "votes", "votes_toxic"))


Bindings: TypeAlias = dict[str, tuple[str, ...]]
"""Role -> the columns that play it."""

Rule: TypeAlias = Callable[[TableSample, Bindings], Bindings]
"""What a rule binds; no columns unbind a role."""


def bind(sample: TableSample, rules: Iterable[Rule]) -> Bindings:
    """Columns by role, as the rules say, one after the other."""
    bindings: Bindings = {}
    for rule in rules:
        bindings |= rule(sample, bindings)
        bindings = {role: columns for role, columns in bindings.items() if columns}
    return bindings


def flat(fields: Fields) -> dict[str, Json]:
    """Fields with nested objects opened: {"data": {"body": "x"}} becomes {"data.body": "x"}; lists stay."""
    if not any(isinstance(value, dict) for value in fields.values()):
        return dict(fields)
    columns: dict[str, Json] = {}
    stack: list[tuple[str, Fields, int]] = [("", fields, 1)]
    while stack:
        prefix, level, depth = stack.pop()
        for name, value in level.items():
            if isinstance(value, dict) and depth < DEEP:
                stack.append((f"{prefix}{name}.", value, depth + 1))
            else:
                columns[f"{prefix}{name}"] = value
    return columns


def leaf(column: str) -> str:
    """The last part of a dotted column."""
    return column.rsplit(".", 1)[-1]


def text_name(column: str) -> str:
    """What a text's column calls it: the last part, or, where that says only that it is a text, the part before."""
    outer, _, last = column.rpartition(".")
    return leaf(outer) if outer and plain_name(last) in NESTED else last


def plain_name(name: str) -> str:
    """A column's name as names are compared: lower case, words joined by '_', as in "isToxic" and "is toxic": is_toxic."""
    return _joined(_HUMP.sub("_", name))


def words_of(values: Sequence[Json]) -> float:
    """Mean number of words of a column's values that are texts."""
    counts = [len(value.split()) for value in values if isinstance(value, str) and value.strip()]
    return sum(counts) / len(counts) if counts else 0.0


def by_name(role: str, columns: Iterable[str]) -> str | None:
    """The column with the best of a role's names; of two with one name the outer one."""
    columns, names = sorted(columns, key=lambda column: column.count(".")), dict[str, str]()  # stable
    for column in columns:
        for name in (leaf(column), column):
            names.setdefault(plain_name(name), column)
            names.setdefault(_joined(name), column)
    if role in NESTED_ROLES:
        for column in columns:
            names.setdefault(plain_name(text_name(column)), column)
    return next((names[name] for name in NAMES[role] if name in names), None)


def named(sample: TableSample, _: Bindings) -> Bindings:
    """Every role whose name a column has."""
    return {role: (column,) for role in NAMES if (column := by_name(role, sample.values)) is not None}


def neutral_texts(sample: TableSample, _: Bindings) -> Bindings:
    """Rewrites stand in columns of such names that hold texts; there may be several."""
    values = sample.values
    return {"neutral": tuple(name for name in values if _is_neutral(name) and words_of(values[name]) >= WORDY)}


def votes(sample: TableSample, bindings: Bindings) -> Bindings:
    """Votes stand in an object, a column for each annotator, or numbered columns of a label's name; a bare number is none."""
    objects = {parent for column in sample.values if plain_name(leaf(parent := column.rpartition(".")[0])) in NAMES["votes"]}
    if objects:
        return {"votes": (f"{min(objects)}.*",)}
    for columns in (_annotators(sample), _numbered(sample)):
        if len(columns) > 1:
            return {"votes": columns}
    if "votes" in bindings and not any(_is_list(value) for value in sample.values[bindings["votes"][0]]):
        return {"votes": ()}  # a number of up-votes says nothing about toxicity
    return {}


def second_response(sample: TableSample, bindings: Bindings) -> Bindings:
    """A column plays one of two responses, not both."""
    first = bindings.get("response_a")
    if first is None or first != bindings.get("response_b"):
        return {}
    other = by_name("response_b", [column for column in sample.values if column != first[0]])
    return {"response_b": (other,) if other else ()}


def prompt_or_author(sample: TableSample, bindings: Bindings) -> Bindings:
    """`user` is who speaks where it holds single words, else what is said."""
    prompt = bindings.get("prompt")
    if prompt is None or prompt != bindings.get("author"):
        return {}
    return {"prompt" if len(sample.values) > 1 and words_of(sample.values[prompt[0]]) < 2 else "author": ()}


def prompt_once(_: TableSample, bindings: Bindings) -> Bindings:
    """A column that is the prompt is not also its input or its history."""
    prompt = bindings.get("prompt")
    return {role: () for role in ("input", "history") if prompt is not None and prompt == bindings.get(role)}


def decisions(sample: TableSample, bindings: Bindings) -> Bindings:
    """What an annotator decided is no text, though its column is called "answer"."""
    decision = decision_column(sample.values)
    return {role: () for role, columns in bindings.items() if decision in columns}


def decision_column(columns: Mapping[str, Sequence[Json]]) -> str | None:
    """The column "answer" that holds nothing but an annotator's decisions, as Prodigy writes it."""
    for column, values in columns.items():
        if plain_name(column) == "answer":
            cells = {str(value).strip().casefold() for value in values if value is not None}
            return column if cells and cells <= DECISIONS else None
    return None


def lone_text(sample: TableSample, bindings: Bindings) -> Bindings:
    """A completion needs a prompt and a prompt a completion; alone, either is a plain text, and so is the one wordy column."""
    prompt, completion, text = (bindings.get(role) for role in ("prompt", "completion", "text"))
    if completion and not prompt and text:
        return {"prompt": text}
    if text or (completion and prompt):
        return {}
    wordy = sorted(((words_of(values), column) for column, values in sample.values.items()), reverse=True)
    headless = tuple(column for _, column in wordy[:1] if re.fullmatch(r"column_\d+", column))
    alone = tuple(column for words, column in wordy if words >= 4)
    return {"text": completion or prompt or headless or (alone if len(alone) == 1 else ())}


RULES: tuple[Rule, ...] = (
    named,
    neutral_texts,
    votes,
    second_response,
    prompt_or_author,
    prompt_once,
    decisions,
    lone_text,
)
"""How columns are bound to roles where the recipe does not say it, from first to last."""


def _is_neutral(column: str) -> bool:
    return NEUTRAL.fullmatch(plain_name(leaf(column))) is not None


def _annotators(sample: TableSample) -> tuple[str, ...]:
    return tuple(column for column in sample.values if ANNOTATOR.fullmatch(plain_name(leaf(column))))


def _numbered(sample: TableSample) -> tuple[str, ...]:
    """The most columns that share a label's name and have a number each."""
    groups: dict[str, list[str]] = {}
    for column in sample.values:
        name = re.sub(r"\d+", "#", plain_name(leaf(column)))
        if "#" in name and not TALLIES.intersection(name.split("_")) and sample.policy.label(name, 1).toxic is not None:
            groups.setdefault(name, []).append(column)
    largest: list[str] = max(groups.values(), key=len, default=[])
    return tuple(largest)


def _is_list(value: Json) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and re.search(r"^\s*\[|[;|,]", value) is not None)


def _joined(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
