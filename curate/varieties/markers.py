"""Score how much a text reads like a variety: weighted markers, added up, as a number in [0, 1] with its reasons.

The arithmetic is a logistic model whose weights people wrote and can read, not one that was fitted: the score ranks texts and
has a meaningful middle, but it is no calibrated probability.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from curate.core.schema import digest


@dataclass(frozen=True)
class Reading:
    """What a variety makes of a text.

    Attributes:
        score: in [0, 1]; 0.5 is the middle.
        frame: share of the words that are known, in [0, 1]: words of the frame language and markers.
        words: how many words there were (Latin script).
        reasons: "group: marker", the heaviest first.
    """

    score: float
    frame: float
    words: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Construction:
    """A marker of several words."""

    name: str
    weight: float
    pattern: re.Pattern[str]
    example: str


@dataclass(frozen=True)
class WordEntry:
    """What is known of one word.

    Attributes:
        end: (group index, weight) at the end of a clause.
        anywhere: the same elsewhere.
        frame: whether it is a word of the frame language.
        triggers: constructions that are worth a look where it occurs; most texts have none.
    """

    word: str
    end: tuple[int, float] | None
    anywhere: tuple[int, float] | None
    frame: bool
    triggers: tuple[int, ...]


@dataclass(frozen=True)
class MarkerGroup:
    """Markers of one kind, which together add at most `cap`."""

    name: str
    why: str
    cap: float


@dataclass(frozen=True)
class Variety:
    """Markers of one variety; `hash` changes when any of them does.

    Attributes:
        name: the recipe's word.
        code: BCP 47 tag.
        table: every known word.
        names: words (lower case) that are names, and no markers, when spelt with a capital: "LA"; a text all in capitals
            says nothing of the kind.
    """

    name: str
    code: str
    bias: float
    frame_weight: float
    frame_centre: float
    groups: tuple[MarkerGroup, ...]
    table: dict[str, WordEntry]
    names: frozenset[str]
    constructions: tuple[Construction, ...]
    hash: str

    def read(self, text: str) -> Reading:
        """Read one text."""
        if "<" in text or "://" in text:
            text = _TOKEN.sub(" ", text)
        lowered = text.lower().replace("\u2019", "'")
        pairs = _WORDS.findall(lowered)
        if not pairs:
            return Reading(0.0, 0.0, 0, ())
        known = 0
        hits: dict[str, tuple[int, float]] = {}
        candidates: set[int] = set()
        opens = len(pairs) > 1  # "Ah, I see": what opens a clause does not end one
        for index, (word, gap) in enumerate(pairs, start=1):
            closes = index == len(pairs) or (gap != " " and bool(_CLAUSE_END.search(gap)))
            opened, opens = opens, closes
            entry = self.table.get(word) or self.table.get(_shortened(word))
            if entry is None:
                continue
            if entry.triggers:
                candidates.update(entry.triggers)
            hit = entry.anywhere
            if entry.end and not opened and (closes or pairs[index][0] in _LAUGHS):
                hit = entry.end
            known += hit is not None or entry.frame
            if hit is not None and (entry.word not in hits or hits[entry.word][1] < hit[1]):
                hits[entry.word] = hit
        if not self.names.isdisjoint(hits) and not text.isupper() and (rest := self._nameless(text)) != text:
            return self.read(rest)
        return self._sum(hits, self._constructions(candidates, lowered), known / len(pairs), len(pairs))

    def _nameless(self, text: str) -> str:
        """The text without words that are a name as they are spelt here: "LA", unlike "la"."""
        return _ANY_WORD.sub(lambda match: " " if match[0].lower() in self.names and match[0][0].isupper() else match[0], text)

    def _constructions(self, candidates: set[int], lowered: str) -> list[Construction]:
        if not candidates:
            return []
        shortened = _LONG.sub(r"\1", lowered)
        triggered = (self.constructions[index] for index in sorted(candidates))
        return [construction for construction in triggered if construction.pattern.search(shortened)]

    def _sum(self, hits: dict[str, tuple[int, float]], constructions: list[Construction], frame: float, words: int) -> Reading:
        logit = self.bias
        if not hits and not constructions:
            return Reading(1.0 / (1.0 + math.exp(-logit)), frame, words, ())
        totals = [0.0] * len(self.groups)
        for group, weight in hits.values():
            totals[group] += weight
        logit += sum(min(total, group.cap) for total, group in zip(totals, self.groups, strict=True))
        logit += sum(construction.weight for construction in constructions)
        if words >= _SHARE_WORDS:
            logit += self.frame_weight * (min(frame, 2 * self.frame_centre) - self.frame_centre)
        weights = [(weight, f"{self.groups[group].name}: {word}") for word, (group, weight) in hits.items()]
        weights += [(construction.weight, f"construction: {construction.name}") for construction in constructions]
        reasons = tuple(reason for _, reason in sorted(weights, key=lambda pair: (-pair[0], pair[1])))
        return Reading(1.0 / (1.0 + math.exp(-logit)), frame, words, reasons)


_SHARE_WORDS = 3  # in "can lah" every word is a marker: a share needs more words than that
_TOKEN = re.compile(r"<[#A-Za-z][A-Za-z0-9_]{0,20}>|<#>|https?://\S{1,2000}")
_LONG = re.compile(r"([a-z])\1{2,}")  # "siaaaao": three or more of a letter are one
_DOUBLE_END = re.compile(r"([a-z])\1$")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_LATIN = "a-z\u00df-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_WORDS = re.compile(rf"([{_LATIN}]+(?:'[a-z]+)?)([^{_LATIN}]*)")
_CLAUSE_END = re.compile(r"[.,!?~;:()\n\"]|[^\x00-\x7f]")
_LAUGHS = frozenset("haha hahaha hahah lol lolol hehe hehehe hee xd lmao".split())


@lru_cache(maxsize=1 << 16)
def _shortened(word: str) -> str:
    """A word without elongation: "siaaaao" is "siao", "lahh" is "lah"."""
    return _DOUBLE_END.sub(r"\1", _LONG.sub(r"\1", word))


def load_variety(path: Path) -> Variety:
    """Read a variety's file.

    Args:
        path: YAML as `singlish/markers.yaml` shows it; a fault in it raises plainly, `variety` says whose it is.
    """
    data = path.read_bytes()
    tree: dict[str, Any] = yaml.safe_load(data)
    places: dict[str, dict[str, tuple[int, float]]] = {"end": {}, "anywhere": {}}
    for index, group in enumerate(tree["groups"]):
        for word, weight in group["words"].items():
            places[group["at"]].setdefault(str(word), (index, float(weight)))
    triggers: dict[str, tuple[int, ...]] = {}
    for index, entry in enumerate(tree["constructions"]):
        for word in entry["needs"].split():
            triggers[word] = (*triggers.get(word, ()), index)
    end, anywhere, frame = places["end"], places["anywhere"], frozenset(tree["frame_words"].split())
    return Variety(
        name=tree["name"],
        code=tree["code"],
        bias=float(tree["bias"]),
        frame_weight=float(tree["frame"]["weight"]),
        frame_centre=float(tree["frame"]["centre"]),
        groups=tuple(MarkerGroup(group["name"], group["why"], float(group["cap"])) for group in tree["groups"]),
        table={
            word: WordEntry(word, end.get(word), anywhere.get(word), word in frame, triggers.get(word, ()))
            for word in (*end, *anywhere, *frame, *triggers)
        },
        names=frozenset(tree["names"].split()),
        constructions=tuple(
            Construction(
                entry["name"],
                float(entry["weight"]),
                re.compile(entry["pattern"]),
                entry["example"],
            )
            for entry in tree["constructions"]
        ),
        hash=digest(hashlib.sha256(data).digest()),
    )
