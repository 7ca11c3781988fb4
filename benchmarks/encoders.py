"""What each way to encode costs, and what a static model loses against the encoder that it is distilled from.

    python benchmarks/encoders.py

Texts are messages of the public set `nus_sms_dev` and sentences of `paradetox_dev`, each different one once. Half of each set is
what the static model is distilled from; the other half it has not seen. Speed is in CPU seconds on one thread, in one run, as
ratios to MiniLM; bf16 runs whatever the processor, OpenVINO where `margins[openvino]` is installed. Quality: rank correlation of
cosines, and how far the rows agree that `semantic_duplicates` drops. The threshold in `recipes/curate/static.yaml` is chosen on
the seen halves and told on the others. Nothing of the sets is printed.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from curate.core.cache import caching
from curate.stages.duplicates.semantic_duplicates import SemanticDuplicates
from curate.text.encoders import BUILTIN, Encoder, encoder
from curate.text.encoders import distil as distil_module
from curate.text.encoders.processor import multiplies_bf16

DATA = Path(__file__).resolve().parents[2] / "shared/data"
ROWS = {"messages": 24_000, "sentences": 12_000}  # of each set; half is seen
TIMED = 2_000  # texts by OpenVINO; a tenth in bf16
RANDOM_PAIRS = 200_000
BLOCK = 4_000  # rows of which every pair is ranked
STRICT = 0.95  # the default recipe's threshold, on MiniLM's vectors
FLOOR = 0.85
GRID = tuple(round(at / 100, 2) for at in range(86, 100))
SHOWN = (0.90, 0.95, 0.97, 0.99)
BETA = 0.5  # of F: a row wrongly dropped is lost, one wrongly kept is a nuisance

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]


def main() -> None:
    """Print speed, then quality."""
    if not DATA.is_dir():
        print(f"encoders: left out, {DATA} is not here")
        return
    texts = _texts()
    half = {name: len(some) // 2 for name, some in texts.items()}
    everything = [text for some in texts.values() for text in some]
    minilm = encoder(BUILTIN)
    minilm.encode(["warm"])
    exact, seconds = _timed(minilm, everything)
    usual = len(everything) / seconds
    print(f"{'way':34}{'texts/CPU-s':>12}{'to MiniLM':>11}{'CPU-s once':>12}")
    _line("MiniLM, torch, fp32", usual, usual)
    sample = [text for name, some in texts.items() for text in some[: half[name]]]
    with tempfile.TemporaryDirectory() as place, caching(Path(place) / "cache"):
        started = time.process_time()
        distil_module.distil(minilm, sample, Path(place) / "static")
        once = time.process_time() - started
        distil_module.STEPS = 0  # where the fit starts: what model2vec would stop at, weighted by the corpus' own counts
        distil_module.distil(minilm, sample, Path(place) / "start")
        static, start = (encoder(f"{place}/{name}") for name in ("static", "start"))
        _ = [one.dim for one in (static, start)]  # read while they are there
    static.encode(["warm"])
    rough, seconds = _timed(static, everything)
    _line("static, distilled from MiniLM", len(everything) / seconds, usual, once)
    unfitted = start.encode(everything)
    _others(texts["messages"][:TIMED], exact[:TIMED])
    halves: dict[tuple[str, str], tuple[Vectors, Vectors]] = {}
    at = 0
    for name, some in texts.items():
        for part, rows in (("seen", slice(at, at + half[name])), ("unseen", slice(at + half[name], at + len(some)))):
            halves[name, part] = exact[rows], rough[rows]
            _correlations(f"{name}, {part}", exact[rows][:BLOCK], rough[rows][:BLOCK])
            _correlations(f"{name}, {part}, without the fit", exact[rows][:BLOCK], unfitted[rows][:BLOCK])
        at += len(some)
    _decisions(halves)
    _rewrites(minilm, static)


def _line(name: str, rate: float, usual: float, once: float | None = None) -> None:
    print(f"{name:34}{rate:12,.0f}{rate / usual:10.2f}x{'' if once is None else f'{once:.1f}':>12}", flush=True)


def _timed(one: Encoder, texts: list[str]) -> tuple[Vectors, float]:
    started = time.process_time()
    made = one.encode(texts)
    return made, time.process_time() - started


def _others(texts: list[str], exact: Vectors) -> None:
    """bf16 and OpenVINO beside torch in fp32, on the same texts, taking turns with it."""
    ways: dict[str, tuple[Callable[[], Encoder], int]] = {
        "MiniLM, torch, bf16": (lambda: encoder(BUILTIN, precision="bf16"), TIMED // 10)
    }
    if importlib.util.find_spec("openvino") is not None:
        ways["MiniLM, OpenVINO, fp32"] = (lambda: encoder(BUILTIN, backend="openvino"), TIMED)
    else:
        print("MiniLM, OpenVINO: left out, install margins[openvino]")
    for name, (make, count) in ways.items():
        some = texts[:count]
        _, once = _timed(make(), ["warm"])
        _, usual = _timed(encoder(BUILTIN), some)
        made, seconds = _timed(make(), some)
        _line(name, count / seconds, count / usual, once)
        off = np.abs(made - exact[:count])
        a, b = _random_pairs(count)
        moved = np.abs(_cosines(made, a, b) - _cosines(exact, a, b)).max()
        same = f"{(off == 0).mean():.2%} of numbers the same"
        print(f"  to fp32: a number moves by at most {off.max():.2g}, {same}, a cosine by at most {moved:.2g}")
    print(f"  this processor multiplies bf16 by itself: {multiplies_bf16()}")


def _correlations(name: str, one: Vectors, other: Vectors) -> None:
    a, b = _random_pairs(len(one))
    near = np.nonzero(np.triu(one @ one.T >= 0.6, 1))
    print(f"{name}: rank correlation of cosines, random pairs {_rho(one, other, a, b):.3f}", end="")
    print(f", the {len(near[0]):,} pairs of .6 or more {_rho(one, other, *near):.3f}", flush=True)


def _decisions(halves: Mapping[tuple[str, str], tuple[Vectors, Vectors]]) -> None:
    """Rows that the stage drops by either encoder; the static threshold with the best F on what was seen."""
    compared = {key: (Compared(one), Compared(other)) for key, (one, other) in halves.items()}
    wanted = {key: exact.dropped(STRICT) for key, (exact, _) in compared.items()}
    told = {key: {at: _agreement(wanted[key], rough.dropped(at)) for at in GRID} for key, (_, rough) in compared.items()}
    seen = {at: np.sum([told[key][at] for key in told if key[1] == "seen"], axis=0) for at in GRID}
    best = max(GRID, key=lambda at: _f(seen[at]))
    print(f"semantic_duplicates: MiniLM at {STRICT} is agreed with best by static at {best:.2f} (F{BETA} on what was seen)")
    for key, (_, rough) in compared.items():
        one = halves[key][0]
        print(f"  {', '.join(key)}: MiniLM drops {len(wanted[key]):,} of {len(one):,} rows")
        for at in sorted({best, *SHOWN}):
            both, found, asked = told[key][at]
            cosines = _cosines(one, *rough.pairs(at))
            far = (
                f"{(cosines < FLOOR).mean():.0%} of {len(cosines):,} pairs below {FLOOR} by MiniLM" if len(cosines) else "no pair"
            )
            right = f"precision {both / max(found, 1):.2f}, recall {both / max(asked, 1):.2f}"
            print(f"    static at {at:.2f}: drops {found:4,}, {right}; {far}")


class Compared:
    """Vectors without prompts or labels, as the stage compares them: pairs measured once, decided at any threshold."""

    def __init__(self, vectors: Vectors) -> None:
        stage = SemanticDuplicates(threshold=STRICT, floor=FLOOR)
        kind = pl.Array(pl.Float32, vectors.shape[1])
        rows = pl.DataFrame({"vector": pl.Series(vectors, dtype=kind), "prompt_vector": pl.Series(vectors * 0, dtype=kind)})
        keys = stage.keys(rows)
        self.facts = pl.DataFrame(
            {
                "id": [f"{at:08d}" for at in range(len(vectors))],
                "rank": pl.Series(range(len(vectors)), dtype=pl.UInt32),
                "toxic": pl.Series([None] * len(vectors), dtype=pl.Boolean),
            }
        )
        self.edges = stage.edges(keys.buckets, keys.payload.with_columns(self.facts["rank"], self.facts["toxic"]))

    def dropped(self, threshold: float) -> frozenset[int]:
        """Rows that the stage drops."""
        said = SemanticDuplicates(threshold=threshold, floor=FLOOR).decide(self.edges, self.facts)
        return frozenset(np.flatnonzero(said["reason"].is_not_null().to_numpy()).tolist())

    def pairs(self, threshold: float) -> tuple[Places, Places]:
        """Pairs that reach a threshold."""
        found = self.edges.filter(pl.col("score") >= threshold)
        return found["a"].to_numpy().astype(np.int64), found["b"].to_numpy().astype(np.int64)


def _agreement(wanted: frozenset[int], found: frozenset[int]) -> tuple[int, int, int]:
    return len(wanted & found), len(found), len(wanted)


def _f(counts: NDArray[np.int64]) -> float:
    both, found, asked = counts
    return float((1 + BETA**2) * both / max(BETA**2 * asked + found, 1))


def _rewrites(minilm: Encoder, static: Encoder) -> None:
    """ParaDetox: texts beside their own rewrite and beside a stranger's, by either encoder."""
    toxic, mild = zip(*((row[0], row[1]) for row in _sentences() if len(row) > 1 and row[1].strip()), strict=True)
    print(f"rewrites: {len(toxic):,} texts, each beside its own rewrite and beside a stranger's")
    for name, one in (("MiniLM", minilm), ("static", static)):
        left, right = one.encode(list(toxic)), one.encode(list(mild))
        own, strange = (left * right).sum(axis=1), (left * np.roll(right, 1, axis=0)).sum(axis=1)
        for at in (0.3, 0.4, 0.5, 0.6):
            refused, passed = (own < at).mean(), (strange >= at).mean()
            print(f"  {name} at {at}: {refused:.2%} of own refused, {passed:.2%} of strangers' let through")


