"""What composing made, in numbers: the section `dataset` of a manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BeforeValidator

Tally = dict[str, int]
"""Word -> how many."""


@dataclass(frozen=True)
class StrategyCounts:
    """What a pairer proposed: accepted pairs, and refused candidates by reason."""

    pairs: int
    refused: Tally


@dataclass(frozen=True)
class PairedBias:
    """What else tells chosen from rejected: lengths (medians' ratio, AUC), and shares in [0, 1] by side."""

    pairs: int
    median_length_ratio: float
    shorter_is_chosen_auc: float
    refusal_share: dict[str, float]
    variety_share: dict[str, dict[str, float]]


@dataclass(frozen=True)
class UnpairedBias:
    """The same of desirable against undesirable."""

    median_length_ratio: float
    shorter_is_desirable_auc: float
    refusal_share: dict[str, float]
    variety_share: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Bias:
    """By strategy and over "all"; None where unpaired train lacks a side, which the file writes as {}."""

    paired: dict[str, PairedBias] = field(default_factory=dict)
    unpaired: Annotated[UnpairedBias | None, BeforeValidator(lambda value: value or None)] = None


@dataclass(frozen=True)
class BenignCounts:
    """Benign rows: most asked for, rows by split, the real shares of train (None without rows), and rows left out of train."""

    asked: float = 0.0
    sft_asked: float = 1.0
    unpaired: Tally = field(default_factory=dict)
    sft: Tally = field(default_factory=dict)
    unpaired_train_share: float | None = None
    sft_train_share: float | None = None
    unpaired_left_out: int = 0
    sft_left_out: int = 0

    def train_shares(self) -> dict[str, float | None]:
        """Output -> real share of its train split."""
        return {"unpaired": self.unpaired_train_share, "sft": self.sft_train_share}


@dataclass(frozen=True)
class PurgeCounts:
    """Held-out rows before the purge, the share of them that it took, in [0, 1], and how many by what they share."""

    held_out: int = 0
    share: float = 0.0
    validation: Tally = field(default_factory=dict)
    test: Tally = field(default_factory=dict)

    def by_split(self) -> dict[str, Tally]:
        """Split -> rows purged, by what they share."""
        return {"validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class VerdictCounts:
    """What people said of single rows: rows of this build, of which the labelers had said otherwise, and no rows of it."""

    rows: int = 0
    changed: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class OverlapCounts:
    """Overlap with one evaluation set: its items, training rows that overlap, and these by kind of likeness."""

    items: int
    rows: int
    grams: int
    near: int
    semantic: int


@dataclass(frozen=True)
class DatasetCounts:
    """What composing made, in numbers; `rows_in` = `kept` + the sum of `dropped`.

    Attributes:
        rows_in: rows that every stage kept.
        kept: of them, rows in an output.
        dropped: reason -> rows in none.
        paired: split -> pairs.
        unpaired: split -> "desirable" and "undesirable" -> rows.
        sft: split -> rows.
        splits: split -> rows of the whole build.
        strategies: pairer -> what it proposed.
        relations: relation -> pairs.
        generated: side -> rows that generators made.
        bias: what else tells the sides apart, in train.
        benign: rows whose prompt nothing speaks against.
        purged: held-out rows that training shows.
        labels: "toxic" and "non_toxic" -> evidence -> unpaired rows.
        variety: variety -> unpaired rows.
        words: side -> mean words of a completion; None without rows.
        pii: type -> replacements, in all rows.
        kto: weights of the sides that KTO would want, None where a side is empty.
        verdicts: what people said after an earlier build.
        contamination: evaluation set -> overlap.
        suspect: stage -> pairs of kept near copies with opposite labels.
    """

    rows_in: int = 0
    kept: int = 0
    dropped: Tally = field(default_factory=dict)
    paired: Tally = field(default_factory=dict)
    unpaired: dict[str, Tally] = field(default_factory=dict)
    sft: Tally = field(default_factory=dict)
    splits: Tally = field(default_factory=dict)
    strategies: dict[str, StrategyCounts] = field(default_factory=dict)
    relations: Tally = field(default_factory=dict)
    generated: Tally = field(default_factory=dict)
    bias: Bias = Bias()
    benign: BenignCounts = BenignCounts()
    purged: PurgeCounts = PurgeCounts()
    labels: dict[str, Tally] = field(default_factory=dict)
    variety: Tally = field(default_factory=dict)
    words: dict[str, float | None] = field(default_factory=dict)
    pii: Tally = field(default_factory=dict)
    kto: dict[str, float] | None = None
    verdicts: VerdictCounts = VerdictCounts()
    contamination: dict[str, OverlapCounts] = field(default_factory=dict)
    suspect: Tally = field(default_factory=dict)

    def sizes(self) -> dict[str, Tally]:
        """Output -> split -> rows."""
        unpaired = {split: sum(sides.values()) for split, sides in self.unpaired.items()}
        return {"paired": self.paired, "unpaired": unpaired, "sft": self.sft}
