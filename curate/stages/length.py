"""Drop rows whose completion or prompt is too short or too long to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import polars as pl
from pydantic import Field

from curate.core.config import config
from curate.core.errors import RecipeError

if TYPE_CHECKING:
    from curate.core.contracts import Schema

# A word: letters and digits in a row, a character of a script without spaces, or an emoji. "..." and "?!" are none.
_WORD = (
    r"\p{Han}|\p{Hiragana}+|\p{Katakana}+|\p{Thai}{3}|\p{Extended_Pictographic}"
    r"|[\p{Latin}\p{Tamil}\p{Devanagari}\p{M}\p{N}'’]+|\p{L}+"
)

Count = Annotated[int, Field(ge=0)]

MAX_PROMPT_CHARS = 8000  # of all messages together; what is longer is a page that was pasted


@config
class Length:
    """Drop a row outside the bounds: `too_short` or `too_long`, with the length that broke the bound as score.

    Bounds are inclusive. The completion is checked first, characters before words. The defaults keep "can lah" and drop
    "k", ".", and pastes of whole pages.

    Args:
        min_chars: characters of the completion.
        max_chars: characters of the completion.
        min_words: words of the completion; a Chinese character or an emoji counts as one.
        max_words: words of the completion.
        min_prompt_chars: characters of all messages of the prompt together; 0 lets rows without a prompt pass.
        max_prompt_words: words of all messages of the prompt together.
    """

    min_chars: Count = 2
    max_chars: Count = 4000
    min_words: Count = 2
    max_words: Count = 1000
    min_prompt_chars: Count = 0
    max_prompt_words: Count = 2000
    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse bounds that nothing can meet."""
        for unit, (low, high) in self._bounds.items():
            if low > high:
                raise RecipeError(
                    f"length: min_{unit} {low} is more than max_{unit} {high}; no row could pass", hint=f"lower min_{unit}"
                )

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", "completion")

    @property
    def writes(self) -> Schema:
        """Columns it adds: none."""
        return {}

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Measure and judge all rows at once."""
        completion = pl.col("completion").fill_null("")
        prompt = pl.col("prompt").list.eval(pl.element().struct.field("content")).list.join("\n", ignore_nulls=True).fill_null("")
        lengths = rows.select(
            chars=completion.str.len_chars(),
            words=completion.str.count_matches(_WORD),
            prompt_chars=prompt.str.len_chars(),
            prompt_words=prompt.str.count_matches(_WORD),
        )
        reason, score = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.Float32)
        for unit, (low, high) in reversed(self._bounds.items()):  # last written wins, so the first in order is judged last
            length = pl.col(unit)
            short, long = length < low, length > high
            reason = pl.when(short).then(pl.lit("too_short")).when(long).then(pl.lit("too_long")).otherwise(reason)
            score = pl.when(short | long).then(length.cast(pl.Float32)).otherwise(score)
        return lengths.select(reason=reason, score=score)

    @property
    def _bounds(self) -> dict[str, tuple[int, int]]:
        """Least and most of each unit, in the order in which they are judged."""
        return {
            "chars": (self.min_chars, self.max_chars),
            "words": (self.min_words, self.max_words),
            "prompt_chars": (self.min_prompt_chars, MAX_PROMPT_CHARS),
            "prompt_words": (0, self.max_prompt_words),
        }