def _random_pairs(count: int) -> tuple[Places, Places]:
    a, b = np.random.default_rng(0).integers(count, size=(2, RANDOM_PAIRS))
    return a[a != b], b[a != b]


def _cosines(vectors: Vectors, a: Places, b: Places) -> Vectors:
    return np.asarray((vectors[a] * vectors[b]).sum(axis=1))


def _rho(one: Vectors, other: Vectors, a: Places, b: Places) -> float:
    return float(spearmanr(_cosines(one, a, b), _cosines(other, a, b)).statistic)


def _texts() -> dict[str, list[str]]:
    with gzip.open(DATA / "nus_sms_dev/nus_sms_en_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        messages = {str(json.loads(line)["text"]) for line in lines}
    sentences = {cell for row in _sentences() for cell in row}
    found = {"messages": messages, "sentences": sentences}
    return {name: _some({text for text in some if text.strip()}, ROWS[name]) for name, some in found.items()}


def _sentences() -> list[list[str]]:
    with gzip.open(DATA / "paradetox_dev/paradetox_dev.tsv.gz", "rt", encoding="utf-8") as lines:
        return list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


def _some(texts: set[str], count: int) -> list[str]:
    return random.Random(0).sample(sorted(texts), count)


if __name__ == "__main__":
    main()
