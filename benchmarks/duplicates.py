"""Planted copies among short texts: how many are found, how many rows are wrongly dropped, CPU seconds and memory.

    python benchmarks/duplicates.py 50000

The texts are made up: about 15 words (log-normal, 3 to 4 % under 5), words by Zipf's law, particles at the end. Three rows in
ten copy an earlier one: word for word, with cosmetic changes, or with 3 to 40 % of their characters edited. Truth is the exact
Jaccard similarity of character 5-gram sets, worked out with plain Python sets, of each copy with its source.
"""

from __future__ import annotations

import random
import resource
import sys
import time

import polars as pl

from curate.schema import MESSAGE
from curate.similarity import normalise
from curate.stages.exact_duplicates import ExactDuplicates
from curate.stages.near_duplicates import NearDuplicates

PARTICLES = ("lah", "leh", "lor", "sia", "meh", "hor", "one", "")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def corpus(count: int, seed: int = 0) -> tuple[list[str], dict[int, int]]:
    """Texts, and for each copy the row it copies."""
    dice = random.Random(seed)
    vocabulary = ["".join(dice.choices(LETTERS, k=min(12, 1 + int(dice.lognormvariate(1.5, 0.4))))) for _ in range(20_000)]
    weights = [1 / (rank + 2.7) for rank in range(len(vocabulary))]
    words = iter(dice.choices(vocabulary, weights, k=count * 30))
    texts: list[str] = []
    source: dict[int, int] = {}
    for row in range(count):
        if row and dice.random() < 0.3:
            source[row] = dice.randrange(row)
            texts.append(copy(texts[source[row]], dice))
        else:
            length = min(100, max(1, round(dice.lognormvariate(2.55, 0.6))))
            texts.append(" ".join([*(next(words) for _ in range(length)), dice.choice(PARTICLES)]).strip())
    return texts, source


def copy(text: str, dice: random.Random) -> str:
    """A copy: identical, cosmetic or edited, a third each."""
    kind = dice.randrange(3)
    if kind == 0:
        return text
    if kind == 1:
        return dice.choice((text.upper(), text.capitalize(), text + "!", text.replace(" ", "  "), text + " "))
    letters = list(text)
    for _ in range(max(1, round(len(letters) * dice.uniform(0.03, 0.4)))):
        letters[dice.randrange(len(letters))] = dice.choice(LETTERS)
    return "".join(letters)


def likeness(one: str, other: str) -> float:
    """Exact Jaccard similarity of character 5-gram sets."""
    a, b = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in map(normalise, (one, other)))
    return len(a & b) / len(a | b)


def main(count: int) -> None:
    """Make the corpus, run both stages, print what came out."""
    texts, source = corpus(count)
    rows = pl.DataFrame(
        {
            "id": [f"{row:08d}" for row in range(count)],
            "prompt": pl.Series([[]] * count, dtype=pl.List(MESSAGE)),
            "completion": texts,
            "rank": pl.Series(range(count), dtype=pl.UInt32),
            "toxic": pl.Series([None] * count, dtype=pl.Boolean),
            "kind": pl.Series([3] * count, dtype=pl.UInt8),
            "given": pl.Series([None] * count, dtype=pl.Float32),
            "votes": pl.Series([0] * count, dtype=pl.UInt16),
        }
    ).with_row_index("row")
    started = time.process_time()
    twin: dict[int, int] = {}
    pairs: set[tuple[int, int]] = set()
    kept = rows
    for stage in (ExactDuplicates(), NearDuplicates()):
        keys = stage.keys(kept)
        edges = stage.edges(keys.buckets, keys.payload)
        verdicts = stage.decide(edges, kept)
        place = kept["row"].to_list()
        dropped = verdicts.with_row_index("place").drop_nulls("reason").select("place", "twin")
        twin |= {place[row]: place[other] for row, other in dropped.iter_rows()}
        pairs |= {
            (place[a], place[b]) for a, b in edges.filter(pl.col("score") >= pl.lit(0.8, pl.Float32)).select("a", "b").iter_rows()
        }
        kept = kept.filter(verdicts["reason"].is_null())
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def first(row: int) -> int:  # an exact copy stands for its first
        return twin[row] if row in twin and normalise(texts[row]) == normalise(texts[twin[row]]) else row

    planted = [(row, other) for row, other in source.items() if likeness(texts[row], texts[other]) >= 0.8]
    ends = [tuple(sorted((first(row), first(other)))) for row, other in planted]
    found = sum(a == b or (a, b) in pairs for a, b in ends)
    wrong = sum(likeness(texts[row], texts[other]) < 0.8 for row, other in twin.items())
    print(f"{count:,} rows, {len(planted):,} planted copies with Jaccard >= .8: recall {found / len(planted):.5f} as pairs")
    print(f"dropped {len(twin):,}, wrongly {wrong}; {seconds:.2f} CPU-s for both stages, peak {peak:.0f} MB with the corpus")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
