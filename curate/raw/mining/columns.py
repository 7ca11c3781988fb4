"""Which column plays which role: by its name, and by simple evidence in its values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curate.core.policy import Policy
from curate.raw.mining.names import ANNOTATOR, MACHINE, NAMES, NEUTRAL, NUMBERED

LABELS_FIT = 0.9  # share of a column's values that the policy must know for it to be labels without being named so

Values = Mapping[str, list[Any]]
Found = dict[str, tuple[str, ...]]


def leaf(column: str) -> str:
    """The last part of a dotted column."""
    return column.rsplit(".", 1)[-1]


def by_name(role: str, columns: Iterable[str]) -> str | None:
    """The column with the best of a role's names; of two with one name the outer one."""
    names: dict[str, str] = {}
    for column in sorted(columns, key=lambda column: column.count(".")):  # stable
        for name in (leaf(column), column):
            names.setdefault(plain_name(name), column)
            names.setdefault(_joined(name), column)
    return next((names[name] for name in NAMES[role] if name in names), None)


def by_content(values: Values, found: Found, policy: Policy) -> Found:
    """What names alone leave open."""
    told: Found = {}
    neutral = tuple(
        column for column in values if NEUTRAL.fullmatch(plain_name(leaf(column))) and words_of(values[column]) >= 1.5
    )
    if neutral:
        told["neutral"] = neutral
    annotators = tuple(column for column in values if ANNOTATOR.fullmatch(plain_name(leaf(column))))
    each = {column.rpartition(".")[0] for column in values if plain_name(leaf(column.rpartition(".")[0])) in NAMES["votes"]}
    if each:
        told["votes"] = tuple(f"{parent}.*" for parent in sorted(each)[:1])
    elif len(annotators) > 1:
        told["votes"] = annotators
    elif len(several := _numbered(values, policy)) > 1:
        told["votes"] = several
    elif "votes" in found and not any(_is_list(value) for value in values[found["votes"][0]]):
        told["votes"] = ()  # a number of up-votes says nothing about toxicity
    told |= _label(values, policy)
    if "response_a" in found and found["response_a"] == found.get("response_b"):
        others = [column for column in values if column != found["response_a"][0]]
        other = by_name("response_b", others)
        told["response_b"] = (other,) if other else ()
    told |= _text(values, found)
    return told


def _numbered(values: Values, policy: Policy) -> tuple[str, ...]:
    """Columns that share a label's name and have a number each, all of them filled with labels."""
    groups: dict[str, list[str]] = {}
    for column in values:
        if (found := NUMBERED.fullmatch(plain_name(leaf(column)))) and policy.label(found[1], 1).toxic is not None:
            groups.setdefault(found[1], []).append(column)
    largest = sorted(groups.values(), key=lambda group: -len(group))
    return tuple(largest[0]) if largest else ()


def _label(values: Values, policy: Policy) -> Found:
    """The label's column: of those so named, or whose name proves a polarity, the first that the policy can read."""
    named = {plain_name(leaf(column)): column for column in reversed(list(values))}
    candidates = [named[name] for name in NAMES["label"] if name in named]
    candidates += [column for column in values if column not in candidates and policy.label(leaf(column), 1).toxic is not None]
    candidates += [column for column in values if column not in candidates and _says_toxic(column, values[column], policy)]
    candidates = [column for column in candidates if words_of(values[column]) < 3]
    for column in candidates:
        if any(policy.label(leaf(column), value).toxic is not None for value in values[column]):
            return {"label": (column,)}
    return {"label": tuple(candidates[:1])}


def _says_toxic(column: str, cells: Sequence[Any], policy: Policy) -> bool:
    """Whether a column holds labels whatever its name: hardly anything but words of the policy, of both sides."""
    if MACHINE.search(plain_name(leaf(column))):
        return False
    known = ("", *policy.words.abstain, *policy.answers.affirmative, *policy.answers.negative)
    said = Counter(str(cell).strip().casefold() for cell in cells if isinstance(cell, (str, int, bool)))
    sides = {word: policy.label("", word).toxic for word in said}
    fit = sum(count for word, count in said.items() if sides[word] is not None or word in known)
    return {True, False} <= set(sides.values()) and fit >= LABELS_FIT * said.total() > 0


def _text(values: Mapping[str, list[Any]], found: Found) -> Found:
    """A completion needs a prompt and a prompt a completion; alone, either is a plain text, and so is the one wordy column."""
    told: Found = {}
    prompt, completion, text = found.get("prompt"), found.get("completion"), found.get("text")
    if prompt is not None and prompt == found.get("author") and len(values) > 1 and words_of(values[prompt[0]]) < 2:
        prompt = told["prompt"] = ()  # `user` is who speaks, not what is said
    elif prompt is not None and prompt == found.get("author"):
        told["author"] = ()
    if prompt and prompt == found.get("input"):
        told["input"] = ()
    if prompt and prompt == found.get("history"):
        told["history"] = ()
    if completion and not prompt and text:
        told["prompt"] = text
    elif not text and not (completion and prompt):
        wordy = sorted(((words_of(rows), column) for column, rows in values.items()), reverse=True)
        alone = [column for words, column in wordy if words >= 4]
        headless = [column for _, column in wordy[:1] if re.fullmatch(r"column_\d+", column)]
        told["text"] = completion or prompt or tuple(headless or (alone if len(alone) == 1 else ()))
    return {role: columns for role, columns in told.items() if columns or role in found}


def words_of(values: Sequence[Any]) -> float:
    """Mean number of words of a column's values that are texts."""
    counts = [len(value.split()) for value in values if isinstance(value, str) and value.strip()]
    return sum(counts) / len(counts) if counts else 0.0


def _is_list(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, list) or (isinstance(value, str) and re.search(r"^\s*\[|[;|,]", value) is not None)


def plain_name(name: str) -> str:
    """A column's name as names are compared: lower case, words joined by '_', as in "isToxic" and "is toxic": is_toxic."""
    return _joined(_HUMP.sub("_", name))


def _joined(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
