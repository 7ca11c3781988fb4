"""Generators: each one file, one frozen config, one behaviour; `GENERATORS` is the whole list.

They read rows that every stage kept and give new texts, which go through every stage like any other text.
"""

from __future__ import annotations

from curate.generation.generator import Ask, Generator
from curate.generation.on_policy import OnPolicyGenerator
from curate.generation.rewrite import RewriteGenerator

__all__ = ["GENERATORS", "Ask", "Generator"]

GENERATORS: dict[str, type[Generator]] = {
    "rewrite": RewriteGenerator,
    "on_policy": OnPolicyGenerator,
}
