"""How much of a messy folder comes back: records, texts, labels; needs the folder `messy_dump_dev` with its gold manifest.

    python benchmarks/sources.py ../shared/data/messy_dump_dev

The folder is read as `curate build` reads it, with no recipe. Prints each figure with its denominator, and which files and
records differ, by their ids in the manifest: no text. Two figures are counted more than one way, side by side, because what is
asked of them contradicts itself:

- texts: where a text had nothing to be spoilt, the dump added words of its own to it; no repair can know them from the
  writer's. Strictly such a text differs; otherwise it is compared with those words put back.
- labels: one file's labels are bare -1, 0 and 1 in a column `y`, with no word beside them in any cell: its other columns are a
  number and the text. Bare answers whose side nothing proves must abstain and be shown. Strictly an abstention is not right;
  otherwise it counts where `curate inspect` names the file and prints the line to pin it by; and with just the lines that
  `curate inspect` prints, taken from its output, as the recipe.

Ends with 1 when a figure is below what this project asks of itself.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from curate.core.config import build
from curate.core.policy import load_policy
from curate.raw.formats import READERS, Broken, Record, Stream, recognise
from curate.raw.inspect import inspect
from curate.raw.mining.miner import flat
from curate.raw.mining.tables import Tables
from curate.raw.sources import Source, SourceFile, discover
from curate.text.repair import repaired

PAGES = ("MANIFEST_gold.jsonl.gz",)  # about the folder, not of it
HARMLESS = {
    *("mojibake", "double_html_escape", "zero_width", "fullwidth", "homoglyph", "odd_whitespace", "exact_dup"),
}
"""Dirt that repair takes away, or that changes nothing; a record with any other is not compared."""

ADDED = {"double_html_escape": " & co", "mojibake": " …"}
"""Words that came with the dirt where a text had nothing to be spoilt: no repair can know them from the writer's own."""

LINKED = re.compile(r"@\w|https?:|www\.|\b[\w-]+\.(?:com|co|org|net|ly|sg)\b", re.IGNORECASE)
WANTED = {
    "records recovered": 0.99,
    "texts equal, strictly": None,
    "texts equal, added words put back": 0.98,
    "labels right, strictly": None,
    "labels right or shown as unproven": 0.99,
    "labels right with inspect's lines": 0.99,
    "pairs right": 0.99,
}
"""Figure -> the share that is asked for; null where a note in the head of this file says why it is counted otherwise too."""

IDS = {
    "forum_export.csv": "post_id",
    "tweets_dump.tsv": "id",
    "sms_backup.xml": "id",
    "comments.jsonl": "id",
    "annotations.json": "item",
    "thread.html": "id",
    "old_board.sql": "id",
    "table.parquet": "idx",
    "notes_latin1.csv": "Nr",
    "preference_votes.jsonl.gz": "qid",
}
"""Where a file's records have ids of their own: the column that holds them."""


@dataclass
class Found:
    """One record as it was read and mined."""

    record: Record
    rows: list[dict[str, Any]] | str
    text: str


class Figure:
    """A share, and the ids of what is missing from it, by file."""

    def __init__(self, name: str) -> None:
        """Nothing is counted yet."""
        self.name, self.good, self.all = name, 0, 0
        self.bad: defaultdict[str, list[str]] = defaultdict(list)

    def count(self, file: str, uid: str, good: bool) -> None:
        """Count one record."""
        self.all += 1
        self.good += good
        if not good:
            self.bad[file].append(uid)

    def say(self) -> bool:
        """Print it; whether it is what is asked for."""
        wanted = WANTED[self.name]
        reached = self.good >= (wanted or 0) * self.all
        share = self.good / self.all if self.all else float("nan")
        asked = "" if wanted is None else f" (asked: {wanted}){'' if reached else '  BELOW'}"
        print(f"{self.name:34} {self.good} of {self.all} = {share:.4f}{asked}")
        for file, uids in sorted(self.bad.items()):
            print(f"  not so in {file}: {', '.join(uids)}")
        return reached


def place(file: str, locator: dict[str, Any]) -> str:
    """A gold locator as one word."""
    if "sheet" in locator:
        return f"{locator['sheet']} {locator['row']}"
    return str(next(iter(locator.values())))


def read(file: SourceFile, sources: Sequence[Source] = ()) -> tuple[str, dict[str, Found], Counter[str], list[Broken]]:
    """A file's format, its records by the words that gold locators use, what became of them, and its broken entries."""
    form = recognise(Stream(file.path, member=file.member))
    if form is None:
        return "unknown", {}, Counter(), []
    found: dict[str, Found] = {}
    fate: Counter[str] = Counter()
    broken: list[Broken] = []

    def again() -> Iterator[Record | Broken]:
        return READERS[form](Stream(file.path, member=file.member))

    with Tables(file.name, form, sources, load_policy(), b"benchmark", again) as tables:
        mined = list(tables.mine(again(), broken.append))
    for number, (record, rows) in enumerate(mined, 1):
        fields = flat(record.fields)
        column = tables.roles[record.table].column("text")
        text = str(fields.get(column) or "") if column else ""
        at = re.search(r"(\d+)$", record.locator)
        here = at[1] if at else ""
        name = {"utf16_lines.txt": here, "survey.xlsx": f"{record.table} {here}", "chat_export.txt": str(number)}.get(file.name)
        if name is None:
            name = str(fields.get(IDS.get(file.name, ""), ""))
        found[name] = Found(record, rows, text)
        fate[rows if isinstance(rows, str) else "mined"] += 1
    return form, found, fate, broken


