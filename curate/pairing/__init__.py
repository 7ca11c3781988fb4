"""Pairers: each one file, one frozen config, one behaviour on ids and numbers; `PAIRERS` is the whole list."""

from __future__ import annotations

from curate.pairing.given import Given
from curate.pairing.nearest_neighbour import NearestNeighbour
from curate.pairing.on_policy import OnPolicy
from curate.pairing.pairer import INDEX, PAIR, Context, Limits, Pairer
from curate.pairing.rewrite import Rewrite
from curate.pairing.same_prompt import SamePrompt

__all__ = ["INDEX", "PAIR", "PAIRERS", "Context", "Limits", "Pairer"]

PAIRERS: dict[str, type[Pairer]] = {
    "given": Given,
    "rewrite": Rewrite,
    "on_policy": OnPolicy,
    "same_prompt": SamePrompt,
    "nearest_neighbour": NearestNeighbour,
}
