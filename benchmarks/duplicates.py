"""Near duplicates side by side with the peers: the same corpus, fresh processes, whole-process CPU, peak memory, what is found.

    python benchmarks/duplicates.py --peers .cache/peers 50000 200000

Ours runs first from a fresh copy with nothing compiled (cold), then as any later run of that copy (warm); it has no kernel to
compile. Bare is without the pairs below the threshold, which no peer records. Ours and the fast peers take turns, three times
each, and the median counts. The slow peers run once, on the smallest corpus only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from duplicates_corpus import corpus, likeness, shingle_set

import curate
from curate.text.normalise import normalise
from curate.text.similarity.set_index import index
from curate.text.similarity.set_join import pairs
from curate.text.similarity.shingles import Texts

HERE = Path(__file__).resolve().parent
FAST = ("rensa", "rensa-batch")
SLOW = ("datasketch", "datatrove", "text-dedup", "semhash")
THRESHOLD = 0.8
TURNS = 3
CHECKED = 200  # rows whose likeness to every other is worked out with plain sets, to check what is held for true


@dataclass(frozen=True)
class Run:
    """One tool, one run, in processes of its own."""

    name: str
    seconds: float
    peak: float
    dropped: list[tuple[int, int | None]]


@dataclass(frozen=True)
class Truth:
    """What a tool should find.

    Attributes:
        texts: the corpus.
        planted: copies and their sources, from the threshold on.
        like: rows that reach the threshold with some other row.
    """

    texts: list[str]
    planted: list[tuple[int, int]]
    like: frozenset[int]


LAUNCHER = """
import json, os, subprocess, sys
child = subprocess.Popen(sys.argv[2:], stdout=2)
_, status, usage = os.wait4(child.pid, 0)
json.dump([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024], open(sys.argv[1], "w"))
"""  # a process of its own: what starts a child lends it its own peak of memory


def launched(name: str, command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Run a command; CPU seconds of it and all its children, and the peak memory of the largest of them in MB."""
    told = folder / "told.json"
    whole = [sys.executable, "-S", "-c", LAUNCHER, str(told), *command]
    told_to = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # or no run is warm
    done = subprocess.run(whole, env=told_to | (environment or {}), capture_output=True, cwd=folder, check=True)
    status, seconds, peak = json.loads(told.read_text())
    if status:
        raise SystemExit(f"{name}: ended with {status}\n{done.stderr[-2000:].decode(errors='replace')}")
    return seconds, peak


def measured(name: str, command: Sequence[str], target: Path, environment: dict[str, str] | None = None) -> Run:
    """Run a tool that writes which rows it drops."""
    seconds, peak = launched(name, command, target.parent, environment)
    return Run(name, seconds, peak, [tuple(each) for each in json.loads(target.read_text())])


def truth(count: int) -> Truth:
    """A corpus, and the exact likenesses in it."""
    texts, source = corpus(count)
    planted = [(row, other) for row, other in source.items() if likeness(texts[row], texts[other]) >= THRESHOLD]
    first = {text: row for row, text in reversed(list(enumerate(map(normalise, texts))))}
    a, b, _ = pairs(index(Texts(pl.Series(list(first))), np.zeros(len(first), np.uint64), THRESHOLD)) or ()
    several = {at for at in {*a.tolist(), *b.tolist()}}
    alike = {text for at, text in enumerate(first) if at in several}
    normal = [normalise(text) for text in texts]
    sizes: dict[str, int] = {}
    for text in normal:
        sizes[text] = sizes.get(text, 0) + 1
    like = frozenset(row for row, text in enumerate(normal) if sizes[text] > 1 or text in alike)
    _check(texts, like)
    return Truth(texts, planted, like)


def _check(texts: Sequence[str], like: frozenset[int]) -> None:
    """Some rows against all others, with plain sets."""
    every = [shingle_set(text) for text in texts]
    holders: dict[str, list[int]] = {}
    for row, grams in enumerate(every):
        for gram in grams:
            holders.setdefault(gram, []).append(row)
    for row in random.Random(0).sample(range(len(texts)), min(CHECKED, len(texts))):
        common: dict[int, int] = {}
        for gram in every[row]:
            for other in holders[gram]:
                common[other] = common.get(other, 0) + 1
        found = any(
            other != row and size >= THRESHOLD * (len(every[row]) + len(every[other]) - size) for other, size in common.items()
        )
        if found != (row in like):
            raise SystemExit(f"row {row}: plain sets say {found}, the join says {row in like}")


def judged(run: Run, known: Truth) -> tuple[float, int]:
    """Recall of planted copies (one of the two rows went); how many rows went that are like no other, or not like their twin."""
    gone = {row for row, _ in run.dropped}
    found = sum(row in gone or other in gone for row, other in known.planted)
    wrong = sum(
        row not in known.like if twin is None else likeness(known.texts[row], known.texts[twin]) < THRESHOLD
        for row, twin in run.dropped
    )
    return found / len(known.planted), wrong


def _fresh(folder: Path) -> Path:
    """A copy of the package with nothing compiled."""
    shutil.copytree(Path(curate.__file__).parent, folder / "curate", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def compare(count: int, peers: Path, with_slow: bool, folder: Path) -> None:
    """One corpus: a table of all tools."""
    known = truth(count)
    source, target = folder / f"{count}.json", folder / "dropped.json"
    source.write_text(json.dumps(known.texts))
    ours = [sys.executable, str(HERE / "duplicates_ours.py"), str(source), str(target)]
    own = {"PYTHONPATH": str(_fresh(folder / f"cold{count}"))}
    cold = measured("ours, cold", ours, target, own)

    def peer(name: str) -> Run:
        command = [str(peers / "bin/python"), str(HERE / "duplicates_peers.py"), name, str(source), str(target)]
        return measured(name, command, target)

    def again(name: str, *options: str) -> Run:
        return measured(name, [*ours, *options], target, own)

    turns = [(again("ours, warm"), again("ours, bare", str(THRESHOLD)), *map(peer, FAST)) for _ in range(TURNS)]
    warm, *fast = (sorted(runs, key=lambda run: run.seconds)[TURNS // 2] for runs in zip(*turns, strict=True))
    print(f"\n{count:,} rows, {len(known.planted):,} planted copies with Jaccard >= {THRESHOLD}; {CHECKED} checked against all")
    print(f"{'':14}{'CPU-s':>8}{'ours/it':>9}{'cold/it':>9}{'peak MB':>9}{'dropped':>9}{'recall':>9}{'wrongly':>9}")
    for run in (cold, warm, *fast):
        _tell(run, cold, warm, known)
    for name in SLOW if with_slow else ():
        _tell(peer(name), cold, warm, known)


def _tell(run: Run, cold: Run, warm: Run, known: Truth) -> None:
    recall, wrong = judged(run, known)
    ratios = f"{warm.seconds / run.seconds:9.2f}{cold.seconds / run.seconds:9.2f}"
    print(f"{run.name:14}{run.seconds:8.2f}{ratios}{run.peak:9.0f}{len(run.dropped):9,}{recall:9.4f}{wrong:9,}", flush=True)


def main() -> None:
    """Every size in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True, help="virtual environment that holds the peers")
    parser.add_argument("counts", type=int, nargs="+", help="rows of each corpus")
    given = parser.parse_args()
    print("numpy", importlib.metadata.version("numpy"), "polars", importlib.metadata.version("polars"))
    with tempfile.TemporaryDirectory() as name:
        for count in given.counts:
            compare(count, given.peers.absolute(), count == min(given.counts), Path(name))


if __name__ == "__main__":
    main()
