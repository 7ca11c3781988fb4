"""Repair of one text: entities, markup, invisible characters, lookalikes, mojibake."""

from __future__ import annotations

import html
import re
from functools import cache
from html.entities import html5

from ftfy import TextFixerConfig

MAX_ROUNDS = 12  # nobody escapes a text a dozen times over; what has not settled by then was built not to


def repaired(text: str) -> str:
    """Repair one text. Lone surrogates become U+FFFD.

    >>> repaired("I&amp;#x27;m <b>so</b> tired &lt;3  siaaaao\u200b")
    "I'm so tired <3 siaaaao"
    """
    if text.isascii() and not _ODD_ASCII.search(text):
        return text.strip(" \n")
    settled = text
    for _ in range(MAX_ROUNDS):
        once = _round(settled)
        if once == settled:
            return settled
        settled = once
    # An escape within an escape within an escape ...: clean the characters, leave the escapes as they are. The same text
    # comes back here on a second repair, so that repairing stays idempotent.
    return _characters(text)


def _round(text: str) -> str:
    return _characters(_without_markup(_unescaped(text)))


_ODD_ASCII = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f]"  # control characters, tab, carriage return
    r"|&[#A-Za-z]"  # perhaps an entity
    r"|<[/!A-Za-z]"  # perhaps a tag
    r"|(?<=[^ \n])  | \n|\n\n\n"  # repeated space within a line, space at its end, empty lines
)


_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0{0,5}38|#[xX]0{0,5}26);)+")


_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


_ZERO_WIDTH = re.compile("[\u200b-\u200d\u2060\ufeff]")


_SPLIT_ENTITY = re.compile("&#?[0-9A-Za-z\u200b-\u200d\u2060\ufeff]{1,40};")  # an entity with something invisible inside


_SURROGATES = re.compile(r"&#(5[56][0-9]{3});&#(5[67][0-9]{3});")  # one character as UTF-16 halves: SMS backups write these


def _unescaped(text: str) -> str:
    """Decode entities that end in ';' (a lone "&copy" is more likely "this&copy that"), however often they were escaped."""
    if "&" not in text:
        return text
    text = _SPLIT_ENTITY.sub(lambda match: _ZERO_WIDTH.sub("", match[0]), text)
    return _ENTITY.sub(_character, _SURROGATES.sub(_joined, _AMPERSANDS.sub("&", text)))


def _character(match: re.Match[str]) -> str:
    entity = match.group()
    if entity[1] != "#" and entity[1:] not in html5:
        return entity
    return html.unescape(entity)


def _joined(match: re.Match[str]) -> str:
    high, low = int(match.group(1)), int(match.group(2))
    if not (0xD800 <= high < 0xDC00 <= low < 0xE000):
        return match.group()
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


# Names that are markup wherever they stand between angle brackets. "time", "data", "name", "title" are not here: people and
# corpora write <TIME> and <name> where something was taken out.
_BLOCK = "p|div|li|ul|ol|tr|table|tbody|thead|h[1-6]|blockquote|pre|section|article|header|footer|center|html|body|head|form"


_INLINE = "span|strong|em|font|img|td|th|code|tt|small|big|sub|sup|strike|del|ins|iframe|input|button|label|wbr"


_LETTER = "b|i|u|s|a|q"  # these only as markup when the text also closes one, or with an attribute


_ATTRIBUTES = r"""(?:\s+[A-Za-z][\w:.-]{0,40}\s*=\s*(?:"[^"<>]{0,2000}"|'[^'<>]{0,2000}'|[^\s"'<>]{1,500}))"""


_HIDDEN = tuple(  # what a browser does not show: where it opens, where it closes
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (
        ("<!--", "-->"),
        (r"<script\b[^<>]{0,500}>", r"</script\s{0,9}>"),
        (r"<style\b[^<>]{0,500}>", r"</style\s{0,9}>"),
    )
)


_TAG = re.compile(
    rf"<(?P<close>/?)(?:(?P<name>{_BLOCK}|{_INLINE}|br|hr)|(?P<letter>{_LETTER}))(?P<with>{_ATTRIBUTES}{{0,20}})\s*/?>",
    re.IGNORECASE,
)


_CLOSED = re.compile(rf"</(?:{_LETTER})\s*>", re.IGNORECASE)


_LINE_TAG = re.compile(rf"{_BLOCK}|br|hr", re.IGNORECASE)


