"""Run a model over texts so that what it says of one does not depend on the others: batches of one token length, no padding."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from curate.core.progress import Progress

BATCH_TOKENS = 1024  # tokens per forward pass; 128 to 4,096 measured within 15 % of each other on one core
LEAST_TOKENS = 64  # fewer in a forward pass are filled up with repeats: 3 took another kernel, 4 and more did not

Vectors = NDArray[np.float32]


def by_length(
    texts: Sequence[str],
    count: Callable[[list[str]], list[int]],
    run: Callable[[list[str]], Vectors],
    width: int,
    blank: float,
    progress: Progress | None = None,
) -> Vectors:
    """What a model says of texts, on one thread, in batches of one token length each (see `curate.text.encoders` for why).

    Args:
        texts: any texts, in any order; each different one is given to the model once.
        count: token counts of texts.
        run: numbers (n, width) of n texts of one token length.
        width: numbers a text.
        blank: what a text without a visible character gets.
        progress: told of every text that is done, repeats included.

    Returns:
        Shape (n, width).
    """
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)
    vectors = np.full((len(texts), width), blank, np.float32)
    tell = progress.add if progress else _tell_nobody
    tell(sum(len(where) for text, where in places.items() if not text.strip()))
    speaking = [text for text in places if text.strip()]
    if not speaking:
        return vectors
    with one_thread():
        for length, batch in _batches(speaking, count(speaking)):
            fill = max(0, -(-LEAST_TOKENS // max(length, 1)) - len(batch))
            answers = run(batch + batch[:1] * fill)[: len(batch)]
            for text, numbers in zip(batch, answers, strict=True):
                vectors[places[text]] = numbers
            tell(sum(len(places[text]) for text in batch))
    return vectors


def _batches(texts: list[str], counts: list[int]) -> Iterator[tuple[int, list[str]]]:
    """Token count and texts that have it, shortest first, about BATCH_TOKENS tokens each."""
    order = sorted(zip(counts, texts, strict=True))
    start = 0
    while start < len(order):
        count = order[start][0]
        stop = start + 1
        while stop < len(order) and order[stop][0] == count and (stop - start + 1) * count <= BATCH_TOKENS:
            stop += 1
        yield count, [text for _, text in order[start:stop]]
        start = stop


_threads = threading.Lock()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread while encoding: on busy cores more threads wait for each other, and a sum's order may change."""
    import torch

    with _threads:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _tell_nobody(_: int) -> None:
    return None
