"""Which column plays which role, found by names and simple evidence in the values, or pinned by the recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.core.config import nearest
from curate.core.errors import RecipeError
from curate.core.policy import Policy
from curate.raw.mining.columns import Found, Values, by_content, by_name, leaf, words_of
from curate.raw.mining.names import ALWAYS, CHATS, NAMES, PINNABLE, SEVERAL, USES
from curate.raw.sources import Kind, Source

SAMPLE = 200  # records whose values are looked at
SAMPLE_BYTES = 16 << 20  # raw bytes of records that wait for their table to be understood
DEEP = 4  # how far nested objects are opened into dotted columns


@dataclass(frozen=True)
class Roles:
    """How one file is understood.

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

    def column(self, role: str) -> str | None:
        """The one column of a role, or None."""
        found = self.columns.get(role, ())
        return found[0] if found else None

    def plain(self) -> dict[str, Any]:
        """As JSON, for receipts and tables: column names only, no values."""
        return {
            "kind": self.kind,
            "known": self.known,
            "json_text": self.json_text,
            "answers": self.answers,
            "columns": {role: list(names) for role, names in self.columns.items()},
        }


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with nested objects opened: {"data": {"body": "x"}} becomes {"data.body": "x"}; lists stay."""
    if not any(isinstance(value, dict) for value in fields.values()):
        return dict(fields)
    opened: dict[str, Any] = {}
    stack = [("", fields, 1)]
    while stack:
        prefix, level, depth = stack.pop()
        for name, value in level.items():
            if isinstance(value, dict) and depth < DEEP:
                stack.append((f"{prefix}{name}.", value, depth + 1))
            else:
                opened[f"{prefix}{name}"] = value
    return opened


def find_roles(sample: Sequence[Mapping[str, Any]], form: str, settings: Source, policy: Policy, name: str) -> Roles:
    """Understand a file by its first records.

    Args:
        sample: their fields, as `flat` gives them.
        form: the reader's format; a chat log is a chat whatever its columns.
        settings: what the recipe says of the file; it wins.
        policy: which words and column names can be labels.
        name: the file, for errors.

    Raises:
        RecipeError: the recipe names a role or a column that is not there, or a kind whose columns are not.
    """
    values: dict[str, list[Any]] = {}
    for fields in sample:
        for column, value in fields.items():
            values.setdefault(column, []).append(value)
    pinned = _pinned(settings, values, name) if sample else {}
    found: Found = {role: (plays,) for role in NAMES if (plays := by_name(role, values)) is not None}
    found |= by_content(values, found, policy) | pinned
    own = settings.labels or any(role in pinned for role in ("label", "votes", "votes_toxic"))
    known = _known(settings, values, policy, name) or (None if own else policy.recognise(list(values), name))
    if known is not None and policy.sources[known].texts:
        texts = policy.sources[known].texts
        found["toxic_text"] = tuple(column for column, toxic in texts.items() if toxic and column in values)
        found["neutral"] = tuple(column for column, toxic in texts.items() if not toxic and column in values)
    found = {role: columns for role, columns in found.items() if columns}
    kind = settings.mine or _kind(found, form, values)
    if settings.labels and sample and "label" not in found and "votes" not in found:
        raise RecipeError(f"sources: {settings.match}: labels: {name} has no column for label", hint="name it under columns")
    if settings.instruction is not None and sample and kind not in ("text", None):
        raise RecipeError(
            f"sources: {settings.match}: instruction: {name} is read as {kind}, which has prompts of its own",
            hint="take the instruction out, or add 'mine: text'",
        )
    if settings.mine is not None and sample:
        _check_kind(settings.mine, found, values, name)
    if known is not None:
        found |= _rule_label(policy, known, found, values)
    if "votes_toxic" not in found:
        found.pop("votes_total", None)
    used = (*ALWAYS, *USES.get(kind or "text", ()))
    columns = {role: found[role] for role in sorted(found) if role in used}
    json_text = "text" in columns and _all_json(values[columns["text"][0]])
    return Roles(kind, columns, known, json_text, None if own else _answers(columns, values, policy))


def _answers(columns: Found, values: Values, policy: Policy) -> bool | None:
    """What an affirmative answer means, where words in the same columns prove it.

    Words that deny toxicity ("non-toxic", "noHate") answer the question whether a text is toxic, so 1 says that it is;
    words that deny its opposite ("unsafe", "not ok") answer the opposite question. Words that deny nothing, or both, prove
    nothing; neither do words that speak against the column's own name.
    """
    of = [name for role in ("label", "votes") for name in columns.get(role, ())]
    told = [
        column for name in of for column in values if column == name or (name.endswith(".*") and column.startswith(name[:-1]))
    ]
    found: set[bool] = set()
    for column in told:
        words = {re.sub(r"[-_\s]", "", str(one).casefold()) for value in values[column] for one in _each(value)}
        found |= {not toxic for word in words if (toxic := _denies(word, policy)) is not None}
        named = policy.label(leaf(column), "yes").toxic
        found |= {named} if named is not None and found else set()
    return found.pop() if len(found) == 1 else None


def _denies(word: str, policy: Policy) -> bool | None:
    """What a label's word is by denying its opposite: "nontoxic" is false, "unsafe" true; null for one that denies nothing."""
    said = policy.label("", word).toxic
    denials = ("un", *policy.polarity.negations)
    denied = [policy.label("", word.removeprefix(denial)).toxic for denial in denials if word.startswith(denial)]
    return said if said is not None and (not said) in denied else None


