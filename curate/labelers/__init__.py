"""Labelers: text in, probability of toxicity out; `LABELERS` is the whole list."""

from curate.contracts import TextLabeler

__all__ = ["TextLabeler"]
