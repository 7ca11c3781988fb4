"""What labelers that give categories share: their columns, which rows they are asked about, and what is said of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.cache import cached
from curate.core.contracts import Schema
from curate.core.policy import load_policy
from curate.core.progress import Progress
from curate.labelers.platt import Floats

UNDECIDED = "undecided"
Only = Literal["undecided"]
"""Rows that an expensive labeler is asked about; what the stage `undecided` chose."""

MARK = "\x1f"  # between a prompt and its completion: ASCII's unit separator, which `repair` leaves in no text

Scores = NDArray[np.float32]
"""Shape (n, 1 + categories): toxic, then the labeler's categories in their order; in [0, 1], NaN where it abstains."""

Scorer = Callable[[list[str], Progress], Scores]


def score_columns(name: str, categories: Sequence[str]) -> Schema:
    """`score_<name>` and one column for each category."""
    return dict.fromkeys((f"score_{name}", *(f"score_{name}_{category}" for category in categories)), pl.Float32)


def columns_read(only: Only | None) -> tuple[str, ...]:
    """What such a labeler reads of a row."""
    return ("completion", UNDECIDED) if only else ("completion",)


def score_texts(
    name: str, key: str, texts: Sequence[str], width: int, compute: Scorer, progress: Progress | None = None
) -> Scores:
    """Scores of texts: what the cache knows of them, and what the labeler says of the others; with progress.

    Args:
        name: the labeler's recipe word.
        key: hash of all that decides what it says.
        texts: any texts.
        width: numbers a text.
        compute: scores of texts that are not known yet.
        progress: told of each text; one of its own by default.
    """
    if progress is None:
        with Progress(name, len(set(texts)), "texts") as own:
            return score_texts(name, key, texts, width, compute, own)
    return cached(key, texts, lambda some: compute(some, progress), width, progress)


def score_rows(rows: pl.DataFrame, writes: Schema, only: Only | None, scores: Callable[[Sequence[str]], Scores]) -> pl.DataFrame:
    """One line per row, columns of `writes`; null where the labeler abstains or was not asked."""
    mask = rows[UNDECIDED].fill_null(False) if only else pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True)
    places = np.flatnonzero(mask.to_numpy())
    columns = np.full((rows.height, len(writes)), np.nan, np.float32)
    if len(places):
        columns[places] = scores(rows["completion"].fill_null("").gather(places).to_list())
    return pl.DataFrame(columns, schema=writes).fill_nan(None)


def joined(texts: Sequence[str], prompts: Sequence[str | None] | None = None) -> list[str]:
    r"""Each text behind what it answers, a mark between them that neither holds; a text alone where no prompt is known.

    Args:
        texts: n texts.
        prompts: n prompts, None or blank where there is none; none at all by default.

    >>> joined(["Can", "Can"], [None, "Tomorrow ok?"])
    ['Can', 'Tomorrow ok?\x1fCan']
    """
    texts = [text.replace(MARK, " ") for text in texts]
    if prompts is None:
        return texts
    return [
        f"{prompt.replace(MARK, ' ')}{MARK}{text}" if prompt and prompt.strip() and text.strip() else text
        for text, prompt in zip(texts, prompts, strict=True)
    ]


def by_category(
    probabilities: NDArray[np.floating], labels: Sequence[str], categories: Mapping[str, Sequence[str]]
) -> NDArray[np.floating]:
    """The largest probability among the labels of each category, shape (n, categories).

    Args:
        probabilities: shape (n, labels).
        labels: name of each column.
        categories: category -> the labels that speak of it.
    """
    place = {label: at for at, label in enumerate(labels)}
    columns = [probabilities[:, [place[label] for label in named]].max(axis=1) for named in categories.values()]
    return np.stack(columns, axis=1)


def policy_categories(names: Sequence[str]) -> tuple[str, ...]:
    """Categories in the order of the policy page."""
    return tuple(category for category in load_policy().categories if category in set(names))


def rounded(probabilities: NDArray[np.floating]) -> Scores:
    """To six decimals: far above the noise of sums, far below what decides anything."""
    return np.asarray(np.round(probabilities.astype(np.float64), 6), np.float32)


def say(line: str) -> None:
    """One line for people, on standard error."""
    sys.stderr.write(line + "\n")


EDGE = 1e-4  # a score is never taken for more certain than this: one labeler cannot outvote all others by a rounding


def log_odds(scores: Floats) -> Floats:
    """Log-odds of probabilities, which are kept EDGE away from 0 and 1."""
    inside = np.clip(scores, EDGE, 1 - EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))
