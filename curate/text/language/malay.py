"""Malay or Indonesian: detectors confuse them, so words that one of the two uses far more often decide.

Formal Malay shares most of its words with Indonesian and colloquial Malay looks like Tagalog or Estonian to a detector. The
weights are log-ratios of word frequencies (see `malay_words/README.md` beside it); nothing here was fitted to sentences.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from functools import cache
from pathlib import Path

from curate.core.errors import StorageError

WORDS = Path(__file__).resolve().parent / "malay_words" / "words.zlib"
GUESS = 1.0  # what a detector's word for either language adds to the log-odds: as much as one typical word
STRONG = 2.0  # log-ratio from which a word is one language's own
ENOUGH = 3  # words of its own, against a detector that names neither language or is not sure


def malay_or_indonesian(text: str, language: str, confidence: float) -> tuple[str, float]:
    """What a detector says, set right where the words know better.

    Args:
        text: any text.
        language: the detector's.
        confidence: its probability, in [0, 1].

    Returns:
        "ms" or "id" for what it took for one of them and for what holds enough words of their own; else what it said.
    """
    weights = word_weights()
    hits = [weights[word] for word in re.findall(r"[a-z]+", text.lower()) if word in weights]
    total = sum(hits) + {"ms": GUESS, "id": -GUESS}.get(language, 0.0)
    if total == 0:
        return language, confidence
    likelier, sign = ("ms", 1) if total > 0 else ("id", -1)
    own = sum(sign * weight >= STRONG for weight in hits)
    if language in ("ms", "id"):
        return likelier, 1.0 if own else confidence
    return (likelier, 1.0) if own >= ENOUGH else (language, confidence)


@cache
def word_weights() -> dict[str, float]:
    """Word -> natural log of its frequency in Malay over that in Indonesian, in [-3, -1] or [1, 3].

    Raises:
        StorageError: the file is missing or damaged.
    """
    try:
        return {str(word): float(weight) for word, weight in json.loads(zlib.decompress(WORDS.read_bytes())).items()}
    except (OSError, ValueError, zlib.error):
        raise StorageError(f"{WORDS}: missing or damaged", hint="install the package again") from None


@cache
def malay_hash() -> str:
    """Of the file of weights."""
    return hashlib.sha256(WORDS.read_bytes()).hexdigest()[:32]
