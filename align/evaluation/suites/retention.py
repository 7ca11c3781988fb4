"""What did alignment forget? Perplexity of mild replies that no phase trained on, and the distance from the base on them."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from align.data.dataset import tokens
from align.data.figures import JsonObject, SuiteFigures, TextFigures
from align.evaluation.public import Limit
from align.evaluation.subject import Measured, Subject
from align.models.likelihood import kl_figures, likelihoods
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import MESSAGE

if TYPE_CHECKING:
    from align.data.dataset import Dataset


@config
class Retention:
    """Perplexity per token of held-out desirable completions, given their prompts.

    `neutral`: sources that no training row may come from, so their topics occur in no phase. `clean`: mild replies to
    prompts that are not benign (they or their threads drew toxic ones), what alignment should teach. On the validation split,
    neutral rows are background rows, which a built-in base model has read: what is chosen there has seen none of the rows that
    the test counts.

    `kl` is KL(model || base) at the tokens of these very texts: see `align.models.likelihood`. The logarithm of a perplexity
    over the base's is another thing, the difference of cross-entropies. KL on texts that the model draws itself stands among the
    figures of the suites that sample.

    Args:
        max_rows: at most this many rows of each kind; none takes all.
    """

    max_rows: Limit = None
    VERSION: ClassVar[int] = 3

    def __call__(self, subject: Subject) -> Measured:
        """Figures for each kind: perplexity, n (rows) and tokens, and kl: nats per token, se (rows vary), rows.

        A kind without rows has perplexity and kl null; kl is null, too, where there is no base to compare with.

        Raises:
            DataError: there is no row of either kind.
        """
        dataset, split = subject.dataset, subject.split
        kinds = dataset.once(f"retention {split}", lambda: _kinds(dataset, split))
        texts: dict[str, TextFigures] = {}
        items: list[JsonObject] = []
        for kind, rows in kinds.items():
            taken = rows.head(self.max_rows) if self.max_rows else rows
            name = f"retention {split} {kind} {taken.height} {id(subject.tokenizer)}"
            prompts, completions = dataset.once(name, partial(_tokens, taken, subject))
            scored = likelihoods(subject.model, prompts, completions, subject.base)
            lengths = [len(completion) for completion in completions]
            perplexity = math.exp(-sum(one.log_prob for one in scored) / sum(lengths)) if scored else None
            texts[kind] = TextFigures(perplexity, len(scored), sum(lengths), kl_figures(scored, lengths))
            items += [
                {"id": name, "kind": kind, "log_prob": one.log_prob, "tokens": length, "kl": one.kl}
                for name, one, length in zip(taken["id"].to_list(), scored, lengths, strict=True)
            ]
        return Measured(SuiteFigures(texts=texts), items)


def _kinds(dataset: Dataset, split: str) -> dict[str, pl.DataFrame]:
    """Rows of each kind: id, prompt, completion (messages); in order of id."""
    table = dataset.split("unpaired", split)
    if table.is_empty() or not table["label"].any():
        raise DataError(
            f"{dataset.folder}/unpaired/{split}: found no desirable row to measure retention on", hint="build from more input"
        )
    never = [any(fnmatchcase(source, pattern) for pattern in dataset.never_train) for source in table["source"].to_list()]
    table = table.with_columns(never=pl.Series(never, dtype=pl.Boolean)).filter("label").sort("id")
    clean, neutral = table.filter(~pl.col("never") & ~pl.col("benign")), table.filter("never")
    if split == "validation":
        rows = dataset.corpus(["id", "prompt", "completion", "toxic", "split", "reason"])
        asked = (pl.col("prompt").list.len() > 0) & (pl.col("reason") == "background")
        rows = rows.filter((pl.col("split") == "background") & ~pl.col("toxic") & asked).sort("id")
        replies = [[{"role": "assistant", "content": text}] for text in rows["completion"].to_list()]
        neutral = rows.with_columns(completion=pl.Series(replies, dtype=pl.List(MESSAGE)))
    return {kind: rows.select("id", "prompt", "completion") for kind, rows in (("neutral", neutral), ("clean", clean))}


def _tokens(rows: pl.DataFrame, subject: Subject) -> tuple[list[list[int]], list[list[int]]]:
    return tokens(rows["prompt"].to_list(), rows["completion"].to_list(), subject.tokenizer)
