"""The labelled completions of a grid: tokenised once, drawn in one nested order per seed, the same for every method."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from align.data import phase_rows
from align.rows import Rows
from curate.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from align.data import Dataset
    from align.objectives import Objective


@dataclass(frozen=True)
class Pool:
    """Every pair of the training split.

    Attributes:
        rows: rows 2i and 2i + 1 are the chosen and the rejected side of pair i.
    """

    rows: Rows

    def order(self, seed: int) -> list[int]:
        """Pairs in a random order in which no completion occurs twice: the first n / 2 are n labelled completions."""
        pairs = list(range(len(self.rows) // 2))
        random.Random(f"order:{seed}").shuffle(pairs)
        seen: set[str] = set()
        kept = []
        for pair in pairs:
            sides = {self.rows.ids[2 * pair], self.rows.ids[2 * pair + 1]}
            if not sides & seen:
                seen |= sides
                kept.append(pair)
        return kept

    def draw(self, seed: int, size: int) -> list[int]:
        """The pairs of a cell; those of a smaller size are the first of them.

        Raises:
            DataError: there are not so many.
        """
        order = self.order(seed)
        if size > 2 * len(order):
            raise DataError(
                f"ablation: sizes: {size:,} labelled completions asked for, {2 * len(order):,} are in pairs that share none;"
                " take smaller sizes or build from more data"
            )
        return order[: size // 2]

    def rows_for(self, objective: Objective, pairs: list[int]) -> Rows:
        """What an objective trains on: the pairs, their sides one by one, or the chosen sides alone.

        Args:
            objective: says what it needs.
            pairs: indices of pairs.
        """
        if "desirable" in objective.needs:
            return self._take([2 * pair for pair in pairs], paired=False)
        return self._take([2 * pair + side for pair in pairs for side in (0, 1)], paired="paired" in objective.needs)

    @cached_property
    def mean_tokens(self) -> float:
        """Tokens of a row, prompt and completion together, on average."""
        return sum(self.rows.lengths) / len(self.rows)

    def _take(self, chosen: list[int], *, paired: bool) -> Rows:
        rows = self.rows
        return Rows(
            prompts=[rows.prompts[at] for at in chosen],
            completions=[rows.completions[at] for at in chosen],
            desirable=[rows.desirable[at] for at in chosen],
            pair=[at ^ 1 if paired else -1 for at in range(len(chosen))],
            ids=[rows.ids[at] for at in chosen],
            unsafe=None if rows.unsafe is None else [rows.unsafe[at] for at in chosen],
        )


def open_pool(dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> Pool:
    """Tokenise the training pairs.

    Raises:
        DataError: there is none.
    """
    return Pool(phase_rows(dataset, frozenset({"paired", "safety"}), tokenizer))
