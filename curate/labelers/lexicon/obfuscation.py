"""Read words that were written so as not to be read: look-alikes, digits for letters, stretched, spaced and masked words."""

from __future__ import annotations

import re
import unicodedata

_LEET = str.maketrans("0134578@$!|", "oieastbasil")
_LOOK_ALIKES = str.maketrans(
    "абвгдезикмнорстухѕіјԁԛԝһӏαβεζηικμνορτυχωϲɑɡıł",  # letters of Cyrillic, Greek and Latin's edge that look like these:
    "abbrde3ukmhopctyxsijdqwhlabezhikmvoptuxwcagil",
)
_TRIGGER = re.compile(r"[^\x00-\x7f]|[0-9@$!|](?=\w)|(?<=\w)[0-9@$|]|([a-z])\1\1|(?<!\w)[a-z]([\s.\-_*/]{1,3}[a-z](?!\w)){2}")
_MIXED = re.compile(r"[0-9@$!|]*[a-z][a-z0-9@$|]*(?:!+[a-z0-9@$|]+)*")
_STRETCHED = re.compile(r"([a-z])\1{2,}")
_SPACED = re.compile(r"(?<!\w)[a-z](?:([\s.\-_*/]{1,3})[a-z](?!\w)){2,}")
_NOT_A_LETTER = re.compile(r"[^a-z]")
_SMALL_WORD = re.compile(r"^([aiu])(?=[a-z]{3})")
_MASKED = re.compile(r"(?<![\w*#])[a-z]+[*#%]+(?:[a-z]+[*#%]*)*(?![\w*#])")


def plain(text: str) -> str:
    """A text as terms are compared: compatibility forms folded, casefolded, runs of spaces as one.

    >>> plain("Ｂlur  LIKE sotong")
    'blur like sotong'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def readings(text: str) -> tuple[str, ...]:
    """A text as it stands, and, where that differs, as a reader sees through its spelling.

    Letters of other scripts that look like Latin ones and accents are folded; digits and marks inside a word are read as the
    letters they stand for; letters written apart are joined; a letter repeated three times or more is read once, and twice.

    >>> readings("so stuuuupid"), readings("s t u p i d"), readings("stup1d"), readings("well, ok")
    (('so stuuuupid', 'so stupid', 'so stuupid'), ('s t u p i d', 'stupid'), ('stup1d', 'stupid'), ('well, ok',))
    """
    first = plain(text)
    if not _TRIGGER.search(first):
        return (first,)
    folded = "".join(letter for letter in unicodedata.normalize("NFD", first) if not unicodedata.combining(letter))
    letters_read = _MIXED.sub(lambda word: word[0].translate(_LEET), folded.translate(_LOOK_ALIKES))
    joined = _SPACED.sub(lambda letters: _NOT_A_LETTER.sub("", letters[0]), letters_read)
    apart = _SPACED.sub(
        lambda letters: _SMALL_WORD.sub(r"\1 ", _NOT_A_LETTER.sub("", letters[0])), letters_read
    )  # "a c l o w n" is two words
    return tuple(dict.fromkeys([first, *(_STRETCHED.sub(times, one) for one in (joined, apart) for times in (r"\1", r"\1\1"))]))


def masked(reading: str) -> list[str]:
    """Words with letters behind marks, of which at least two stand open: `st*pid`, not `*emphasis*`.

    >>> masked("what a st*pid, id**t thing, **really** a*")
    ['st*pid', 'id**t']
    """
    words = [re.sub(r"[#%]", "*", word) for word in _MASKED.findall(reading)]
    return [word for word in words if len(word) - word.count("*") >= 2]


def fits(word: str, term: str) -> bool:
    """Whether a term may stand behind a masked word: each mark is one letter.

    >>> fits("st*pid", "stupid"), fits("st*pid", "stupa")
    (True, False)
    """
    return len(word) == len(term) and all(seen in ("*", meant) for seen, meant in zip(word, term, strict=True))
