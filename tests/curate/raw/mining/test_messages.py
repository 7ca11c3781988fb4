from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from curate.raw.mining.messages import cut, messages, sides

Mine = Callable[..., list[list[dict[str, Any]] | str]]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_conversations_that_differ_before_the_last_turn_are_no_pair(mine: Mine) -> None:
    first, second = (
        "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "\n\nHuman: a\n\nAssistant: x\n\nHuman: c\n\nAssistant: d",
    )
    assert sides(first, second) is None
    assert mine([{"chosen": first, "rejected": second}]) == ["prompts_differ"]
    assert mine([{"chosen": "same", "rejected": "same"}, {"chosen": "", "rejected": "x"}]) == ["sides_equal", "empty"]


def test_a_cut_loses_nothing_and_is_never_within_a_word() -> None:
    chance = random.Random(3)
    for _ in range(500):
        words = [
            chance.choice(["lah", "so,", "what?", "makan", "你好。", "😀", "e.g.", "\u2028"])
            for _ in range(chance.randrange(0, 15))
        ]
        text = " ".join(words)
        first, second = cut(text)
        assert "".join((first + second).split()) == "".join(text.split())
        assert second or not text.strip()
        assert len(text.split()) >= 6 or not first


def test_transcripts_are_told_from_texts_that_mention_a_speaker() -> None:
    assert messages("Human: hi\n\nAssistant: hello") == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
    ]
    assert messages("I am only Human: he said") == user("I am only Human: he said")
