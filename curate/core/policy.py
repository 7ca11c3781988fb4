"""What "toxic" means here: `policy.yaml` read into types, and every label mapped by it.

The same 1 means opposite things under `is_toxic` and under `safe`, and nothing under `label`. A label is therefore read
together with its column's name, and one that proves nothing abstains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field

from curate.core.config import build, config, load, plain
from curate.core.errors import RecipeError
from curate.core.schema import canonical, digest

BUNDLED = Path(__file__).with_name("policy.yaml")


@dataclass(frozen=True)
class Label:
    """What a given label says under the policy.

    Attributes:
        toxic: None where it abstains.
        category: one of the policy's categories, where the label names one.
        why: what decided, in a few words, for `curate explain`; holds no text of the row.
        excluded: the label is about something other than toxicity.
        weak: good for training with a low weight, no evidence about the row.
    """

    toxic: bool | None
    category: str | None
    why: str
    excluded: bool = False
    weak: bool = False


@config
class Words:
    """Label spellings that speak for themselves."""

    toxic: dict[str, str | None]
    non_toxic: tuple[str, ...]
    abstain: tuple[str, ...]


@config
class Answers:
    """Values that answer a question which only the column's name can ask."""

    affirmative: tuple[str, ...]
    negative: tuple[str, ...]


@config
class Polarity:
    """Words of a column's name that say what an affirmative answer means."""

    toxic: tuple[str, ...]
    non_toxic: tuple[str, ...]
    negations: tuple[str, ...]


@config
class Rule:
    """One line of a source's mapping."""

    when: dict[str, tuple[str, ...]]
    toxic: bool | None = None
    category: str | None = None
    excluded: str | None = None
    weak: str | None = None


@config
class Votes:
    """Columns that count votes: those that say toxic, and the one that counts all."""

    toxic: tuple[str, ...]
    all: str


@config
class PublicSet:
    """How one public set maps to the policy."""

    title: str
    licence: str
    columns: tuple[str, ...]
    named: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    texts: dict[str, bool] = field(default_factory=dict)
    votes: Votes | None = None


@config
class Policy:
    """The policy page: see the comments in `policy.yaml`."""

    version: Annotated[int, Field(ge=1)]
    meaning: str
    categories: dict[str, str]
    words: Words
    answers: Answers
    polarity: Polarity
    share: Annotated[float, Field(gt=0, lt=1)]
    sources: dict[str, PublicSet]

    @cached_property
    def hash(self) -> str:
        """Digest of what the page says; comments and the order of keys do not count."""
        return digest(canonical(plain(self)))

    def label(self, column: str, value: object) -> Label:
        """What a value under a column's name says.

        Words ("Toxic ", "noHate") speak for themselves; answers (1, "yes", true) and shares in [0, 1] count only under a
        column whose name proves its polarity. A share on the threshold, anything unknown, and nothing at all abstain.

        >>> load_policy().label("is_toxic", 1).toxic, load_policy().label("safe", 1).toxic, load_policy().label("label", 1).toxic
        (True, False, None)
        """
        word = _key(value)
        if word in self._words:
            toxic, category = self._words[word]
            return Label(toxic, category, f"{column}: the word {word!r}" if word else f"{column}: no value")
        share = self._share(value, word)
        if share is None:
            return Label(None, None, f"{column}: not a label that the policy knows")
        meaning = self._polarity(column)
        if meaning is None:
            return Label(None, None, f"{column}: the column's name does not say what {word!r} means")
        return Label(self.side(share if meaning else 1.0 - share), None, f"{column} = {word}")

    def side(self, share: float) -> bool | None:
        """True above the policy's share, false below, None on it."""
        return None if share == self.share else share > self.share

    def recognise(self, columns: Collection[str], path: str | None = None) -> str | None:
        """Name of the public set whose header this is: the one that asks for most columns, or None.

        Args:
            columns: the header.
            path: of the file; it must bear out a header that any file may have. None: as if it did.
        """
        present, place = set(columns), None if path is None else path.casefold()
        fits = [
            (len(source.columns), name)
            for name, source in self.sources.items()
            if present.issuperset(source.columns)
            and (place is None or not source.named or any(word in place for word in source.named))
        ]
        return max(fits)[1] if fits else None

    def label_record(self, source: str, fields: Mapping[str, object]) -> Label:
        """What the record of a public set says, by the set's own rules; abstains where none fits.

        Args:
            source: a key of `sources`, as `recognise` gives it.
            fields: the record's columns.
        """
        for rule in self.sources[source].rules:
            if all(_key(fields.get(column)) in {_key(one) for one in values} for column, values in rule.when.items()):
                if rule.excluded is not None:
                    return Label(None, None, f"{source}: excluded, {rule.excluded}", excluded=True)
                if rule.weak is not None:
                    return Label(rule.toxic, rule.category, f"{source}: weak, {rule.weak}", weak=True)
                conditions = ", ".join(f"{column} = {_key(fields.get(column))}" for column in rule.when)
                return Label(rule.toxic, rule.category, f"{source}: {conditions}")
        return Label(None, None, f"{source}: no rule fits")

    def votes(self, source: str, fields: Mapping[str, object]) -> tuple[float, int] | None:
        """Share of votes that say toxic, and how many there were; None without vote columns or counts in them."""
        columns = self.sources[source].votes
        if columns is None:
            return None
        try:
            total = int(str(fields.get(columns.all)))
            toxic = sum(int(str(fields.get(name))) for name in columns.toxic)
        except ValueError:
            return None
        return (toxic / total, total) if total > 0 and 0 <= toxic <= total else None

    def labeler_scores(self, columns: Iterable[str]) -> list[str]:
        """Of a table's columns those with a labeler's score of toxicity, not those with its scores of categories.

        >>> load_policy().labeler_scores(["id", "score_head", "score_hf", "score_hf_sexual", "score"])
        ['score_head', 'score_hf']
        """
        return [
            name
            for name in columns
            if name.startswith("score_") and not name.endswith(tuple(f"_{one}" for one in self.categories))
        ]

    @cached_property
    def _words(self) -> dict[str, tuple[bool | None, str | None]]:
        table: dict[str, tuple[bool | None, str | None]] = {_key(word): (None, None) for word in self.words.abstain}
        table |= {_key(word): (False, None) for word in self.words.non_toxic}
        return table | {_key(word): (True, category) for word, category in self.words.toxic.items()}

    def _share(self, value: object, word: str) -> float | None:
        """An answer as 0 or 1, a number in [0, 1] as itself (a decimal comma is one), anything else as None."""
        if word in self.answers.affirmative:
            return 1.0
        if word in self.answers.negative:
            return 0.0
        try:
            number = float(value) if isinstance(value, (int, float)) else float(str(value).strip().replace(",", ".", 1))
        except ValueError:
            return None
        return number if 0.0 <= number <= 1.0 else None

    def _polarity(self, column: str) -> bool | None:
        """True where an affirmative answer means toxic, False where it means non-toxic, None where the name proves neither."""
        words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", column)]
        toxic = any(word in self.polarity.toxic for word in words)
        non_toxic = any(word in self.polarity.non_toxic for word in words)
        if toxic == non_toxic:
            return None
        negated = sum(word in self.polarity.negations for word in words) % 2 == 1
        return toxic != negated


