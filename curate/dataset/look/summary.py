"""What a build did, on one screen: records, rows by stage and reason, outputs, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.pages.tables import table


def summary(manifest: Mapping[str, Any], out: Path) -> str:
    """The terminal's account of a build; numbers and names only, no text of any row.

    Args:
        manifest: as `pipeline.build` returns it.
        out: the dataset folder, as the user wrote it.
    """
    if manifest.get("unchanged"):
        head = [f"{out}: nothing to do; the same sources, recipe and versions made what stands there"]
    else:
        head = [f"{out}: built from {len(manifest['sources'])} files"]
    records = manifest["records"]
    skipped = _reasons(records["skipped"])
    lines = [
        *head,
        "",
        f"records  {records['read']:,} read = {records['mined']:,} mined + {sum(records['skipped'].values()):,} skipped{skipped}"
        f" + {records['quarantined']:,} quarantined",
        "",
        *table(
            ("stage", "rows in", "kept", "dropped"),
            [(one["stage"], f"{one['rows_in']:,}", f"{one['kept']:,}", _dropped(one["dropped"])) for one in manifest["stages"]],
        ),
        "",
        *_outputs(manifest["dataset"]),
        "",
        *_overlaps(manifest),
    ]
    lines += [f"warning: {text}" for text in manifest["warnings"]]
    data = "" if out == Path("pairs") else f" --set data={out}"  # what the recipe says
    return "\n".join([*lines, "", f"next: open {out / 'report.html'}, or `curate show {out}`, or `align run kto_s{data}`"])


def _outputs(counts: Mapping[str, Any]) -> list[str]:
    splits = ("train", "validation", "test")
    rows = []
    for name in ("paired", "unpaired", "sft"):
        sizes = counts.get(name, {})
        rows.append((name, *(_size(sizes.get(split, 0)) for split in splits), ""))
    return table(("output", *splits, ""), rows)


def _overlaps(manifest: Mapping[str, Any]) -> list[str]:
    """What the purge took from the held-out side, and which training rows overlap which evaluation set."""
    purged = manifest["dataset"]["purged"]
    gone = [(f"{split}: {why}", size) for split in ("validation", "test") for why, size in purged[split].items()]
    said = ", ".join(f"{name} {size:,}" for name, size in gone) or "none"
    lines = [f"purged from the {purged['held_out']:,} held-out rows, because training shows them: {said}"]
    sets = manifest["dataset"]["contamination"]
    keys = ("items", "rows", "grams", "near", "semantic")
    rows = [(name, *(f"{fact[key]:,}" for key in keys), "") for name, fact in sets.items()]
    header = ("evaluation set", "items", "training rows that overlap", "8-grams", "near", "semantic", "")
    fate = "removed from training" if manifest["recipe"]["dataset"]["contamination"]["remove"] else "reported only"
    return [*lines, *table(header, rows), f"rows that overlap were {fate}"]


def _size(value: Any) -> str:  # noqa: ANN401 - a count, or counts by class
    if isinstance(value, Mapping):
        return f"{sum(n for n in value.values() if isinstance(n, int)):,}"
    return f"{value:,}"


def _dropped(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in reasons.items()) or "-"


def _reasons(reasons: Mapping[str, int]) -> str:
    return f" ({_dropped(reasons)})" if reasons else ""
