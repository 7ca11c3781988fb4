"""Pairers: each one file, one frozen config, one behaviour on ids and numbers; `PAIRERS` is the whole list.

`propose` asks them in turn, `invariants` holds what every pair must keep to, `greedy` and `vectors` serve several.
"""

from __future__ import annotations

from curate.pairing.given import GivenPairer
from curate.pairing.nearest_neighbour import NearestNeighbourPairer
from curate.pairing.on_policy import OnPolicyPairer
from curate.pairing.pairer import INDEX, PAIR, Context, Limits, Pairer
from curate.pairing.rewrite import RewritePairer
from curate.pairing.same_prompt import SamePromptPairer

__all__ = ["INDEX", "PAIR", "PAIRERS", "Context", "Limits", "Pairer"]

PAIRERS: dict[str, type[Pairer]] = {
    "given": GivenPairer,
    "rewrite": RewritePairer,
    "on_policy": OnPolicyPairer,
    "same_prompt": SamePromptPairer,
    "nearest_neighbour": NearestNeighbourPairer,
}
