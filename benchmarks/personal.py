"""Whether personal data that a messy folder lists stays out of a build's output; needs `messy_dump_dev` with its gold manifest.

    python benchmarks/personal.py ../shared/data/messy_dump_dev

Builds the folder (repair, pii, its own labels, pairs that came as pairs), then searches every file under --out, tables opened,
for each value that the manifest lists, in any spelling of case and spaces, and for every handle, link, mail address, identity
number and phone that `find` still sees. Prints counts by kind, no value. Ends with 1 when one is left.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl

from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.text.personal.patterns import find

GOLD = "MANIFEST_gold.jsonl.gz"
RECIPE = "stages: [repair, pii, column, consensus: {labelers: [column]}]\npairing: [given, same_prompt]\n"


def texts_under(folder: Path) -> str:
    """Everything that the files of a folder say, without spaces and case."""
    said = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".parquet":
            said.append("\n".join(str(row) for row in pl.read_parquet(path).rows()))
        else:
            said.append(path.read_text("utf-8", "replace"))
    return squeezed("\n".join(said))


def squeezed(text: str) -> str:
    """A text without spaces and case."""
    return re.sub(r"\s+", "", text).casefold()


def main(folder: Path) -> int:
    """Build, search, print."""
    listed: defaultdict[str, set[str]] = defaultdict(set)
    spans: Counter[str] = Counter()
    with gzip.open(folder / GOLD, "rt", encoding="utf-8") as file:
        for line in file:
            for span in json.loads(line).get("pii") or ():
                listed[span["type"]].add(span["value"])
                spans[span["type"]] += 1
    with tempfile.TemporaryDirectory() as place:
        raw, out = Path(place) / "raw", Path(place) / "out"
        raw.mkdir()
        for path in sorted(folder.iterdir()):
            if path.name not in (GOLD, "SOURCE.md"):
                (raw / path.name).write_bytes(path.read_bytes())
        (Path(place) / "recipe.yaml").write_text(RECIPE)
        build(raw, out, read_recipe(Path(place) / "recipe.yaml"))
        said = texts_under(out)
        corpus = pl.concat([pl.read_parquet(path) for path in sorted((out / "corpus").glob("*.parquet"))])
    left = 0
    for kind, values in sorted(listed.items()):
        there = sum(squeezed(value) in said for value in values)
        left += there
        print(f"{kind}: {spans[kind]} spans listed, {len(values)} values; readable somewhere under --out: {there}")
    seen: Counter[str] = Counter()
    for prompt, completion in corpus.select("prompt", "completion").iter_rows():
        for text in (*(message["content"] for message in prompt or ()), completion or ""):
            seen.update(piece.kind for piece in find(text))
    replaced = Counter(kind for kinds in corpus["pii"].drop_nulls() for kind in kinds)
    print(f"replaced in {corpus.height} rows: {', '.join(f'{kind} {count}' for kind, count in sorted(replaced.items()))}")
    print(f"still found in the corpus by the same patterns: {dict(seen) or 'none'}")
    return 1 if left or seen else 0


if __name__ == "__main__":
    place_of_data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/messy_dump_dev")
    if not place_of_data.is_dir():
        sys.exit(f"{place_of_data}: no such folder; pass the one that holds the data and its manifest")
    sys.exit(main(place_of_data))
