r"""What Singapore addresses, postal codes and number plates look like: regular expressions for `pii_patterns`.

`\0` stands for what an earlier pattern took.
"""

from __future__ import annotations

import re

_TOWN = (
    "ang mo kio|amk|bedok|bishan|bukit (?:batok|merah|panjang|timah)|choa chu kang|cck|clementi|geylang|hougang"
    "|jurong(?: east| west)?|kallang|marine parade|pasir ris|punggol|queenstown|sembawang|sengkang|serangoon|tampines"
    "|toa payoh|tpy|woodlands|yishun"
)
_NAME = r"[A-Z][\w'.]{1,20}"
_STRONG = r"Road|Rd|Street|Avenue|Ave|Drive|Crescent|Cres|Lane|Boulevard|Blvd|Terrace|Ring Road|Estate|Lorong|Lor"
_WEAK = (  # words of their own: an address only with a number behind them
    r"St|Dr|Close|Cl|Place|Pl|Walk|Way|Link|Loop|Rise|Grove|Park|Gardens?|Gdns|Heights|View|Hill|Quay|Central|Circle|Court|Ct"
    r"|Green"
)
_NUMBER = r"\d{1,3}[A-Za-z]?(?![\w-])"
_MALAY = r"(?:Jalan|Jln|Lorong|Lor|Bukit|Kampong|Kg|Tanjong)"
_UNIT = r"(?:#\s?|\b[Uu]nit\s(?:no\.?\s)?#?)(?:[Bb]?\d{1,2}|L\d{1,2})\s?-\s?\d{1,5}[A-Za-z]?\b"
_STREET = (
    rf"(?:(?:{_NAME} ){{1,4}}(?i:{_STRONG})\b(?:\.? {_NUMBER})?|(?:{_NAME} ){{1,4}}(?i:{_WEAK})\.? {_NUMBER}"
    rf"|{_MALAY} {_NAME}(?: {_NAME})?(?: {_NUMBER})?|(?i:{_TOWN})(?i: (?:{_STRONG}|{_WEAK}))?\.? {_NUMBER}"
    rf"|(?i:{_TOWN}) (?i:{_STRONG})\b)"
)
_BLOCK = r"\b(?i:blk|block)\.? ?\d{1,4}[A-Za-z]?(?!\w)"
ADDRESSES = (
    re.compile(rf"{_BLOCK}(?:,? {{0,2}}{_STREET})?(?:,? {{0,2}}{_UNIT})?|{_UNIT}(?:,? {{0,2}}(?:{_BLOCK}|{_STREET}))?"),
    re.compile(rf"(?<![\w$#.,:/-])\d{{1,4}}[A-Za-z]?,? {_STREET}(?:,? {{0,2}}{_UNIT})?"),
    re.compile(  # the same in lower case, where a block announces a street of any name
        rf"\0,? (?P<pii>(?:[a-z']{{2,15}} ){{1,3}}(?:{_STRONG}|{_WEAK})\b(?: {_NUMBER}(?:,? {{0,2}}{_UNIT})?)?)", re.IGNORECASE
    ),
)

_SECTOR = r"(?:0[1-9]|[1-7]\d|8[0-3])"
_SIX = rf"{_SECTOR}(?:\d{{4}}|(?: \d){{4}})"
POSTCODES = (
    re.compile(rf"(?<![A-Za-z0-9])(?P<pii>S ?\( ?{_SIX} ?\)|S ?{_SIX}(?![A-Za-z0-9]))", re.IGNORECASE),
    re.compile(
        r"\b(?:singapore|s'?pore|sg|postal(?: code)?|post ?code|zip(?: code)?)\b"
        rf"[ :,.#]{{0,3}}(?:is )?\(?(?P<pii>{_SIX})(?![A-Za-z0-9])",
        re.IGNORECASE,
    ),
    re.compile(rf"\0[ ,.]{{1,3}}(?P<pii>{_SIX})(?![A-Za-z0-9])"),  # right behind an address
)

_PLATE_PREFIX = r"S[A-HJ-NP-Z]{1,2}|[EGFPQWXY][A-HJ-NP-Z]{1,2}"
PLATES = (
    re.compile(rf"(?<![A-Za-z0-9])(?P<prefix>(?i:{_PLATE_PREFIX}))(?P<digits>\d{{1,4}})(?P<letter>(?i:[A-Z]))(?![A-Za-z0-9])"),
    re.compile(rf"(?<![A-Za-z0-9])(?P<prefix>{_PLATE_PREFIX})[ -](?P<digits>\d{{2,4}})[ -]?(?P<letter>[A-Z])(?![A-Za-z0-9'])"),
    re.compile(rf"(?<![A-Za-z0-9])(?P<prefix>{_PLATE_PREFIX})(?P<digits>\d{{2,4}})[ -](?P<letter>[A-Z])(?![A-Za-z0-9'])"),
)
