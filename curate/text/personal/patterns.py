"""What personal data looks like in Singapore chat and forum text: patterns in order, and `find`.

Every quantifier is bounded, so that no text takes more than time linear in its length. Patterns see a *shadow* of the text,
one character for one, in which exotic digits, letters and dashes are ASCII; what an earlier pattern took is blanked out in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from curate.text.personal import checksums as checksums
from curate.text.personal.places import ADDRESSES, PLATES, POSTCODES


class Finding(NamedTuple):
    """One piece of personal data: `text[start:end]`, its kind, and its value in one spelling."""

    start: int
    end: int
    kind: str
    value: str


@dataclass(frozen=True)
class Pattern:
    """One look of personal data.

    Attributes:
        regex: where it may stand; the group `pii`, where there is one, is what gets replaced, else the whole match.
        judge: kind and value of a match, or None when it is something else after all.
        digits: how many digits a text needs at least for a match.
        marks: pieces of lower-case text of which a match needs one; none named, none needed.
    """

    regex: re.Pattern[str]
    judge: Callable[[re.Match[str]], tuple[str, str] | None]
    digits: int = 0
    marks: tuple[str, ...] = ()


def find(text: str) -> list[Finding]:
    """Find all personal data of a text, left to right, without overlaps."""
    shadow = shadowed(text)
    if "<" in shadow:
        shadow = _TOKENS.sub(_blank, shadow)
    digits = len(_DIGIT.findall(shadow))
    lowered = shadow.lower()
    findings: list[Finding] = []
    for pattern in PATTERNS if digits else _WITHOUT_DIGITS:
        if digits < pattern.digits or (pattern.marks and not any(mark in lowered for mark in pattern.marks)):
            continue
        taken = []
        for match in pattern.regex.finditer(shadow):
            verdict = pattern.judge(match)
            if verdict is not None:
                start, end = match.span("pii") if "pii" in pattern.regex.groupindex else match.span()
                taken.append(Finding(start, end, *verdict))
        if taken:
            for piece in taken:
                shadow = shadow[: piece.start] + "\0" * (piece.end - piece.start) + shadow[piece.end :]
            lowered = shadow.lower()
            findings += taken
    return _joined(sorted(findings), shadow)


def _joined(findings: list[Finding], shadow: str) -> list[Finding]:
    """Make one address of pieces that follow one another: block, street, unit."""
    joined: list[Finding] = []
    for piece in findings:
        last = joined[-1] if joined else None
        if last and last.kind == piece.kind == "ADDRESS" and not shadow[last.end : piece.start].strip(" ,"):
            joined[-1] = Finding(last.start, piece.end, "ADDRESS", last.value + piece.value)
        else:
            joined.append(piece)
    return joined


def shadowed(text: str) -> str:
    """Spell a text in ASCII where that is one character for one: fullwidth and mathematical letters, any script's digits.

    >>> shadowed("９１２３ ４５６７")
    '9123 4567'
    """
    return text if text.isascii() else "".join([character if character < "\x80" else _ascii(character) for character in text])


_MINUSES = frozenset("\u2212\u02d7\u2043")  # minus signs and hyphen bullets, which Unicode does not call dashes
_DOTS = frozenset("\u00b7\u2022\u2027\u2219\u22c5\u30fb")  # middle dots and bullets


@cache
def _ascii(character: str) -> str:
    """One character in ASCII, if it has a one-character spelling there."""
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(character) == "Pd" or character in _MINUSES:
        return "-"
    if character in _DOTS:
        return "."
    if unicodedata.category(character) == "Zs":
        return " "
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and plain.isascii() else character


def _blank(match: re.Match[str]) -> str:
    return "\0" * len(match.group())


# Pseudonyms that are there already, and the redaction codes of published corpora ("<#>", "<DECIMAL>").
_TOKENS = re.compile(r"<(?:[A-Z]{2,10}_[0-9]{1,6}|#|[A-Z]{2,10})>")

_DIGIT = re.compile("[0-9]")

_WORDS = "zero|oh|one|two|three|four|five|six|seven|eight|nine"
_DOT = r"(?:\s?\.\s?|\s?[\[({<]\s?(?:dot|\.)\s?[\])}>]\s?|\s{1,3}dot\s{1,3})"
_AT = r"(?:\s?@\s?|\s?[\[({<]\s?(?:at|@)\s?[\])}>]\s?)"
_TLD = r"(?:com|net|org|edu|gov|info|biz|io|co|sg|my|id|hk|uk|au|us|in|me|tv|app|dev|xyz|online|site|shop|cc|ly|gl|be|ai)"
_LABEL = r"[A-Za-z0-9](?:[\w-]{0,61}[A-Za-z0-9])?"


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _kind(kind: str) -> Callable[[re.Match[str]], tuple[str, str] | None]:
    """A judge that takes every match; its value is the text without case and spaces."""

    def judge(match: re.Match[str]) -> tuple[str, str] | None:
        text = match["pii"] if "pii" in match.re.groupindex else match.group()
        return kind, re.sub(r"\s+", "", text).casefold()

    return judge


# --- where people are reached ---


def _email(match: re.Match[str]) -> tuple[str, str] | None:
    plain = re.sub(r"[\[({<\])}>\s]", " ", match.group())
    plain = re.sub(r"\s+(?:at|@)\s+", "@", plain, count=1, flags=re.IGNORECASE)
    plain = re.sub(r"\s{1,3}dot\s{1,3}", ".", plain, flags=re.IGNORECASE)
    return "EMAIL", re.sub(r"\s+", "", plain).casefold()


_EMAILS = (
    re.compile(r"(?<![\w.+-])[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"),
    re.compile(rf"(?<![\w.+-])[\w.+-]{{1,64}}{_AT}{_LABEL}(?:{_DOT}{_LABEL}){{0,3}}{_DOT}{_TLD}\b", re.IGNORECASE),
    re.compile(
        rf"(?<![\w.+-])[\w.+-]{{1,64}}\s{{1,3}}at\s{{1,3}}{_LABEL}(?:\s{{1,3}}dot\s{{1,3}}{_LABEL}){{0,3}}\s{{1,3}}dot\s{{1,3}}{_TLD}\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w.+-])[\w.+-]{{1,64}}\s{{1,3}}at\s{{1,3}}(?:gmail|hotmail|yahoo|outlook|icloud|live){_DOT}com(?:{_DOT}sg)?\b",
        re.IGNORECASE,
    ),
)


def _url(match: re.Match[str]) -> tuple[str, str] | None:
    return "URL", match["pii"].casefold()


_PATH = r"[\w!#$%&'()*+,./:;=?@~\[\]-]{0,2000}"
_URLS = (
    re.compile(rf"(?P<pii>\b(?:https?|hxxps?|ftp)://{_PATH}(?<![.,;:!?'()\]]))", re.IGNORECASE | re.ASCII),
    re.compile(rf"(?P<pii>\bwww(?:\.|{_DOT}){_LABEL}{_PATH}(?<![.,;:!?'()\]]))", re.IGNORECASE | re.ASCII),
    re.compile(
        rf"(?<![\w.@-])(?P<pii>(?:{_LABEL}\.){{1,4}}(?:com|net|org|edu|gov|info)(?:\.[a-z]{{2}})?\b(?:[/?:]{_PATH}(?<![.,;:!?'()\]]))?)",
        re.IGNORECASE | re.ASCII,
    ),
    re.compile(  # a rarer domain only with a path: "ok.me too"
        rf"(?<![\w.@-])(?P<pii>(?:{_LABEL}\.){{1,4}}{_TLD}/{_PATH}(?<![.,;:!?'()\]]))",
        re.IGNORECASE | re.ASCII,
    ),
    re.compile(
        rf"(?<![\w.@-])(?P<pii>{_LABEL}(?:\s?[\[(]\s?dot\s?[\])]\s?|\s{{1,3}}dot\s{{1,3}})(?:com|net|org|sg)(?:{_DOT}sg)?\b)",
        re.IGNORECASE | re.ASCII,
    ),
)

# What follows an "@" in messages that mean "at".
_PLACES = frozenset(
    "home work school sch hse house office hall lib library canteen mrt airport clinic camp gym church night nite noon lunch "
    "dinner the my your ur our his her their this that me u a an all least around about any".split()
)


def _handle(match: re.Match[str]) -> tuple[str, str] | None:
    name = match["name"].casefold()
    return None if name in _PLACES or _CLOCK.fullmatch(name) else ("HANDLE", name)


_CLOCK = re.compile(r"\d{1,4}(?:\.\d{2})?(?:am|pm|hrs?|ish|noon|nn|plus|th|st|nd|rd|k)\w{0,6}")
_HANDLE = re.compile(r"(?<![\w.@/&=*-])@(?P<name>(?:[^\W\d]|[0-9]{1,8}[^\W\d])\w{1,29}(?:\.\w{1,29}){0,2})")


# --- identity numbers ---


def _nric(match: re.Match[str]) -> tuple[str, str] | None:
    text = re.sub(r"[^A-Za-z0-9]", "", match.group()).upper()
    series, digits, letter = text[0], text[1:8], text[8]
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    alone = not (before.isalnum() or after.isalnum() or before in ("_", "'"))
    if series in "STFGM" and checksums.nric(series, digits) == letter and (alone or len(match.group()) == 9):
        return "NRIC", text
    return ("ID", text) if alone else None


_NRIC = re.compile(r"[A-Z][ ./-]?\d(?:[ .-]?\d){6}[ ./-]?[A-Z]", re.IGNORECASE)
_NRIC_MASKED = re.compile(r"(?<![A-Za-z0-9])[STFGM][X*]{3,4}\d{3,4}[A-Z](?![A-Za-z0-9])", re.IGNORECASE)
_MYKAD = re.compile(r"(?<!\d)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-\d{2}-\d{4}(?!\d)")  # Malaysian identity card


def _uen(match: re.Match[str]) -> tuple[str, str] | None:
    text = match.group().upper()
    return ("UEN" if checksums.uen(text[:-1]) == text[-1] else "ID"), text


_UEN = re.compile(r"(?<![A-Za-z0-9$.,])(?:\d{8}|(?:18|19|20)\d{7}|[RST]\d{2}[A-Z]{2}\d{4})[A-Z](?![A-Za-z0-9])", re.IGNORECASE)


def _plate(match: re.Match[str]) -> tuple[str, str] | None:
    prefix, digits, letter = (match[name].upper() for name in ("prefix", "digits", "letter"))
    return ("PLATE", prefix + digits + letter) if checksums.plate(prefix, digits) == letter else None


def _postcode(match: re.Match[str]) -> tuple[str, str] | None:
    return "POSTCODE", _digits(match["pii"])


# --- money ---


def _card(match: re.Match[str]) -> tuple[str, str] | None:
    digits = _digits(match.group())
    return ("CARD", digits) if 13 <= len(digits) <= 19 and len(set(digits)) > 1 and checksums.luhn(digits) else None


_CARD = re.compile(
    r"(?<![\d.,$])(?:\d{13,19}|\d{4}([ .-])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}"
    r"|\d(?:[ -]\d){12,18})(?!\d|[.,]\d)"
)


def _account(match: re.Match[str]) -> tuple[str, str] | None:
    digits = _digits(match["pii"])
    if not 7 <= len(digits) <= 19 or len(set(digits)) == 1 or digits.endswith("000000"):
        return None
    return "ACCOUNT", digits


_ACCOUNTS = (
    re.compile(
        r"(?<![\d.-])(?P<pii>\d{3}(?P<sep>[.-])(?:\d{5}(?P=sep)\d|\d{6}(?P=sep)\d|\d{6}(?P=sep)\d{3}|\d{3}-\d{3}-\d|\d-\d{6}))(?![\d-])"
    ),
    re.compile(  # after a word that announces it
        r"\b(?:account|acct|acc|a/c|posb|dbs|ocbc|uob|maybank|bank)\b[^\d\n$]{0,20}?"
        r"(?P<pii>(?:\d{3,}(?:[ -]\d{1,7}){1,3}|\d{7,19}))(?!\d|[.,]\d)",
        re.IGNORECASE,
    ),
    re.compile(r"(?<![\d$.,#])(?P<pii>\d{9,19})(?![\d%]|[.,]\d)"),  # any long number: a parcel, an account, a member
)


# --- phones ---


def _phone(match: re.Match[str]) -> tuple[str, str] | None:
    digits = _digits(match.group())
    if len(digits) in (10, 12) and digits[-10:-8] == "65":  # with the country code: the same phone as without
        digits = digits[-8:]
    return "PHONE", digits


def _local_phone(match: re.Match[str]) -> tuple[str, str] | None:
    kind, digits = _phone(match) or ("", "")
    if match["code"]:
        return kind, digits
    first, second = digits[:4], digits[4:]
    if "-" in match.group() and first.endswith("00") and second.endswith("00") and first < second:
        return None  # "3000-4000" is a range
    steps = {int(b) - int(a) for a, b in zip(digits, digits[1:], strict=False)}
    if steps in ({1}, {-1}) and " " in match.group():
        return None  # "8 7 6 5 4 3 2 1" is a countdown
    return kind, digits


_CODE = r"(?:\(\s?(?:\+|00)?65\s?\)|(?:\+|\b00)?\s?65)[ .-]{0,3}"
_LOCAL = (
    r"[3689]\d{3}(?:[ .-]| - | {2})?\d{4}"
    r"|[3689]\d(?P<pairs>[ .-])\d\d(?P=pairs)\d\d(?P=pairs)\d\d"
    r"|(?<!\d[ .-])[3689](?P<each> {1,2}|[.-]| - )\d(?:(?P=each)\d){6}(?![ .-]{1,2}\d\b)"
    r"|[3689]\d\d(?P<threes>[ -])\d{3}(?P=threes)\d\d|[3689]\d\d[ -]\d{5}|[3689]\d{4}[ -]\d{3}"
)
_LOCAL_PHONE = re.compile(rf"(?<![\d$€£_+])(?<!\d[.,])(?P<code>{_CODE})?(?:{_LOCAL})(?!\d|[.,]\d|%|-\d)")


def _foreign_phone(match: re.Match[str]) -> tuple[str, str] | None:
    return _phone(match) if 8 <= len(_digits(match.group())) <= 15 else None


_PHONES = (
    re.compile(r"(?<![\w+])\+\d{1,3}(?: ?[ .-]? ?\(?\d{1,4}\)?){2,6}(?!\d)"),
    re.compile(r"(?<![\d$.,-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\d-])"),  # North America
    re.compile(r"(?<![\d$.,-])1[89]00[ -]?\d{3}[ -]?\d{4}(?![\d-])"),  # toll free
    re.compile(r"(?<![\d$.,-])01\d[ -]?\d{3,4}[ -]?\d{4}(?![\d-])"),  # Malaysian mobile
)


def _spoken(match: re.Match[str]) -> tuple[str, str] | None:
    names = {name: str(value) for value, name in enumerate("zero one two three four five six seven eight nine".split())} | {
        "oh": "0"
    }
    return "PHONE", "".join(names[word] for word in re.findall(_WORDS, match.group().lower()))


_SPOKEN = re.compile(rf"\b(?:six|eight|nine|three)(?:[ ,-]{{1,2}}(?:{_WORDS})){{7}}\b", re.IGNORECASE)


_OPENING = ("[", "(", "{", "<")

PATTERNS: tuple[Pattern, ...] = (
    Pattern(_EMAILS[0], _email, marks=("@",)),
    Pattern(_EMAILS[1], _email, marks=("@", *_OPENING)),
    Pattern(_EMAILS[2], _email, marks=("dot",)),
    Pattern(_EMAILS[3], _email, marks=("gmail", "hotmail", "yahoo", "outlook", "icloud", "live")),
    Pattern(_URLS[0], _url, marks=("://",)),
    Pattern(_URLS[1], _url, marks=("www",)),
    Pattern(_URLS[2], _url, marks=(".com", ".net", ".org", ".edu", ".gov", ".info")),
    Pattern(_URLS[3], _url, marks=("/",)),
    Pattern(_URLS[4], _url, marks=("dot",)),
    Pattern(_HANDLE, _handle, marks=("@",)),
    Pattern(_CARD, _card, digits=13),
    Pattern(_MYKAD, _kind("ID"), digits=12),
    Pattern(_NRIC, _nric, digits=7),
    Pattern(_NRIC_MASKED, _kind("ID"), digits=3, marks=("x", "*")),
    Pattern(_UEN, _uen, digits=6),
    Pattern(ADDRESSES[0], _kind("ADDRESS"), digits=1, marks=("blk", "block", "#", "unit")),
    Pattern(ADDRESSES[1], _kind("ADDRESS"), digits=1),
    Pattern(ADDRESSES[2], _kind("ADDRESS"), digits=1, marks=("\0 ", "\0, ")),
    *(Pattern(regex, _postcode, digits=6) for regex in POSTCODES),
    *(Pattern(regex, _plate, digits=1) for regex in PLATES),
    Pattern(_ACCOUNTS[0], _account, digits=9),
    Pattern(_ACCOUNTS[1], _account, digits=7),
    Pattern(_PHONES[0], _foreign_phone, digits=8, marks=("+",)),
    Pattern(_LOCAL_PHONE, _local_phone, digits=8),
    *(Pattern(regex, _phone, digits=9) for regex in _PHONES[1:]),
    Pattern(_SPOKEN, _spoken, marks=("six", "eight", "nine", "three")),
    Pattern(_ACCOUNTS[2], _account, digits=9),
)
"""In order: what stands earlier takes its characters first."""

_WITHOUT_DIGITS = tuple(pattern for pattern in PATTERNS if not pattern.digits)

KINDS = ("ACCOUNT", "ADDRESS", "CARD", "EMAIL", "HANDLE", "ID", "NRIC", "PHONE", "PLATE", "POSTCODE", "UEN", "URL")
"""All kinds that `find` can name."""
