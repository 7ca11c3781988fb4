"""Labelers: rows in, probability of toxicity out, and the consensus of them; `LABELERS` is the whole list."""

from __future__ import annotations

from curate.contracts import RowStage, TextLabeler
from curate.labelers.column import Column
from curate.labelers.consensus import Consensus
from curate.labelers.detoxify import Detoxify
from curate.labelers.head import Head
from curate.labelers.hf import Hf
from curate.labelers.lexicon import Lexicon
from curate.labelers.lionguard import Lionguard
from curate.labelers.llm import Llm
from curate.labelers.ngram import Ngram
from curate.labelers.reply import Reply
from curate.labelers.tuned import Tuned

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
