"""What it costs to keep evaluation data out of training, and to compare rows by vector.

    python benchmarks/leakage.py

Contamination: 200,000 made-up texts (see duplicates_corpus.py) against 2,000, half of them copies. Semantic: 50,000 vectors of
width 384, a third of them near copies of others, by all pairs and by cells; then the same with the built-in encoder's vectors of
real messages, where the public set `nus_sms_dev` is there. Batches: real encoding, in batches of three sizes.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path

import numpy as np
from duplicates_corpus import copy, corpus
from numpy.typing import NDArray

from curate.stages.duplicates.semantic_duplicates import _alike
from curate.text import batches
from curate.text.encoders import BUILTIN, encoder
from curate.text.similarity import overlap

MESSAGES = Path(__file__).resolve().parents[2] / "shared/data/nus_sms_dev/nus_sms_en_dev.jsonl.gz"
REAL = 5_000  # messages that are encoded

Pairs = set[tuple[int, int]]


def contamination(rows: int = 200_000, items: int = 2_000) -> None:
    """CPU seconds of each kind of overlap."""
    texts, _ = corpus(rows + items)
    dice = random.Random(1)
    held = [copy(texts[dice.randrange(rows)], dice) if at % 2 else texts[rows + at] for at in range(items)]
    texts = texts[:rows]
    for find, floor in ((overlap.shared_grams, 0.5), (overlap.near_copies, 0.8)):
        start = time.process_time()
        found = find(texts, held, floor)
        took = time.process_time() - start
        print(f"contamination, {rows:,} x {items:,} rows, {find.__name__}: {took:.2f} CPU-s, {len(found.text):,} pairs")
    many, few = vectors(rows), vectors(items, seed=1)
    start = time.process_time()
    overlap.neighbours(many, few, 0.95)
    print(f"contamination, {rows:,} x {items:,} rows, neighbours: {time.process_time() - start:.2f} CPU-s")


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors in float16 precision around 500 topics, a third of them near another."""
    draw = np.random.default_rng(seed)
    topics = draw.normal(size=(500, 384)).astype(np.float32)
    made = topics[draw.integers(500, size=count)] + draw.normal(size=(count, 384)).astype(np.float32)
    third = count // 3
    spread = draw.uniform(0.05, 0.6, size=(third, 1)).astype(np.float32)
    made[:third] = made[draw.integers(third, count, size=third)] + spread * draw.normal(size=(third, 384)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made.astype(np.float16).astype(np.float32)


def semantic(rows: int = 50_000) -> None:
    """Made-up vectors, then those of real messages."""
    _recall(f"{rows:,} x 384", vectors(rows), (0.85,))
    if not MESSAGES.exists():
        print(f"semantic, real messages: left out, {MESSAGES.name} is not here")
        return
    with gzip.open(MESSAGES, "rt", encoding="utf-8") as lines:
        texts = sorted({json.loads(line)["text"] for line in lines})
    made = encoder(BUILTIN).encode(random.Random(0).sample(texts, REAL))
    _recall(f"{REAL:,} real messages", made, (0.7, 0.85))


def _recall(what: str, made: NDArray[np.float32], floors: tuple[float, ...]) -> None:
    """All pairs against cells: seconds and recall."""
    none = np.zeros((len(made), 1), np.float32)
    for floor in floors:
        found: list[Pairs] = []
        for name, exact_up_to in (("all pairs", len(made)), ("cells (faiss)", 0)):
            start = time.process_time()
            a, b, _ = _alike(made, none, floor, exact_up_to)
            took = time.process_time() - start
            found.append(set(zip(a.tolist(), b.tolist(), strict=True)))
            print(f"semantic, {what}, {name}: {took:.1f} CPU-s, {len(a):,} pairs at {floor} or more")
        exact, cells = found
        recall = len(exact & cells) / len(exact)
        print(f"semantic, {what}: recall of cells at {floor} {recall:.4f}, {len(cells - exact)} pairs that are none")


def batch_sizes(texts: int = 1_000) -> None:
    """Whether the fp32 vectors, and so what a filter decides, depend on the size of a batch."""
    some = corpus(texts)[0]
    made = []
    for size in (128, 1024, 4096):
        batches.BATCH_TOKENS = size
        made.append(encoder(BUILTIN).encode(some))
    same = all((made[0] == other).all() for other in made[1:])
    print(f"filtering in fp32, batches of 128, 1,024 and 4,096 tokens, {texts:,} texts: one result: {same}")


if __name__ == "__main__":
    contamination()
    semantic()
    batch_sizes()
