"""Text to hashed n-grams: what `ngram` counts, the same on every machine.

Every feature but a word pair depends on one word alone, so that a word met again costs a look-up. Sums of int8 weights are
integers: a text's score does not depend on what it was batched with.
"""

from __future__ import annotations

import html
import re
import unicodedata
import zlib
from collections.abc import Iterator
from itertools import pairwise

VERSION = 1
BUCKETS = 2**18
CHAR_ORDERS = (3, 4, 5)  # of a word between its boundary marks
LONGEST_WORD = 24  # characters that count; what is longer is noise or a trick

PARTICLES = frozenset(
    "ah ar aiya aiyah aiyo aiyoh alamak bah eh hah har hor huh la lah lar leh liao lo loh lor ma mah meh mei nah neh sia siah"
    " siol sial wah wahlau walao walau wor ya yah".split()
)
"""Discourse particles and interjections: how Singlish sounds, not what it says. No features, so that none can count as toxic."""

FINAL = PARTICLES | frozenset(
    "already anot arh auntie aunty ba bro can de horh le ler lorh nia one right seh sial sis uncle wan wat what".split()
)
"""What closes a Singlish clause without adding to what it says: particles, tags, and whom it is said to."""

_LAST = re.compile(
    rf"(?<=\S)(?:[\s,]+(?:{'|'.join(sorted(FINAL, key=lambda word: (-len(word), word)))}))+(?=[\s.!?…]*$)", re.IGNORECASE
)
_MARKUP = re.compile(r"https?://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.]+|(?<!\w)@\w+|<[A-Z]+(?:_\d+)?>|</?[a-z]+[^<>]*>")
_WORD = re.compile(r"[^\W_]+(?:['’*@$!.+-]{1,3}[^\W_]+)*[*$]{0,4}|[\U0001F000-\U0001FAFF☀-➿]")
_REPEATS = re.compile(r"(.)\1{2,}")
_CONTRACTIONS = re.compile(r"\s+(?=(?:n't|'s|'re|'m|'ll|'ve|'d)\b)")
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_VOWELS_AND_MARKS = re.compile(r"[aeiou*'’.+\-]")


def words(text: str) -> list[str]:
    """Words of a text as features see them: compatibility forms folded, casefolded, no links, handles, placeholders or particles.

    A letter repeated three times or more counts twice; marks inside a word (st*pid) stay in it.

    >>> words("Sooooo  USEFUL lah @someone, thanks!")
    ['soo', 'useful', 'thanks']
    """
    text = unicodedata.normalize("NFKC", html.unescape(text))
    text = _CONTRACTIONS.sub("", _REPEATS.sub(r"\1\1", _MARKUP.sub(" ", text).casefold()))
    return [word[:LONGEST_WORD] for word in _WORD.findall(text) if word not in PARTICLES]


def without_final(text: str) -> str:
    """A text without the particles, tags and vocatives that close it; its first word stays, and so do its closing marks.

    >>> without_final("So late already lah!")
    'So late!'
    """
    return _LAST.sub("", text)


def skeleton(word: str) -> str:
    """Consonants of a word once digits and marks that stand for letters are read as those letters.

    >>> skeleton("stupid") == skeleton("st*pid") == skeleton("stup1d")
    True
    """
    return _REPEATS.sub(r"\1", _VOWELS_AND_MARKS.sub("", word.translate(_LEET)))


def bucket(kind: str, gram: str) -> int:
    """Where a feature's weight lies, in [0, BUCKETS): CRC-32, then a multiplicative mix, because CRC alone is linear."""
    code = zlib.crc32(f"{kind}{gram}".encode("utf-8", "surrogatepass"))
    return ((code * 0x9E3779B1) & 0xFFFFFFFF) >> 14  # the top 18 bits


def word_features(word: str) -> list[int]:
    """Buckets of a word itself and of its skeleton."""
    bones = skeleton(word)
    return [bucket("w", word), bucket("s", bones)] if len(bones) >= 2 else [bucket("w", word)]


def char_features(word: str) -> list[int]:
    """Buckets of a word's character n-grams, boundaries marked."""
    marked = f"<{word}>"
    return [bucket("c", marked[at : at + order]) for order in CHAR_ORDERS for at in range(len(marked) - order + 1)]


def pair_features(text_words: list[str]) -> Iterator[int]:
    """Buckets of neighbouring words."""
    for left, right in pairwise(text_words):
        yield bucket("p", f"{left} {right}")
