"""Pairs among answers that the very model to be aligned gave to one prompt."""

from __future__ import annotations

from typing import Annotated, ClassVar

import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.pairing.pairer import Context, candidates, own
from curate.pairing.same_prompt import within_prompts


@config
class OnPolicyPairer:
    """Pair toxic with non_toxic samples of one prompt, widest margin first; `generate: on_policy` makes the samples.

    A sample on whose label the labelers disagree is left out.

    Args:
        max_per_prompt: most pairs of one prompt.
        max_uses: most pairs that one sample may stand in.
    """

    max_per_prompt: Annotated[int, Field(ge=1)] = 2
    max_uses: Annotated[int, Field(ge=1)] = 1
    VERSION: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ()

    def pair(self, index: pl.DataFrame, context: Context) -> pl.DataFrame:
        """As `same_prompt`, among samples."""
        samples = own(index).filter(pl.col("side") == "sample", pl.col("agreed"))
        return candidates(within_prompts(samples, context, self.max_per_prompt, self.max_uses), "on_policy")
