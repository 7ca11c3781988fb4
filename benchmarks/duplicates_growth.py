"""How seconds and memory of exact and near duplicates grow with the corpus, through the engine, as in a build.

    python benchmarks/duplicates_growth.py 1000000 5000000

The corpus is that of `duplicates_corpus`, with 200,000 copies of one text and, with `--crowd N`, N different near copies of
another. Reading parts, both stages and writing what they say are measured; making the corpus is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from duplicates import launched
from duplicates_corpus import corpus

PART = 50_000  # rows
COPIES = 200_000
COPIED = (
    "see you at the usual place at eight lah",
    "See you at the usual place at eight lah",
    "see you at the  usual place at eight LAH ",
)
CROWD = "your parcel {:06d} waits for you at the counter near the lift, bring your pass along when you come"


def make(count: int, crowd: int, folder: Path) -> None:
    """Write the parts of a corpus."""
    from curate.core.schema import ROW, digest
    from curate.core.store import commit

    planted = [COPIED[at % len(COPIED)] for at in range(min(COPIES, count // 2))] + [CROWD.format(at) for at in range(crowd)]
    step = -(-len(planted) * PART // count)  # of each part
    for at, start in enumerate(range(0, count, PART)):
        some = planted[at * step : (at + 1) * step]
        texts = corpus(min(PART, count - start) - len(some), first=at + 1)[0] + some
        rows = pl.DataFrame({"id": [digest(f"{start + row}", size=16) for row in range(len(texts))], "completion": texts})
        empty = {
            name: pl.Series([None], dtype=kind).new_from_index(0, rows.height) for name, kind in ROW.items() if name not in rows
        }
        empty["prompt"] = pl.Series([[]], dtype=ROW["prompt"]).new_from_index(0, rows.height)
        rows = rows.with_columns(**empty).with_columns(votes=pl.lit(0, ROW["votes"]))
        commit(folder / f"{at:05d}.parquet", rows.select(pl.col(name).cast(kind) for name, kind in ROW.items()))


def run(folder: Path) -> None:
    """Both stages over all parts; seconds and counts of each."""
    from curate.core.parts import Part
    from curate.core.store import committed
    from curate.stages.duplicates.exact_duplicates import ExactDuplicates
    from curate.stages.duplicates.near_duplicates import NearDuplicates
    from curate.stages.engine import run

    parts = tuple(Part(stored) for path in sorted(folder.glob("*.parquet")) if (stored := committed(path)) is not None)
    said = []
    for name, stage in (("exact_duplicates", ExactDuplicates()), ("near_duplicates", NearDuplicates())):
        (folder / "columns").mkdir(exist_ok=True)
        started = time.process_time()
        outcome = run(name, stage, parts, folder / "columns")
        parts = outcome.parts
        pairs = outcome.similarity.rows if outcome.similarity else 0
        said.append((name, time.process_time() - started, outcome.rows_in, outcome.kept, pairs))
    (folder / "said.json").write_text(json.dumps(said))


def main() -> None:
    """Every size in turn, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="+", help="rows of each corpus")
    parser.add_argument("--crowd", type=int, default=0, help="different near copies of one text")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)  # what a process of its own is started for
    given = parser.parse_args()
    if given.step:
        step, folder = given.step[0], Path(given.step[1])
        make(given.counts[0], given.crowd, folder) if step == "make" else run(folder)
        return
    before: tuple[int, float, float] | None = None
    for count in given.counts:
        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, str(Path(__file__).resolve()), str(count), "--crowd", str(given.crowd), "--step"]
            launched("make", [*command, "make", name], Path(name))
            seconds, peak = launched("run", [*command, "run", name], Path(name))
            print(f"{count:,} rows: {seconds:.1f} CPU-s, peak {peak:,.0f} MB", flush=True)
            for stage, own, rows, kept, pairs in json.loads((Path(name) / "said.json").read_text()):
                print(f"  {stage}: {own:.1f} CPU-s, {rows:,} rows in, {kept:,} kept, {pairs:,} pairs stored", flush=True)
        if before:
            rows, cpu, memory = (now / then for now, then in zip((count, seconds, peak), before, strict=True))
            print(f"  {rows:.1f} times the rows: {cpu:.1f} times the seconds, {memory:.1f} times the memory")
        before = count, seconds, peak


if __name__ == "__main__":
    main()
