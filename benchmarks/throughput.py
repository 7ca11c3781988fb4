"""Short rows through readers, repair, pii and variety: rows a second, and whether memory grows with rows.

    python benchmarks/throughput.py            # 100,000, 200,000 and 400,000 rows: some minutes
    MARGINS_ROWS=1000000 python benchmarks/throughput.py

The smallest holds more than one full part (65,536 rows): what a part takes is the price, what comes on top with more of them
is growth.

Each size runs in a process of its own over a jsonl.zst made for it, as `curate build` would: read, mined, written as parts,
then the three stages, part by part. The rows are invented: short replies, one in eight with a made-up phone, address, handle
or link, one in twenty with dirt for repair to undo, one in fifty a copy. Prints rows per second by the clock and by CPU,
the share of each step, and the highest memory of the whole process; ends with 1 when
four times the rows take more than 1.2 times the memory: an allocator keeps more or less of what was freed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SEED = 7
GROWTH = 1.2  # highest memory at the largest size over that at the smallest
STEPS = ("repair", "pii", "language")
T = TypeVar("T")

OPENERS = (
    "wah",
    "eh",
    "aiyo",
    "then",
    "actually",
    "sorry",
    "ok",
    "just now",
    "tonight",
    "last week",
    "my cousin say",
    "honestly",
)
SUBJECTS = (
    "the kopi",
    "this bus",
    "your uncle",
    "the queue",
    "our boss",
    "the lift",
    "that stall",
    "the weather",
    "my phone",
    "the aircon",
)
VERBS = (
    "very slow",
    "damn nice",
    "so expensive",
    "quite ok",
    "always late",
    "not bad",
    "spoil again",
    "super crowded",
    "too cold",
    "like that one",
)
ENDINGS = (
    "lah",
    "leh",
    "lor",
    "sia",
    "can or not",
    "see you there",
    "what to do",
    "thank you so much",
    "tell me again later",
    "haha",
)
PERSONAL = (
    "call {a}{b} {b}",
    "blk {c} Bedok North Road #0{d}-{c}",
    "ask @walrus_{b}",
    "see https://example.com/{b}",
    "mail kite{c}@example.com",
)
DIRT = ("&amp;", "\u200b", "  ", "<br>", "\u2019", "&lt;3")


def write_rows(path: Path, count: int) -> None:
    """Write so many short rows as jsonl.zst; the same count gives the same bytes."""
    import zstandard

    draw = random.Random(SEED)
    kept = ["ok lah can"]
    with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as packed:
        for at in range(count):
            text = kept[draw.randrange(len(kept))] if at % 50 == 49 else sentence(draw, at)
            if at % 1000 == 0:
                kept.append(text)
            row = {"prompt": f"{draw.choice(SUBJECTS)} how, number {at % 9973}?", "completion": text, "likes": draw.randrange(99)}
            packed.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def sentence(draw: random.Random, at: int) -> str:
    """One invented reply of five to fifteen words."""
    words = [draw.choice(OPENERS), draw.choice(SUBJECTS), draw.choice(VERBS), f"at stop {draw.randrange(1, 99_999)}"]
    if at % 8 == 0:
        numbers = {"a": 9123, "b": draw.randrange(1000, 9999), "c": draw.randrange(100, 999), "d": draw.randrange(1, 9)}
        words.append(draw.choice(PERSONAL).format(**numbers))
    if at % 20 == 0:
        words.append(draw.choice(DIRT))
    return " ".join([*words, draw.choice(ENDINGS)])


def measure(path: Path, work: Path) -> None:
    """Read and clean one folder in this process; print what it took as one line of JSON."""
    from curate.core.parts import Part
    from curate.raw.ingest import ingest
    from curate.raw.sources import discover
    from curate.stages.engine import run
    from curate.stages.table import STAGES

    spent: dict[str, tuple[float, float]] = {}

    def timed(name: str, call: Callable[[], T]) -> T:
        clock, cpu = time.perf_counter(), time.process_time()
        result = call()
        spent[name] = (time.perf_counter() - clock, time.process_time() - cpu)
        return result

    found = timed("read", lambda: ingest(discover(path), work=work, author_key=b"benchmark"))
    parts = tuple(Part(stored) for stored in found.parts)
    for name in STEPS:
        stage = STAGES[name]()
        parts = timed(name, lambda stage=stage, name=name, parts=parts: run(name, stage, parts, work / "columns")).parts  # type: ignore[misc]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": sum(part.base.rows for part in parts), "spent": spent, "peak": peak}))


def main(sizes: list[int]) -> int:
    """Measure each size in a fresh process."""
    print(f"{'rows':>9}{'rows/s':>8}{'rows/CPU-s':>12}{'peak MB':>9}  CPU us a row: " + ", ".join(("read", *STEPS)))
    peaks = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "raw").mkdir()
            write_rows(Path(folder) / "raw" / "rows.jsonl.zst", size)
            command = [sys.executable, __file__, "--measure", f"{folder}/raw", f"{folder}/work"]
            told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        clock, cpu = (sum(one[at] for one in told["spent"].values()) for at in (0, 1))
        each = ", ".join(f"{1e6 * told['spent'][name][1] / size:.1f}" for name in ("read", *STEPS))
        print(f"{told['rows']:>9,}{size / clock:>8,.0f}{size / cpu:>12,.0f}{told['peak']:>9.0f}  {each}", flush=True)
        peaks.append(told["peak"])
    grown = peaks[-1] / peaks[0]
    print(f"{sizes[-1] / sizes[0]:g} times the rows take {grown:.2f} times the memory (at most {GROWTH})")
    return int(grown > GROWTH)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        most = int(os.environ.get("MARGINS_ROWS", sys.argv[1] if len(sys.argv) > 1 else 400_000))
        sys.exit(main([most // 4, most // 2, most]))
