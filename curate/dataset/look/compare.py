"""`curate compare A B`: two builds side by side, down to which rows changed their fate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate.compose.splits import SPLITS
from curate.dataset.formats import read_manifest, read_output, stages
from curate.pages.html import Html, page, section, tag
from curate.pages.html import table as html_table
from curate.pages.tables import table

MOST_CHANGES = 20  # lines of the table of changed fates; the others are summed
MOST_OPTIONS = 40  # recipe options that are listed

Line = tuple[str, str, str, str]


@dataclass(frozen=True)
class Table:
    """One table of the comparison: a heading, the columns' names, and lines."""

    heading: str
    header: tuple[str, str, str, str]
    lines: list[Line]


def compare(one: Path, other: Path) -> list[Table]:
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
        Table("What made them", ("", "A", "B", ""), list(_made(first, second))),
        Table("Outputs", names, [_counted(*line) for line in _both(_outputs(first), _outputs(second))]),
        Table("Pairs by strategy", names, [_counted(*line) for line in _both(_strategies(first), _strategies(second))]),
        Table("Rows dropped", names, [_counted(*line) for line in _both(_drops(first), _drops(second))]),
        Table("Rows in both, by label", ("in A", "in B", "rows", ""), _moved(fates, "label")),
        Table("Rows in both, by split", ("in A", "in B", "rows", ""), _moved(fates, "split")),
        Table("Rows whose fate changed", ("in A", "in B", "rows", "one of them"), _moved(fates, "fate")),
    ]


def as_text(tables: Sequence[Table]) -> str:
    """The comparison for a terminal."""
    blocks = ["\n".join([one.heading, *table(one.header, one.lines)]) for one in tables if one.lines]
    return "\n\n".join(blocks)


def as_page(tables: Sequence[Table], one: Path, other: Path) -> str:
    """The comparison as a self-contained page."""
    told: list[Html] = [section(part.heading, html_table(part.header, part.lines)) for part in tables if part.lines]
    lead = tag(
        "p", "A: ", tag("code", one.name), ", B: ", tag("code", other.name), "; no text of any row is shown.", class_="quiet"
    )
    return page(f"{one.name} and {other.name}", lead, *told)


def _made(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Line]:
    """Names, policies, versions and every recipe option that is not the same."""
    for name in ("name", "fingerprint", "policy"):
        yield name, str(first[name]), str(second[name]), "" if first[name] == second[name] else "differs"
    for kind in ("recipe", "versions"):
        mine, theirs = (dict(_flat(manifest[kind], kind)) for manifest in (first, second))
        odd = [key for key in dict.fromkeys([*mine, *theirs]) if mine.get(key) != theirs.get(key)]
        for key in odd[:MOST_OPTIONS]:
            yield key, mine.get(key, "-"), theirs.get(key, "-"), "differs"
        if odd[MOST_OPTIONS:]:
            yield f"{len(odd) - MOST_OPTIONS} more of {kind}", "", "", "differ"


def _flat(value: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - a JSON value
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


def _outputs(manifest: Mapping[str, Any]) -> dict[str, int]:
    counts = manifest["dataset"]
    found = {"records read": manifest["records"]["read"], "rows": manifest["records"]["rows"]}
    for split in SPLITS:
        found[f"paired, {split}"] = counts["paired"][split]
        for side in ("desirable", "undesirable"):
            found[f"unpaired {side}, {split}"] = counts["unpaired"][split][side]
        found[f"sft, {split}"] = counts["sft"][split]
    return found


def _strategies(manifest: Mapping[str, Any]) -> dict[str, int]:
    found = {}
    for name, fact in manifest["dataset"]["strategies"].items():
        found[name] = fact["pairs"]
        found |= {f"{name}, refused: {reason}": size for reason, size in fact["refused"].items()}
    return found


def _drops(manifest: Mapping[str, Any]) -> dict[str, int]:
    return {f"{one['stage']}: {reason}": size for one in stages(manifest) for reason, size in one["dropped"].items()}


def _both(mine: Mapping[str, int], theirs: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    for key in dict.fromkeys([*mine, *theirs]):
        yield key, mine.get(key, 0), theirs.get(key, 0)


def _counted(name: str, mine: int, theirs: int) -> Line:
    return name, f"{mine:,}", f"{theirs:,}", f"{theirs - mine:+,}" if theirs != mine else "="


def _fates(folder: Path, manifest: Mapping[str, Any]) -> pl.DataFrame:
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
