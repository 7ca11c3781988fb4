"""Batches of one token length: every text gets its own answer, whatever stands beside it."""

from __future__ import annotations

import numpy as np

from curate.text.batches import LEAST_TOKENS, by_length

TEXTS = ["a b", "c", "a b", " ", "d e", "f g h"]


def count(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_batches_are_of_one_length_filled_up_and_answers_go_to_their_places() -> None:
    batches: list[list[str]] = []

    def run(texts: list[str]) -> np.ndarray:
        batches.append(texts)
        return np.array([[ord(text[0]), len(text)] for text in texts], np.float32)

    answers = by_length(TEXTS, count, run, 2, -1.0)
    assert answers.tolist() == [[97, 3], [99, 1], [97, 3], [-1, -1], [100, 3], [102, 5]]
    assert all(len({len(text) for text in batch}) == 1 for batch in batches)
    assert all(sum(count(batch)) >= LEAST_TOKENS for batch in batches)


def test_nothing_is_asked_about_blank_texts() -> None:
    assert np.isnan(by_length(["", " \n"], count, lambda texts: 1 / 0, 3, float("nan"))).all()
