"""How many pairs, of which kind, five public sets give together, and why what could have been a pair is none.

    make bench-pairs [BENCH_WORK=folder]

Copies the sets from ../shared/data into a temporary source folder (or one under BENCH_WORK, which keeps every stage's columns
from run to run), builds them with the default recipe, checks the folder with `curate verify`, and prints one line per figure.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl

from curate.core.config import plain
from curate.core.manifest import Manifest
from curate.core.shipped import bundled
from curate.core.store import read_parquet
from curate.dataset.formats import read_output
from curate.dataset.verify import verify
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.raw.files.container import Stream
from curate.raw.formats import READERS
from curate.raw.mining.miner import flat

SETS = ("nus_sms_dev", "diasafety_dev", "paradetox_dev", "davidson_tweets_dev", "hh_rlhf_harmless_dev")
GOALS = {"rewrite": 12_000, "given": 500, "nearest_neighbour": 300}
UNPAIRED = 20_000
TOXIC = ("Toxicity Agreement", "Offending User", "Biased Opinion")  # categories of DiaSafety that are toxic by the policy


def main() -> int:
    """Build, print, and say by the exit status whether every figure is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parent.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, help="Folder that stays; a temporary one otherwise.")
    options = parser.parse_args()
    missing = [name for name in SETS if not (options.data / name).is_dir()]
    if missing:
        print(f"{options.data}: has no {', '.join(missing)}; pass --data")
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        place = options.work or Path(temporary)
        for name in SETS:
            shutil.copytree(options.data / name, place / "raw" / name, dirs_exist_ok=True)
        started = time.process_time()
        manifest = build(place / "raw", place / "out", read_recipe(bundled("singlish")), work=place / "work").manifest
        return report(place, manifest, time.process_time() - started)


def report(place: Path, manifest: Manifest, seconds: float) -> int:
    """Print every figure; 0 where all are reached."""
    counts, out = manifest.dataset, place / "out"
    print(f"{manifest.records.rows:,} rows of {', '.join(SETS)}; {seconds:,.0f} CPU-s, cached stages included\n")
    print(f"{'strategy':<20}{'pairs':>8}  refused")
    for name, one in counts.strategies.items():
        refused = ", ".join(f"{why} {size:,}" for why, size in sorted(one.refused.items(), key=lambda one: -one[1]))
        print(f"{name:<20}{one.pairs:>8,}  {refused or '-'}")
    print(f"\nrelations: {', '.join(f'{name} {size:,}' for name, size in counts.relations.items())}")
    unpaired = sum(sum(sides.values()) for sides in counts.unpaired.values())
    print(f"unpaired: {unpaired:,} rows; train {counts.unpaired['train']}; KTO weights {counts.kto}")
    print(f"dropped: {counts.dropped}")
    for name, bias in counts.bias.paired.items():
        print(f"bias, paired {name}: {plain(bias)}")
    print(f"bias, unpaired all: {plain(counts.bias.unpaired)}")
    for line in manifest.warnings:
        print(f"warning: {line}")
    problems = verify(out)
    reached = [counts.strategies[name].pairs >= goal for name, goal in GOALS.items()]
    reached += [unpaired >= UNPAIRED, not problems, contexts(place, manifest)]
    print("\nfigure                                     goal      found")
    for name, goal in GOALS.items():
        print(f"{name + ' pairs':<38}{goal:>9,}{counts.strategies[name].pairs:>11,}")
    print(f"{'unpaired rows':<38}{UNPAIRED:>9,}{unpaired:>11,}")
    print(f"{'problems that `curate verify` finds':<38}{0:>9}{len(problems):>11}")
    for problem in problems[:10]:
        print(f"  {problem}")
    return 0 if all(reached) else 1


def contexts(place: Path, manifest: Manifest) -> bool:
    """Which of DiaSafety's two-sided contexts gave a pair, and what stopped the others; true where none is unexplained."""
    said: dict[str, set[bool]] = {}
    for path in sorted((place / "raw" / "diasafety_dev").glob("*.json*")):
        for record in READERS["json"](Stream(path)):
            fields = flat(record.fields)  # type: ignore[union-attr] - the set has no broken record
            said.setdefault(str(fields["context"]), set()).add(str(fields["label"]).casefold() == "safe")
    two_sided = {context for context, sides in said.items() if len(sides) == 2}
    base = pl.concat(
        [read_parquet(path, ["id", "source", "prompt"]) for path in sorted((place / "work" / "parts").glob("*/*.parquet"))]
    )
    base = base.filter(pl.col("source").str.starts_with("diasafety"))
    asked = base.select("id", context=pl.col("prompt").list.first().struct.field("content")).filter(
        pl.col("context").is_in(list(two_sided))
    )
    corpus = read_output(place / "out", manifest, "corpus/", ["id", "stage", "reason", "toxic", "side"])
    rows = asked.join(corpus, on="id", how="inner")
    pairs = read_output(place / "out", manifest, "paired/", ["rejected_id", "strategy"]).filter(strategy="same_prompt")
    refused = read_output(place / "out", manifest, "refused/", ["rejected_id", "strategy", "reason"]).filter(
        strategy="same_prompt"
    )
    why = dict(refused.select("rejected_id", "reason").iter_rows())
    paired = set(pairs["rejected_id"])
    found: Counter[str] = Counter()
    for _, group in rows.group_by("context"):
        found[_outcome(group, paired, why)] += 1
    print(f"\nDiaSafety's two-sided contexts: {len(two_sided)}, of which {rows['context'].n_unique()} are rows here")
    for name, size in found.most_common():
        print(f"  {name:<60}{size:>6}")
    return "unexplained" not in found


def _outcome(group: pl.DataFrame, paired: set[str], why: dict[str, str]) -> str:
    """A pair, the invariant that refused it, or what became of the side that is missing."""
    ids = set(group["id"])
    if ids & paired:
        return "a pair"
    for name in sorted(ids):
        if name in why:
            return f"refused: {why[name]}"
    kept = group.filter(pl.col("reason").is_null())
    lost = group.filter(pl.col("reason").is_not_null())
    for side, toxic in (("toxic", True), ("non_toxic", False)):
        if kept.filter(toxic=toxic).height:
            continue
        gone = lost.filter(pl.col("toxic").is_null() | (pl.col("toxic") == toxic))
        reasons = gone.select(pl.format("{}: {}", "stage", "reason")).to_series().unique().sort()
        return f"no {side} side left ({', '.join(reasons) or 'no label says ' + side})"
    return "unexplained"


if __name__ == "__main__":
    sys.exit(main())
