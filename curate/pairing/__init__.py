"""Pairers: each one file, one frozen config, one behaviour on ids and numbers; `PAIRERS` is the whole list."""

from __future__ import annotations

from curate.pairing.given import Given
from curate.pairing.pairer import INDEX, PAIR, Pairer
from curate.pairing.same_prompt import SamePrompt

__all__ = ["INDEX", "PAIR", "PAIRERS", "Pairer"]

PAIRERS: dict[str, type[Pairer]] = {
    "given": Given,
    "same_prompt": SamePrompt,
}
