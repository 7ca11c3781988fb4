"""Length: bounds in characters and words, with the length that broke them."""

from __future__ import annotations

import polars as pl
import pytest

from curate.core.config import build
from curate.core.errors import RecipeError
from curate.core.schema import MESSAGE
from curate.stages.length import Length


def judge(stage: Length, completion: str | None, *prompt: str) -> tuple[str | None, float | None]:
    messages = [{"role": "user", "content": content} for content in prompt]
    rows = pl.DataFrame(
        {"prompt": [messages], "completion": [completion]}, schema={"prompt": pl.List(MESSAGE), "completion": pl.String}
    )
    return stage(rows).row(0)


@pytest.mark.parametrize("text", ["can lah", "好的", "😂 😂", "நன்றி நண்பா", "ok 8pm"])
def test_short_replies_of_two_words_are_kept(text: str) -> None:
    assert judge(Length(), text) == (None, None)


@pytest.mark.parametrize(("text", "score"), [("k", 1.0), ("", 0.0), (None, 0.0), ("...", 0.0), ("haha", 1.0), ("don't", 1.0)])
def test_less_is_too_short_and_says_how_long_it_was(text: str | None, score: float) -> None:
    assert judge(Length(), text) == ("too_short", score)


def test_bounds_are_inclusive() -> None:
    assert judge(Length(max_chars=7), "can lah")[0] is None
    assert judge(Length(max_chars=6), "can lah") == ("too_long", 7.0)
    assert judge(Length(max_words=1, min_words=1), "can lah") == ("too_long", 2.0)


def test_all_messages_of_a_prompt_count_together() -> None:
    assert judge(Length(max_prompt_words=3), "can lah", "one two", "three") == (None, None)
    assert judge(Length(max_prompt_words=3), "can lah", "one two", "three four") == ("too_long", 4.0)
    assert judge(Length(min_prompt_chars=1), "can lah") == ("too_short", 0.0)


def test_bounds_that_nothing_meets_are_refused() -> None:
    with pytest.raises(RecipeError, match="min_chars 5 is more than max_chars 2"):
        build(Length, {"min_chars": 5, "max_chars": 2}, "recipes/x.yaml: stages[3]: length")


def test_no_rows_give_no_rows() -> None:
    rows = pl.DataFrame(schema={"prompt": pl.List(MESSAGE), "completion": pl.String})
    assert Length()(rows).height == 0
