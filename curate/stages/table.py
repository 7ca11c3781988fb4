"""The whole list of stages, by recipe word: each one file, one frozen config, one behaviour."""

from __future__ import annotations

from curate.core.contracts import CorpusStage, RowStage
from curate.stages.duplicates.exact_duplicates import ExactDuplicates
from curate.stages.duplicates.near_duplicates import NearDuplicates
from curate.stages.duplicates.repeated_completions import RepeatedCompletions
from curate.stages.duplicates.semantic_duplicates import SemanticDuplicates
from curate.stages.duplicates.templates import Templates
from curate.stages.encode import Encode
from curate.stages.language import Language
from curate.stages.length import Length
from curate.stages.outliers import Outliers
from curate.stages.pii import Pii
from curate.stages.repair import Repair
from curate.stages.undecided import Undecided

STAGES: dict[str, type[RowStage] | type[CorpusStage]] = {
    "repair": Repair,
    "pii": Pii,
    "language": Language,
    "length": Length,
    "exact_duplicates": ExactDuplicates,
    "repeated_completions": RepeatedCompletions,
    "near_duplicates": NearDuplicates,
    "templates": Templates,
    "encode": Encode,
    "semantic_duplicates": SemanticDuplicates,
    "outliers": Outliers,
    "undecided": Undecided,
}
