"""The labelled completions of a grid: tokenised once, drawn in one nested order per seed, the same for every method."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from align.data.dataset import phase_rows, tokens
from align.data.rows import Rows
from curate.core.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from align.ablation.grid import Grid
    from align.data.dataset import Dataset
    from align.objectives import Objective


@dataclass(frozen=True)
class Mixture:
    """What a cell trains on.

    Attributes:
        pairs: indices of pairs; two labelled completions each.
        benign: indices of benign rows; one labelled completion each.
    """

    pairs: list[int]
    benign: list[int]


@dataclass(frozen=True)
class Pool:
    """Every pair of the training split, and every benign row: an ordinary reply to a prompt that drew no toxic one.

    Attributes:
        rows: rows 2i and 2i + 1 are the chosen and the rejected side of pair i.
        benign: desirable rows in no pair; none where no grid asks for them.
    """

    rows: Rows
    benign: Rows | None = None

    def order(self, seed: int) -> list[int]:
        """Pairs in a random order in which no completion occurs twice: the first n / 2 are n labelled completions."""
        pairs = list(range(len(self.rows) // 2))
        random.Random(f"order:{seed}").shuffle(pairs)
        seen: set[str] = set()
        order = []
        for pair in pairs:
            sides = {self.rows.ids[2 * pair], self.rows.ids[2 * pair + 1]}
            if not sides & seen:
                seen |= sides
                order.append(pair)
        return order

    def draw(self, seed: int, size: int) -> list[int]:
        """The pairs of a cell; those of a smaller size are the first of them.

        Raises:
            DataError: there are not so many.
        """
        order = self.order(seed)
        if size > 2 * len(order):
            raise DataError(
                (f"ablation: sizes: {size:,} labelled completions asked for, {2 * len(order):,} are in pairs that share none"),
                hint="take smaller sizes or build from more data",
            )
        return order[: size // 2]

    def mixture(self, objective: Objective, seed: int, size: int, share: float) -> Mixture:
        """What makes up `size` labelled completions; that of a smaller size is the beginning of both lists.

        An objective that learns from pairs alone can take no single row: all of its completions are in pairs.

        Args:
            objective: says what it needs.
            seed: of the order.
            size: labelled completions, even.
            share: of them that are benign rows, rounded to an even number.

        Raises:
            DataError: there are not so many pairs or benign rows.
        """
        wanted = 0 if "paired" in objective.needs else 2 * round(share * size / 2)
        there = 0 if self.benign is None else len(self.benign)
        if wanted > there:
            raise DataError(
                (f"ablation: benign: {wanted:,} benign rows asked for at {size:,} labelled completions, {there:,} are there"),
                hint="take a smaller share or smaller sizes",
            )
        order = list(range(there))
        random.Random(f"benign:{seed}").shuffle(order)
        return Mixture(self.draw(seed, size - wanted), order[:wanted])

    def rows_for(self, objective: Objective, mixture: Mixture) -> Rows:
        """What an objective trains on: the pairs, their sides one by one, or the chosen sides alone; and the benign rows.

        Args:
            objective: says what it needs.
            mixture: pairs and benign rows.
        """
        if "paired" in objective.needs:
            return _take(self.rows, [2 * pair + side for pair in mixture.pairs for side in (0, 1)], paired=True)
        sides = (0,) if "desirable" in objective.needs else (0, 1)
        single = _take(self.rows, [2 * pair + side for pair in mixture.pairs for side in sides], paired=False)
        return single if self.benign is None else _join(single, _take(self.benign, mixture.benign, paired=False))

    @cached_property
    def mean_tokens(self) -> float:
        """Tokens of a row, prompt and completion together, on average."""
        return sum(self.rows.lengths) / len(self.rows)


def _take(rows: Rows, chosen: list[int], *, paired: bool) -> Rows:
    return Rows(
        prompts=[rows.prompts[at] for at in chosen],
        completions=[rows.completions[at] for at in chosen],
        desirable=[rows.desirable[at] for at in chosen],
        pair=[at ^ 1 if paired else -1 for at in range(len(chosen))],
        ids=[rows.ids[at] for at in chosen],
        unsafe=None if rows.unsafe is None else [rows.unsafe[at] for at in chosen],
    )


def _join(one: Rows, other: Rows) -> Rows:
    """Single rows, one after the other; what is benign is not unsafe."""
    return Rows(
        prompts=one.prompts + other.prompts,
        completions=one.completions + other.completions,
        desirable=one.desirable + other.desirable,
        pair=one.pair + other.pair,
        ids=one.ids + other.ids,
        unsafe=None if one.unsafe is None else one.unsafe + [False] * len(other),
    )


def open_pool(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, *, benign: bool = False) -> Pool:
    """Tokenise the training pairs, and the benign rows where a grid asks for them.

    Raises:
        DataError: there is none.
    """
    pairs = phase_rows(dataset, frozenset({"paired", "safety"}), tokenizer)
    return Pool(pairs, _benign(dataset, tokenizer, set(pairs.ids)) if benign else None)


def check_sizes(grid: Grid, pool: Pool) -> None:
    """Say now what would stop the largest cells in hours.

    Raises:
        DataError: there are not so many completions.
    """
    for phase in grid.axes.objectives:
        for seed in (*grid.axes.seeds, grid.axes.tuning.seed):
            pool.mixture(phase.objective, seed, grid.axes.sizes[-1], grid.axes.benign)


def _benign(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, in_pairs: set[str]) -> Rows:
    table = dataset.split("unpaired", "train")
    if table.is_empty() or "benign" not in table.columns:
        raise DataError(f"{dataset.folder}/unpaired/train: found no benign rows", hint="leave ablation.benign out")
    table = table.filter(table["label"] & table["benign"] & ~table["id"].is_in(in_pairs)).sort("id")
    prompts, completions = tokens(table["prompt"].to_list(), table["completion"].to_list(), tokenizer)
    count = table.height
    return Rows(prompts, completions, [True] * count, [-1] * count, table["id"].to_list())
