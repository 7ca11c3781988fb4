"""Labelers: rows in, probability of toxicity out, and the consensus of them; `LABELERS` is the whole list."""

from __future__ import annotations

from curate.core.contracts import RowStage, TextLabeler
from curate.labelers.builtin.head import Head
from curate.labelers.builtin.ngram import Ngram
from curate.labelers.builtin.reply import Reply
from curate.labelers.builtin.tuned import Tuned
from curate.labelers.column import Column
from curate.labelers.consensus import Consensus
from curate.labelers.lexicon.lexicon import Lexicon
from curate.labelers.outside.detoxify import Detoxify
from curate.labelers.outside.hf import Hf
from curate.labelers.outside.lionguard import Lionguard
from curate.labelers.outside.llm import Llm

__all__ = ["LABELERS", "RowStage", "TextLabeler"]

LABELERS: dict[str, type[RowStage]] = {
    "column": Column,
    "head": Head,
    "ngram": Ngram,
    "reply": Reply,
    "tuned": Tuned,
    "lexicon": Lexicon,
    "detoxify": Detoxify,
    "lionguard": Lionguard,
    "hf": Hf,
    "llm": Llm,
    "consensus": Consensus,
}
