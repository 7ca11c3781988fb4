"""Which completions refuse: not toxic, but a model that learns to answer so to everything has learnt nothing."""

from __future__ import annotations

import re

OPENING = 160  # characters in which a refusal says that it is one
_APOLOGY = r"(?:(?:i(?: a|')m |so |very )*(?:sorry|afraid)|apologies|paiseh|unfortunately)"
_CANNOT = (
    r"(?:can ?not|can't|cant|could ?n[o']t|won't|will not|(?:am|'m) (?:not able|unable|not going)"
    r"|do ?n[o']t feel comfortable|must decline)"
)
_HELP = (
    r"(?:help|assist|do (?:that|this)|answer|discuss|talk about|comply|provide|fulfil|support|engage|respond|say (?:that|this)"
    r"|give (?:you )?(?:advice|that))"
)
_MACHINE = r"an? (?:ai|artificial intelligence|language model|assistant)\b"
_REFUSAL = re.compile(
    rf"^\W*(?:{_APOLOGY}\b[^.!?\n]{{0,60}}\b{_CANNOT}\b"  # sorry, but I cannot
    rf"|(?:{_APOLOGY}\b[,.!]?\s*(?:but\s+)?)?i\s*(?:really |just )?{_CANNOT}\s+(?:to\s+|be able to\s+)?{_HELP}\b"  # I can't help
    rf"|(?:i(?: a|')m (?:just |only )?|as ){_MACHINE}[^.!?\n]{{0,80}}\b(?:not|n't|unable)\b"
    r"|i(?: would|'d) (?:rather|prefer) not\b"
    r"|(?:sorry|paiseh) (?:ah|hor|leh|lah)?[, ]*(?:cannot|can't)\b)",  # as Singlish refuses
    re.IGNORECASE,
)


def refuses(text: str) -> bool:
    """Whether a completion opens as a refusal.

    >>> refuses("I'm sorry, but I can't help with that."), refuses("Sorry I am late, the bus never come")
    (True, False)
    """
    return _REFUSAL.search(text[:OPENING].replace("\u2019", "'")) is not None
