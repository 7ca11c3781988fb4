"""Draw dialogues from grammar.txt: a prompt, and replies whose truth (toxic or not) is known because they were made so."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
SLOT = re.compile(r"\{(\w+)\}")
CAPITALISED = 0.06  # share of texts that begin with a capital letter
TRIES = 2000  # draws before a list counts as too small for what is asked of it

Item = TypeVar("Item")


class Draw:
    """A source of chance that draws alike on every Python: of `random`, only `random()` promises that.

    Args:
        seed: anything that names the stream; streams of different names are independent.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return int(self._random() * n)

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.below(len(items))]

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self._random() < share

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in another order."""
        return [item for _, _, item in sorted((self._random(), position, item) for position, item in enumerate(items))]


def read_grammar(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section -> list name -> phrases, from lines `name: a | b` that continue on indented lines."""
    sections: dict[str, dict[str, list[str]]] = {}
    lists: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            lists = sections.setdefault(line.strip("[]"), {})
            continue
        if not line.startswith(" "):
            name, line = line.split(":", 1)
        lists.setdefault(name, []).extend(phrase.strip() for phrase in line.split("|") if phrase.strip())
    return sections


def read_truth(path: Path = HERE / "truth.txt") -> re.Pattern[str]:
    """The pattern of the hidden truth: a text is toxic if and only if `search` finds it in the casefolded text."""
    return re.compile(
        r"\b(?:" + "|".join(re.escape(line) for line in path.read_text(encoding="utf-8").split("\n") if line) + r")\b"
    )


@dataclass(frozen=True)
class Reply:
    """A reply and whether it is truly toxic."""

    text: str
    toxic: bool


@dataclass(frozen=True)
class Dialogue:
    """A prompt with its replies.

    Attributes:
        prompt: never toxic.
        replies: at least one.
        thing: what it is about, for a title.
        follow_up: one more ordinary reply on the same matter.
    """

    prompt: str
    replies: tuple[Reply, ...]
    thing: str
    follow_up: str


class Language:
    """The grammar with a memory: no prompt and no reply is drawn twice."""

    def __init__(self, seed: int) -> None:
        self.grammar = read_grammar(HERE / "grammar.txt")
        self.truth = read_truth()
        self.seed = seed
        self._topics = [name for name in self.grammar if name.startswith("topic ")]
        self._used: set[str] = set()

    def draw(self, name: str) -> Draw:
        """The stream of chance of one file."""
        return Draw(f"{self.seed}/{name}")

    def dialogue(self, draw: Draw, kind: str, toxic: Sequence[bool]) -> Dialogue:
        """A prompt of a kind ("provoking" | "benign") with one reply for each entry of `toxic`."""
        topic = self.grammar[draw.pick(self._topics)]
        bound = {"thing": draw.pick(topic["thing"]), "town": draw.pick(self.grammar["common"]["town"])}
        common = self.grammar["common"]
        lists = {name: common.get(name, []) + topic.get(name, []) for name in {**common, **topic}}
        prompt = self._fresh(draw, "provoke" if kind == "provoking" else kind, lists, bound, False)
        gentle = "calm_reply" if kind == "provoking" else "ordinary"
        replies = [Reply(self._fresh(draw, "toxic_reply" if bad else gentle, lists, bound, bad), bad) for bad in toxic]
        return Dialogue(prompt, tuple(replies), bound["thing"], self._fresh(draw, gentle, lists, bound, False))

    def neutral(self, draw: Draw, count: int) -> list[tuple[str, str]]:
        """`count` questions of every neutral family with their answers; what holds of an entity holds in every answer."""
        found = []
        common = self.grammar["neutral common"]
        for family in (name for name in self.grammar if name.startswith("neutral ") and name != "neutral common"):
            lists = self.grammar[family]
            detail = next(name for name in common if any(f"{{{name}}}" in question for question in lists["question"]))
            facts = {entity: {fact: draw.pick(lists[fact]) for fact in ("fact1", "fact2")} for entity in lists["entity"]}
            asked = [
                (question, entity, value)
                for question in lists["question"]
                for entity in lists["entity"]
                for value in common[detail]
            ]
            for question, entity, value in draw.shuffled(asked)[:count]:
                bound = {"entity": entity, detail: value, **facts[entity]}
                found.append((expand(draw, question, lists, bound), expand(draw, draw.pick(lists["answer"]), lists, bound)))
        if any(self.truth.search(text.casefold()) for pair in found for text in pair):
            raise ValueError("grammar.txt, truth.txt: a neutral text holds a marker")
        return [found[position] for position in draw.shuffled(range(len(found)))]

    def foreign(self, draw: Draw) -> str:
        """A sentence or two in a language that the language stage drops."""
        return self._fresh(
            draw, "both", {**self.grammar["foreign"], "both": ["{opener} {text}.", "{text}.", "{text}. {text2}."]}, {}, False
        )

    def _fresh(self, draw: Draw, name: str, lists: Mapping[str, list[str]], bound: Mapping[str, str], toxic: bool) -> str:
        for _ in range(TRIES):
            text = expand(draw, draw.pick(lists[name]), lists, bound)
            if draw.chance(CAPITALISED):
                text = text[0].upper() + text[1:]
            if text.casefold() in self._used:
                continue
            self._used.add(text.casefold())
            if (self.truth.search(text.casefold()) is not None) != toxic:
                raise ValueError(f"grammar.txt, truth.txt: a text drawn from '{name}' is not what its markers say")
            return text
        raise ValueError(f"grammar.txt: '{name}' holds too few phrases for the number of texts asked for")


def expand(draw: Draw, template: str, lists: Mapping[str, list[str]], bound: Mapping[str, str]) -> str:
    """Fill the slots of a template.

    Args:
        draw: the stream of chance.
        template: text with {slots}; a slot such as {fact2} that is no list of its own draws from the list `fact`, and
            never what that list gave to this text before.
        lists: list name -> phrases, which hold slots themselves.
        bound: slots that are decided.
    """
    used: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name in bound:
            return bound[name]
        phrases = lists.get(name) or lists[name.rstrip("0123456789")]
        fresh = [phrase for phrase in phrases if phrase not in used and phrase != bound.get("town")] or phrases
        phrase = draw.pick(fresh)
        used.add(phrase)
        return SLOT.sub(fill, phrase)

    return SLOT.sub(fill, template)
