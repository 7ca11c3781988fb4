"""A dataset folder in Python: its outputs as polars frames, and questions that its stored facts answer."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.outputs import schema_of
from curate.compose.splits import SPLITS
from curate.core.errors import DataError
from curate.core.manifest import read_manifest
from curate.dataset import thresholds
from curate.dataset.formats import OUTPUTS, read_output, read_table
from curate.dataset.look import explain, summary
from curate.pages.tables import table_lines

NO_THRESHOLD = ("exact_duplicates", "repeated_completions", "templates", "outliers")
"""Stages that store likenesses and drop by another rule than a threshold on them; `curate show` looks at these."""


class Text(str):
    """A text that a notebook and an interactive session show as it reads."""

    __slots__ = ()
    __repr__ = str.__str__


class Dataset:
    """A dataset folder that `curate.build` made.

    `curate.build` and `curate.open` give one. Frames are read when they are first asked for, and kept.

    Attributes:
        folder: where it lies.

    Example:
        >>> dataset = curate.open("pairs/")
        >>> dataset
        pairs: small, 432 rows read, 216 in an output
                  train  validation  test
        paired       76           5    27
        unpaired    152          10    54
        sft          76           5    27
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = folder.absolute()  # a notebook may change its working folder before a frame is read
        self._facts = read_manifest(folder)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What `manifest.json` says: the resolved recipe, sources, counts by stage, checksums.

        Example:
            >>> dataset.manifest["records"]["read"]
            432
        """
        tree: dict[str, Any] = json.loads((self._place / "manifest.json").read_bytes())
        return tree

    @cached_property
    def paired(self) -> pl.DataFrame:
        """Pairs: prompt, chosen, rejected, their scores and provenance, and `split`.

        Example:
            >>> dataset.paired.group_by("split").len().sort("len").rows()
            [('validation', 5), ('test', 27), ('train', 76)]
        """
        return self._output("paired")

    @cached_property
    def unpaired(self) -> pl.DataFrame:
        """Single completions: prompt, completion, `label` (true: desirable), their scores and provenance, and `split`.

        Example:
            >>> dataset.unpaired.filter(pl.col("split") == "train")["label"].sum()
            76
        """
        return self._output("unpaired")

    @cached_property
    def sft(self) -> pl.DataFrame:
        """Desirable completions: prompt, completion, provenance, and `split`.

        Example:
            >>> dataset.sft.height
            108
        """
        return self._output("sft")

    @cached_property
    def corpus(self) -> pl.DataFrame:
        """Every row that was read, kept or dropped: what each stage said of it, and where it went.

        `stage` and `reason` say who dropped a row and why; both are null for a row in an output.

        Example:
            >>> dataset.corpus["reason"].drop_nulls().value_counts().sort("reason").rows()
            [('abstained', 216)]
        """
        return pl.concat([read_table(self._place, self._facts, path) for path in self._facts.tables("corpus/")])

    def summary(self) -> Text:
        """What the build did, on one screen: records, rows by stage and reason, outputs, warnings; no text of any row.

        Returns:
            What `curate build` prints at its end.

        Example:
            >>> print(dataset.summary().splitlines()[2])
            records  432 read = 432 mined + 0 skipped + 0 quarantined
        """
        return Text(summary.summary(self._facts, self.folder))

    def explain(self, row: str, *, show_text: bool = False) -> Text:
        """The life of one row: where it came from, what every stage said, its label, its split, its pairs.

        Args:
            row: its id, or the beginning of one.
            show_text: the row's own text too, which may be toxic or personal.

        Raises:
            UserError: no row, or more than one, has such an id.

        Example:
            >>> dataset.explain("019129f1")
            row 019129f1851433f94449fb9b271325db
              source          talk.jsonl, line 347
              ...
              label           non_toxic, toxicity 0, evidence human (1 votes, 0 say toxic)
              ...
              split           train
              unpaired        train, desirable
              sft             train
              pair            ...: train, chosen over ... (same_prompt, margin 1)
        """
        return Text(explain.explain(self._place, row, show_text=show_text))

    def rethreshold(self, stage: str, threshold: float) -> pl.DataFrame:
        """Rows that another threshold would drop, by the stage's own rule, from the likenesses that the build stored.

        The build stored pairs from its own threshold up: below that, further rows may drop that were never compared.

        Args:
            stage: a stage that compares rows: "near_duplicates", "semantic_duplicates".
            threshold: likeness from which two rows count as one.

        Returns:
            One line per dropped row: `id`, `twin` (the row that is kept in its place), `score` (how alike they are).

        Raises:
            UserError: the stage has no threshold, or the build had no such stage.

        Example:
            >>> {at: dataset.rethreshold("near_duplicates", at).height for at in (0.5, 0.6, 0.7)}
            {0.5: 4, 0.6: 4, 0.7: 0}
        """
        stored = self._facts.similarities
        if stage not in stored or stage in NO_THRESHOLD:
            names = [name for name in stored if name not in NO_THRESHOLD]
            hint = f"one of {', '.join(names)}" if names else "build with near_duplicates"
            raise DataError(f"{self.folder}: stage {stage!r} has no threshold to change", hint=hint)
        rows = thresholds.entered(self._place, self._facts, stage)
        return thresholds.would_drop(read_table(self._place, self._facts, stored[stage]), rows, threshold)

    def __repr__(self) -> str:
        facts = self._facts
        head = f"{self.folder}: {facts.name}, {facts.records.rows:,} rows read"
        sizes = [(name, *(f"{self._height(name, split):,}" for split in SPLITS)) for name in OUTPUTS]
        return "\n".join([f"{head}, {facts.dataset.kept:,} in an output", *table_lines(("", *SPLITS), sizes)])

    def _height(self, output: str, split: str) -> int:
        return sum(self._facts.files[path].rows or 0 for path in self._facts.tables(f"{output}/{split}-"))

    def _output(self, output: str) -> pl.DataFrame:
        columns = list(schema_of(output, self._facts.form))
        return pl.concat(
            read_output(self._place, self._facts, f"{output}/{split}-", columns).with_columns(split=pl.lit(split))
            for split in SPLITS
        )