def _each(value: Any) -> Sequence[Any]:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return value
    return re.split(r"[;|,\[\]'\"]", value) if isinstance(value, str) and len(value) < 200 else [value]


def _rule_label(policy: Policy, known: str, found: Found, values: Values) -> Found:
    """The column that a public set's rules read; where none of them fits a value, it is read as any label is."""
    read = [column for rule in policy.sources[known].rules for column in rule.when if column in values]
    if not read or found.get("label", ("",))[0] in read:
        return {}
    return {"label": (read[0],)}


def _kind(found: Found, form: str, values: Values) -> Kind | None:
    def texts(*roles: str) -> bool:
        return all(role in found for role in roles)

    if texts("chosen", "rejected"):
        return "preference"
    if texts("response_a", "response_b", "preferred"):
        return "ballot"
    if texts("toxic_text", "neutral") and all(words_of(values[found[role][0]]) >= 1.5 for role in ("toxic_text", "neutral")):
        return "parallel"
    if "messages" in found and any(isinstance(value, list) for value in values[found["messages"][0]]):
        return "messages"
    if texts("prompt", "completion") or texts("prompt", "instances"):
        return "completion"
    sms = form == "xml" and {"address", "body", "thread"} <= set(values)
    messenger = form in ("json", "jsonl") and any(header <= set(values) for header in CHATS)
    if "text" in found and (form == "chat" or sms or messenger or texts("turn", "author", "thread")):
        return "chat"
    if "text" in found and (texts("parent", "id") or "thread" in found or "title" in found):
        return "thread"
    return "text" if "text" in found else None


def _pinned(settings: Source, values: Values, name: str) -> Found:
    told: Found = {}
    for role, said in settings.columns.items():
        where = f"sources: {settings.match}: columns"
        if role not in PINNABLE:
            raise RecipeError(f"{where}: no role {role!r}", hint=nearest(role, PINNABLE))
        columns = (said,) if isinstance(said, str) else tuple(said)
        if len(columns) != 1 and role not in SEVERAL:
            raise RecipeError(f"{where}: {role}: found {len(columns)} columns, expected one")
        for column in columns:
            if column not in values:
                raise RecipeError(f"{where}: {role}: {name} has no column {column!r}", hint=nearest(column, values))
        told[role] = columns
    return told


def _known(settings: Source, values: Values, policy: Policy, name: str) -> str | None:
    """The public set that the recipe says this is."""
    if settings.known is None:
        return None
    where = f"sources: {settings.match}: known"
    if settings.known not in policy.sources:
        raise RecipeError(f"{where}: no public set {settings.known!r}", hint=nearest(settings.known, policy.sources))
    missing = [column for column in policy.sources[settings.known].columns if column not in values]
    if missing and values:
        raise RecipeError(f"{where}: {name} has no column {missing[0]!r}, which {settings.known} has", hint="take this line out")
    return settings.known


def _check_kind(kind: Kind, found: Found, values: Values, name: str) -> None:
    needed = {"preference": 2, "ballot": 3, "parallel": 2, "completion": 2}.get(kind, 1)
    missing = [role for role in USES[kind][:needed] if not found.get(role)]
    if missing:
        raise RecipeError(
            f"sources: mine: {kind}: {name} has no column for {' and '.join(missing)}",
            hint=f"name them under columns (it has {', '.join(list(values)[:12])})",
        )


def _all_json(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, str) and json_string(value) is not None for value in values)


def json_string(text: str) -> str | None:
    """What a text says that is written as a JSON string; None when it is not."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, str) else None