def main(folder: Path) -> int:
    """Read the folder, compare, print."""
    with gzip.open(folder / PAGES[0], "rt", encoding="utf-8") as file:
        gold = [json.loads(line) for line in file]
    by_file: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in gold:
        by_file[record["file"]].append(record)
    figures = {name: Figure(name) for name in WANTED}
    shown = inspected(folder)
    counts: Counter[str] = Counter()
    extra = 0
    print(f"{'file':26}{'format':9}{'records':>8}{'gold':>6}{'mined':>7}{'broken':>7}  skipped; why broken")
    for source in discover(folder).files:
        if source.name in PAGES:
            continue
        form, found, fate, broken = read(source)
        skipped = ", ".join(f"{reason} {count}" for reason, count in sorted(fate.items()) if reason != "mined") or "-"
        why = "; ".join(f"{entry.locator}: {entry.reason}" for entry in broken) or "-"
        count = sum(fate.values()) + len(broken)
        print(f"{source.name:26}{form:9}{count:8}{len(by_file[source.name]):6}{fate['mined']:7}{len(broken):7}  {skipped}; {why}")
        extra += sum(fate.values()) - len(by_file[source.name])
        told = read(source, shown)[1]
        for record in by_file[source.name]:
            at = place(source.name, record["locator"])
            compare(record, found.get(at), figures, counts)
            if labelled(record):
                right, said = record["gold_label"] == "toxic", side(found.get(at))
                unproven = said is None and any(one.match == source.name for one in shown)
                figures["labels right or shown as unproven"].count(source.name, record["uid"], said is right or unproven)
                figures["labels right with inspect's lines"].count(source.name, record["uid"], side(told.get(at)) is right)
    print(f"records read that the manifest does not list: {extra}")
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")
    reached = [figures[name].say() for name in WANTED]
    return 0 if all(reached) else 1


def inspected(folder: Path) -> tuple[Source, ...]:
    """The sources that `curate inspect` asks for, as it prints them."""
    printed = inspect(folder).split("\nsources:\n")[1:]
    lines = [line for block in printed for line in takewhile(lambda line: line.startswith("  - "), block.split("\n"))]
    return tuple(build(Source, entry, "inspect") for entry in yaml.safe_load("\n".join(lines)) or ())


def compare(gold: dict[str, Any], found: Found | None, figures: dict[str, Figure], counts: Counter[str]) -> None:
    """Count one gold record into each figure that is about it."""
    file, uid = gold["file"], gold["uid"]
    pair = gold.get("pair")
    whole = found is not None and (bool(found.text.strip()) or pair is not None or not gold["raw_text"].strip())
    figures["records recovered"].count(file, uid, whole)
    rows = found.rows if found is not None and not isinstance(found.rows, str) else []
    if pair is not None:
        if "tie" in gold["injected"]:
            figures["pairs right"].count(file, uid, found is not None and found.rows == "tie")
            return
        sides = {row["side"]: repaired(row["completion"]) for row in rows}
        figures["pairs right"].count(file, uid, sides == {"chosen": repaired(pair["good"]), "rejected": repaired(pair["bad"])})
        return
    if set(gold["injected"]) <= HARMLESS and not LINKED.search(gold["clean_text"]):
        wanted, dirty = repaired(gold["clean_text"]), repaired(gold["raw_text"])
        more = "".join(word for dirt, word in ADDED.items() if dirt in gold["injected"] and dirty.endswith(word))
        text = repaired(found.text) if found is not None else None
        figures["texts equal, strictly"].count(file, uid, text == wanted)
        figures["texts equal, added words put back"].count(file, uid, text == wanted.rstrip() + more)
        counts["words added"] += bool(more)
    if labelled(gold):
        said = side(found)
        figures["labels right, strictly"].count(file, uid, said is (gold["gold_label"] == "toxic"))
        counts["labels abstained"] += said is None
        counts["labels wrong"] += said is not None and said is not (gold["gold_label"] == "toxic")
    elif gold["gold_label"] is None:
        counts["labels where the manifest has none"] += side(found) is not None


def labelled(gold: dict[str, Any]) -> bool:
    """Whether the manifest gives a label and the file can carry one."""
    return gold["gold_label"] is not None and gold["file"] not in ("chat_export.txt", "utf16_lines.txt")


def side(found: Found | None) -> bool | None:
    """What a record's rows say: toxic, not, or nothing."""
    rows = found.rows if found is not None and not isinstance(found.rows, str) else []
    shares = {row["given"] for row in rows}
    share = shares.pop() if len(shares) == 1 else None
    return None if share is None or share == 0.5 else share > 0.5


if __name__ == "__main__":
    place_of_data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/messy_dump_dev")
    if not place_of_data.is_dir():
        sys.exit(f"{place_of_data}: no such folder; pass the one that holds the data and its manifest")
    sys.exit(main(place_of_data))
