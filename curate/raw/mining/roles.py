"""How a table is understood: which column plays which role, and how its records become rows. `KINDS` is the whole list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from curate.core.policy import Policy
from curate.raw.files.records import Fields, Json
from curate.raw.mining.columns import RULES, WORDY, Bindings, TableSample, bind, words_of
from curate.raw.mining.labels.binding import LABEL_ROLES, LabelBindings, bind_labels
from curate.raw.mining.labels.label_names import asked
from curate.raw.mining.labels.makers import Question
from curate.raw.mining.messages import json_string
from curate.raw.mining.names import ALWAYS, CHATS, USES
from curate.raw.mining.pins import check, pinned, public_label, public_set, public_texts
from curate.raw.sources import Kind, SourceSettings

SAMPLE = 200  # records whose values are looked at
SAMPLE_BYTES = 16 << 20  # raw bytes of records that wait for their table to be understood


@dataclass(frozen=True)
class Roles:
    """How one table is understood.

    Attributes:
        kind: how its records become rows; None when no column holds a text.
        columns: role -> its columns, dotted where they are nested; most roles have one. "annotations.*" stands for whatever
            an object holds: who voted differs from record to record.
        known: the public set of the policy that the header shows, or None.
        json_text: whether the texts are written as JSON strings, quotes and all.
        answers: what 1, "yes" or true means in the columns of labels, as words beside it prove: toxic (true), non-toxic
            (false); null where the column's own name has to say it.
    """

    kind: Kind | None
    columns: Mapping[str, tuple[str, ...]]
    known: str | None = None
    json_text: bool = False
    answers: bool | None = None
    questions: tuple[Question, ...] = ()
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    jury: bool = False

    def column(self, role: str) -> str | None:
        """The one column of a role, or None."""
        columns = self.columns.get(role, ())
        return columns[0] if columns else None

    def to_json(self) -> dict[str, Json]:
        """For receipts and tables: column names only, no values; what is not there is left out."""
        maker = {"maker": self.questions[0].maker} if self.questions else {}
        sides: dict[str, Json] = {"sides": {text: list(names) for text, names in self.sides.items()}} if self.sides else {}
        apart: dict[str, Json] = {"apart": dict(self.apart)} if self.apart else {}
        return {
            "kind": self.kind,
            "known": self.known,
            "json_text": self.json_text,
            "answers": self.answers,
            "columns": {role: list(names) for role, names in self.columns.items()},
            **maker,
            **sides,
            **apart,
        }


@dataclass(frozen=True)
class KindRule:
    """Records are of a kind where all these roles have a column, and what it holds bears it out."""

    kind: Kind
    roles: tuple[str, ...]
    proof: Callable[[TableSample, Bindings], bool] = lambda sample, bindings: True


def _sides_are_texts(sample: TableSample, bindings: Bindings) -> bool:
    return all(words_of(sample.values[bindings[role][0]]) >= WORDY for role in ("toxic_text", "neutral"))


def _holds_lists(sample: TableSample, bindings: Bindings) -> bool:
    return any(isinstance(value, list) for value in sample.values[bindings["messages"][0]])


def _is_chat_log(sample: TableSample, _: Bindings) -> bool:
    return sample.form == "chat"


def _is_phone_backup(sample: TableSample, _: Bindings) -> bool:
    return sample.form == "xml" and {"address", "body", "thread"} <= set(sample.values)


def _is_messenger_export(sample: TableSample, _: Bindings) -> bool:
    return sample.form in ("json", "jsonl") and any(header <= set(sample.values) for header in CHATS)


KINDS: tuple[KindRule, ...] = (
    KindRule("preference", ("chosen", "rejected")),
    KindRule("ballot", ("response_a", "response_b", "preferred")),
    KindRule("parallel", ("toxic_text", "neutral"), _sides_are_texts),
    KindRule("messages", ("messages",), _holds_lists),
    KindRule("completion", ("prompt", "completion")),
    KindRule("completion", ("prompt", "instances")),
    KindRule("chat", ("text",), _is_chat_log),
    KindRule("chat", ("text",), _is_phone_backup),
    KindRule("chat", ("text",), _is_messenger_export),
    KindRule("chat", ("text", "turn", "author", "thread")),
    KindRule("thread", ("text", "parent", "id")),
    KindRule("thread", ("text", "thread")),
    KindRule("thread", ("text", "title")),
    KindRule("text", ("text",)),
)
"""How records become rows: the first rule that fits."""


def find_roles(records: Sequence[Fields], form: str, settings: SourceSettings, policy: Policy, place: str) -> Roles:
    """Understand a table by its first records.

    Args:
        records: their fields, as `flat` gives them.
        form: the reader's format; a chat log is a chat whatever its columns.
        settings: what the recipe says of the table; it wins.
        policy: which words and column names can be labels.
        place: the file, or the table within it, for errors.

    Raises:
        RecipeError: the recipe names a role or a column that is not there, or a kind whose columns are not.

    Example:
        >>> from curate.core.policy import load_policy
        >>> settings = SourceSettings(match="*")
        >>> roles = find_roles([{"body": "see you at the market", "is_toxic": 0}], "jsonl", settings, load_policy(), "a.jsonl")
        >>> roles.kind, dict(roles.columns)
        ('text', {'label': ('is_toxic',), 'text': ('body',)})
    """
    values: dict[str, list[Json]] = {}
    for fields in records:
        for column, value in fields.items():
            values.setdefault(column, []).append(value)
    sample = TableSample(place, form, settings, policy, len(records), values)
    texts = bind(sample, (*RULES, pinned, public_texts))
    kind = settings.mine or _kind(sample, texts)
    said = {role: columns for role, columns in pinned(sample, {}).items() if role in LABEL_ROLES}
    labels = bind_labels(sample, texts, kind, [column for columns in said.values() for column in columns])
    bindings = {role: columns for role, columns in texts.items() if role not in LABEL_ROLES} | labels.columns | said
    check(sample, bindings, kind)
    bindings |= public_label(sample, bindings)
    columns = _used(bindings, kind)
    json_text = "text" in columns and _all_json(values[columns["text"][0]])
    answers = None if sample.labels_pinned else labels.answers or _answers(sample, columns)
    questions = () if "label" in said or "votes" in said else labels.questions
    known = public_set(sample)
    return Roles(kind, columns, known, json_text, answers, questions, labels.sides, _apart(labels, columns), labels.jury)


def _apart(labels: LabelBindings, columns: Bindings) -> dict[str, str]:
    """The columns of labels that play no role after all, and why."""
    used = {column for names in columns.values() for column in names}
    return {column: why for column, why in sorted(labels.apart.items()) if column not in used}


def _kind(sample: TableSample, bindings: Bindings) -> Kind | None:
    fits = (rule.kind for rule in KINDS if all(role in bindings for role in rule.roles) and rule.proof(sample, bindings))
    return next(fits, None)


def _used(bindings: Bindings, kind: Kind | None) -> Bindings:
    """The roles that records of a kind use; how many voted says nothing where nobody says how many of them for what."""
    roles = {*ALWAYS, *USES[kind or "text"]} - ({"votes_total"} if "votes_toxic" not in bindings else set())
    return {role: bindings[role] for role in sorted(bindings) if role in roles}


def _answers(sample: TableSample, columns: Bindings) -> bool | None:
    """What an affirmative answer means, where words in the same columns prove it.

    Words that deny toxicity ("non-toxic", "noHate") answer the question whether a text is toxic, so 1 says that it is;
    words that deny its opposite ("unsafe", "not ok") answer the opposite question. Words that deny nothing, or both, prove
    nothing; neither do words that speak against the column's own name.
    """
    meanings: set[bool] = set()
    for column in _label_columns(sample, columns):
        words = {re.sub(r"[-_\s]", "", str(one).casefold()) for value in sample.values[column] for one in _each(value)}
        meanings |= {not toxic for word in words if (toxic := _denies(word, sample.policy)) is not None}
        by_name = sample.policy.label(asked(column), "yes").toxic
        meanings |= {by_name} if by_name is not None and meanings else set()
    return meanings.pop() if len(meanings) == 1 else None


def _label_columns(sample: TableSample, columns: Bindings) -> list[str]:
    """The columns of labels and votes; those within an object one by one."""
    names = [name for role in ("label", "votes") for name in columns.get(role, ())]
    return [
        column
        for name in names
        for column in sample.values
        if column == name or (name.endswith(".*") and column.startswith(name[:-1]))
    ]


def _denies(word: str, policy: Policy) -> bool | None:
    """What a label's word is by denying its opposite: "nontoxic" is false, "unsafe" true; null for one that denies nothing."""
    toxic = policy.label("", word).toxic
    denials = ("un", *policy.polarity.negations)
    rests = [policy.label("", word.removeprefix(denial)).toxic for denial in denials if word.startswith(denial)]
    return toxic if toxic is not None and (not toxic) in rests else None


def _each(value: Json) -> Sequence[Json]:
    if isinstance(value, list):
        return value
    return re.split(r"[;|,\[\]'\"]", value) if isinstance(value, str) and len(value) < 200 else [value]


def _all_json(values: Sequence[Json]) -> bool:
    return bool(values) and all(isinstance(value, str) and json_string(value) is not None for value in values)