_ALT = re.compile(r"""\salt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


def _without_markup(text: str) -> str:
    """Turn markup into the text that a browser would show; "<3", "<#>", "x < y" and "<name>" are no markup."""
    if "<" not in text:
        return text
    for opening, closing in _HIDDEN:
        text = _cut(text, opening, closing)
    closed = bool(_CLOSED.search(text))

    def shown(match: re.Match[str]) -> str:
        if match["letter"]:
            return "" if closed or match["with"] else match.group()
        name = match["name"].lower()
        if _LINE_TAG.fullmatch(name):
            return "\n"
        if name in ("td", "th"):
            return " "
        alt = _ALT.search(match["with"]) if name == "img" else None
        return (alt.group(1) or alt.group(2) or "") if alt else ""

    return _TAG.sub(shown, text)


def _cut(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """Remove from each opening to the closing behind it; one that never closes stays. Linear, unlike a lazy pattern."""
    kept, position = [], 0
    while (start := opening.search(text, position)) and (end := closing.search(text, start.end())):
        kept.append(text[position : start.start()])
        position = end.end()
    return "".join([*kept, text[position:]]) if kept else text


_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffc"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0100-\U000e01ef]"
    "|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
)


_INDIC = "\u0600-\u06ff\u0900-\u0dff"  # scripts that need joiners: Arabic (Jawi), Devanagari, Tamil and their neighbours


_PICTURE = "\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"  # before a joiner also with a variation selector


_JOINER = re.compile(
    f"\u200d(?![{_PICTURE}{_INDIC}])|(?<![{_PICTURE}\ufe0f{_INDIC}])\u200d|\u200c(?![{_INDIC}])|(?<![{_INDIC}])\u200c"
)


_SELECTOR = re.compile("(?<![0-9#*\u00a9-\ufdff\U00010000-\U0001faff])[\ufe00-\ufe0f]|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]+")


_TAGGED = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]{1,6}\U000e007f)|[\U000e0000-\U000e007f]")  # flags; others hide text


_SPACES = re.compile("[\t\x0b\x0c\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")


_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}


_WIDE_MARKS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]")


_RUNS = re.compile(r"(?<=[^ \n]) {2,}")


_LINE_ENDS = re.compile(r" +(?=\n)")


_EMPTY_LINES = re.compile(r"\n{3,}")


def _characters(text: str) -> str:
    if not text.isascii() or _CONTROL.search(text):
        text = _fixed(text)
        text = _INVISIBLE.sub("", text)
        text = _TAGGED.sub(lambda match: match[1] or "", text)
        text = _JOINER.sub("", text)
        text = _SELECTOR.sub("", text)
        # Fullwidth commas and question marks are how Chinese is written; beside Latin alone they are dirt.
        text = text.translate(_WIDE if _CJK.search(text) else _WIDE_MARKS)
        text = _SPACES.sub(" ", text)
        text = _same_script(text)
    text = _LINE_ENDS.sub("", _RUNS.sub(" ", text))
    return _EMPTY_LINES.sub("\n\n", text).strip(" \n")


_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def _fixed(text: str) -> str:
    import ftfy

    return str(ftfy.fix_text(text, _ftfy_config()))


@cache
def _ftfy_config() -> TextFixerConfig:
    from ftfy import TextFixerConfig

    return TextFixerConfig(unescape_html=False, fix_character_width=False, uncurl_quotes=True, normalization="NFC", explain=False)


_LOOKALIKES = dict(
    zip(
        "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u04cf"
        "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u0408\u0405\u04ae"
        "\u03bf\u03b1\u03bd\u03b9\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
        "aeopcyxijshdqwlABEKMHOPCTXIJSYoaviABEZHIKMNOPTYX",
        strict=True,
    )
)


_SWAP = str.maketrans(_LOOKALIKES)


_OTHER_SCRIPT = re.compile("[\u0370-\u03ff\u0400-\u052f]")


_WORD = re.compile("[A-Za-z\u0370-\u03ff\u0400-\u052f]+")


_DISGUISED = re.compile(f"[A-Za-z{''.join(_LOOKALIKES)}]+")


def _same_script(text: str) -> str:
    """Spell in Latin the words that mix Latin with look-alike Cyrillic or Greek letters.

    One such word shows that the text was disguised; then words of look-alikes alone ("а", "сосо") are spelt in Latin too.
    """
    if not _OTHER_SCRIPT.search(text):
        return text
    words = [word for word in _WORD.findall(text) if _DISGUISED.fullmatch(word)]
    if not any(word.translate(_SWAP) != word and re.search("[A-Za-z]", word) for word in words):
        return text
    return _WORD.sub(lambda match: match[0].translate(_SWAP) if _DISGUISED.fullmatch(match[0]) else match[0], text)
