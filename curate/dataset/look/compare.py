"""`curate compare A B`: two builds side by side, down to which rows changed their fate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate.compose.splits import SPLITS
from curate.core.manifest import Manifest, read_manifest
from curate.core.manifest.counts import Tally
from curate.dataset.formats import read_output
from curate.pages.html import Html, page, section, table, tag
from curate.pages.tables import table_lines

MOST_CHANGES = 20  # lines of the table of changed fates; the others are summed
MOST_OPTIONS = 40  # recipe options that are listed

Line = tuple[str, str, str, str]


@dataclass(frozen=True)
class Comparison:
    """One table of the comparison: a heading, the columns' names, and lines."""

    heading: str
    header: tuple[str, str, str, str]
    lines: list[Line]


def compare(one: Path, other: Path) -> list[Comparison]:
    """Tables of what differs between two dataset folders; ids and numbers, no text.

    Args:
        one: the first folder, A.
        other: the second, B.

    Raises:
        DataError: one of them is no dataset.
    """
    first, second = read_manifest(one), read_manifest(other)
    names = ("", "A", "B", "B - A")
    fates = _fates(one, first).join(_fates(other, second), on="id", how="full", suffix="_b", coalesce=True)
    return [
        Comparison("What made them", ("", "A", "B", ""), list(_made(first, second))),
        Comparison("Outputs", names, [_counted(*line) for line in _both(_outputs(first), _outputs(second))]),
        Comparison("Pairs by strategy", names, [_counted(*line) for line in _both(_strategies(first), _strategies(second))]),
        Comparison("Rows dropped", names, [_counted(*line) for line in _both(_drops(first), _drops(second))]),
        Comparison("Rows in both, by label", ("in A", "in B", "rows", ""), _moved(fates, "label")),
        Comparison("Rows in both, by split", ("in A", "in B", "rows", ""), _moved(fates, "split")),
        Comparison("Rows whose fate changed", ("in A", "in B", "rows", "one of them"), _moved(fates, "fate")),
    ]


def as_text(tables: Sequence[Comparison]) -> str:
    """The comparison for a terminal."""
    blocks = ["\n".join([one.heading, *table_lines(one.header, one.lines, left=(0, -1))]) for one in tables if one.lines]
    return "\n\n".join(blocks)


def as_page(tables: Sequence[Comparison], one: Path, other: Path) -> str:
    """The comparison as a self-contained page."""
    sections: list[Html] = [section(part.heading, table(part.header, part.lines)) for part in tables if part.lines]
    lead = tag(
        "p", "A: ", tag("code", one.name), ", B: ", tag("code", other.name), "; no text of any row is shown.", class_="quiet"
    )
    return page(f"{one.name} and {other.name}", lead, *sections)


def _made(first: Manifest, second: Manifest) -> Iterator[Line]:
    """Names, policies, versions and every recipe option that is not the same."""
    for name, one, other in (
        ("name", first.name, second.name),
        ("fingerprint", first.fingerprint, second.fingerprint),
        ("policy", first.policy, second.policy),
    ):
        yield name, one, other, "" if one == other else "differs"
    for kind, options, others in (("recipe", first.recipe, second.recipe), ("versions", first.versions, second.versions)):
        mine, theirs = dict(_flat(options, kind)), dict(_flat(others, kind))
        odd = [key for key in dict.fromkeys([*mine, *theirs]) if mine.get(key) != theirs.get(key)]
        for key in odd[:MOST_OPTIONS]:
            yield key, mine.get(key, "-"), theirs.get(key, "-"), "differs"
        if odd[MOST_OPTIONS:]:
            yield f"{len(odd) - MOST_OPTIONS} more of {kind}", "", "", "differ"


def _flat(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Every leaf of a recipe by its path; an entry of a list that is `{name: options}` goes by its name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{place}.{key}")
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) and len(entry) == 1 for entry in value):
        yield f"{place}: order", ", ".join(next(iter(entry)) for entry in value)
        for entry in value:
            yield from _flat(entry, place)
    else:
        yield place, str(value)


def _outputs(manifest: Manifest) -> Tally:
    counts = manifest.dataset
    sizes = {"records read": manifest.records.read, "rows": manifest.records.rows}
    for split in SPLITS:
        sizes[f"paired, {split}"] = counts.paired.get(split, 0)
        for side in ("desirable", "undesirable"):
            sizes[f"unpaired {side}, {split}"] = counts.unpaired.get(split, {}).get(side, 0)
        sizes[f"sft, {split}"] = counts.sft.get(split, 0)
    return sizes


def _strategies(manifest: Manifest) -> Tally:
    sizes = {}
    for name, one in manifest.dataset.strategies.items():
        sizes[name] = one.pairs
        sizes |= {f"{name}, refused: {reason}": size for reason, size in one.refused.items()}
    return sizes


def _drops(manifest: Manifest) -> Tally:
    return {f"{one.stage}: {reason}": size for one in manifest.steps for reason, size in one.dropped.items()}


def _both(mine: Tally, theirs: Tally) -> Iterator[tuple[str, int, int]]:
    for key in dict.fromkeys([*mine, *theirs]):
        yield key, mine.get(key, 0), theirs.get(key, 0)


def _counted(name: str, mine: int, theirs: int) -> Line:
    return name, f"{mine:,}", f"{theirs:,}", f"{theirs - mine:+,}" if theirs != mine else "="


def _fates(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """`id`, `label`, `split` and `fate` of every row."""
    rows = read_output(folder, manifest, "corpus/", ["id", "toxic", "split", "stage", "reason"])
    label = pl.when(pl.col("toxic").is_null()).then(pl.lit("abstained")).when("toxic").then(pl.lit("toxic"))
    return rows.select(
        "id",
        "split",
        label=label.otherwise(pl.lit("non_toxic")),
        fate=pl.when(pl.col("reason").is_null()).then(pl.lit("kept")).otherwise(pl.format("{}: {}", "stage", "reason")),
    )


def _moved(fates: pl.DataFrame, what: str) -> list[Line]:
    """How many rows went from which value to which; for fates, only those that changed."""
    pairs = fates.select("id", one=pl.col(what).fill_null("absent"), other=pl.col(f"{what}_b").fill_null("absent"))
    if what != "fate":
        pairs = pairs.filter((pl.col("one") != "absent") & (pl.col("other") != "absent"))
    else:
        pairs = pairs.filter(pl.col("one") != pl.col("other"))
    groups = (
        pairs.group_by("one", "other")
        .agg(pl.len(), pl.col("id").min())
        .sort("len", "one", "other", descending=[True, False, False])
    )
    lines = [
        (one, other, f"{size:,}", name[:12] if what == "fate" else "" if one == other else "changed")
        for one, other, size, name in groups.iter_rows()
    ]
    rest = groups.slice(MOST_CHANGES)
    if rest.height:
        lines[MOST_CHANGES:] = [(f"{rest.height} more kinds", "", f"{rest['len'].sum():,}", "")]
    return lines