@cache
def load_policy(path: Path = BUNDLED) -> Policy:
    """Read a policy page, once per path.

    Raises:
        RecipeError: unreadable, a key misspelt, a category that is not on the page, or a spelling that means two things.
    """
    tree = load(path)
    for group in ("words", "answers", "polarity", "sources"):
        if not isinstance(tree.get(group), dict):
            raise RecipeError(f"{path}: {group}: expected 'key: value' lines", hint="write them as curate/core/policy.yaml does")
    policy = build(
        Policy,
        tree
        | {
            "words": build(Words, tree["words"], f"{path}: words"),
            "answers": build(Answers, tree["answers"], f"{path}: answers"),
            "polarity": build(Polarity, tree["polarity"], f"{path}: polarity"),
            "sources": {name: _public_set(source, f"{path}: sources.{name}") for name, source in tree["sources"].items()},
        },
        str(path),
    )
    _check(policy, path)
    return policy


def _public_set(tree: object, where: str) -> PublicSet:
    if isinstance(tree, dict) and isinstance(tree.get("rules"), list):
        tree = tree | {"rules": tuple(build(Rule, rule, f"{where}.rules[{at}]") for at, rule in enumerate(tree["rules"]))}
    return build(PublicSet, tree, where)


def _check(policy: Policy, path: Path) -> None:
    named = [category for category in policy.words.toxic.values() if category]
    named += [rule.category for source in policy.sources.values() for rule in source.rules if rule.category]
    for category in named:
        if category not in policy.categories:
            raise RecipeError(f"{path}: no category {category!r}", hint=f"one of {', '.join(policy.categories)}")
    spellings = [_key(word) for word in (*policy.words.toxic, *policy.words.non_toxic, *policy.words.abstain)]
    spellings += [*policy.answers.affirmative, *policy.answers.negative]
    for word in spellings:
        if spellings.count(word) > 1:
            raise RecipeError(f"{path}: words: {word!r} means two things", hint="keep one")


def _key(value: object) -> str:
    """A label in the spelling that the page compares by; a JSON object is its true keys, sorted, joined by '+'."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column with holes reads 1 as 1.0
    text = str(value).strip()
    if text.startswith("{"):
        try:
            tree = json.loads(text)
        except ValueError:
            return text.casefold()
        text = "+".join(sorted(str(name) for name, holds in tree.items() if holds is True))
    if not any(character.isalpha() for character in text):
        return text  # -1 is not 1
    return re.sub(r"[-_\s]", "", text.casefold())
