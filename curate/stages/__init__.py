"""Stages: each one file, one frozen config, one behaviour; `STAGES` is the whole list."""

from curate.contracts import CorpusStage, Keys, RowStage, Schema

__all__ = ["CorpusStage", "Keys", "RowStage", "Schema"]
