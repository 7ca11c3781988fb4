"""What a build did, on one screen: records, rows by stage and reason, outputs, warnings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from curate.compose.splits import SPLITS
from curate.core.manifest import Manifest
from curate.core.manifest.counts import DatasetCounts
from curate.pages.tables import table_lines

USUAL = Path("pairs")  # the folder that align's recipes name


def summary(manifest: Manifest, out: Path, *, unchanged: bool = False) -> str:
    """The terminal's account of a build; numbers and names only, no text of any row.

    Args:
        manifest: of the dataset.
        out: the dataset folder, as the user wrote it.
        unchanged: the build had nothing to do.
    """
    head = (
        f"{out}: nothing to do; the same sources, recipe and versions made what stands there"
        if unchanged
        else f"{out}: built from {len(manifest.sources)} files"
    )
    records, reasons = manifest.records, _reasons(manifest.records.skipped)
    stages = [(one.stage, f"{one.rows_in:,}", f"{one.kept:,}", _reasons(one.dropped) or "-") for one in manifest.stages]
    lines = [
        head,
        "",
        f"records  {records.read:,} read = {records.mined:,} mined + {sum(records.skipped.values()):,} skipped"
        f"{f' ({reasons})' if reasons else ''} + {records.quarantined:,} quarantined",
        "",
        *table_lines(("stage", "rows in", "kept", "dropped"), stages, left=(0, -1)),
        "",
        *_outputs(manifest.dataset),
        "",
        *_overlaps(manifest),
        *(f"warning: {text}" for text in manifest.warnings),
    ]
    data = "" if out == USUAL else f" --set {shlex.quote(f'data={out}')}"
    following = f"next: open {out / 'report.html'}, or `curate show {out}`, or `align run kto_s{data}`"
    return "\n".join([*lines, "", following])


def _outputs(counts: DatasetCounts) -> list[str]:
    rows = [(name, *(f"{sizes.get(split, 0):,}" for split in SPLITS)) for name, sizes in counts.sizes().items()]
    return table_lines(("output", *SPLITS), rows)


def _overlaps(manifest: Manifest) -> list[str]:
    """What the purge took from the held-out side, and which training rows overlap which evaluation set."""
    purged = manifest.dataset.purged
    reasons = {f"{split}: {why}": size for split, rows in purged.by_split().items() for why, size in rows.items()}
    lead = f"purged from the {purged.held_out:,} held-out rows, because training shows them: {_reasons(reasons) or 'none'}"
    rows = [
        (name, *(f"{size:,}" for size in (one.items, one.rows, one.grams, one.near, one.semantic)))
        for name, one in manifest.dataset.contamination.items()
    ]
    header = ("evaluation set", "items", "training rows that overlap", "8-grams", "near", "semantic")
    fate = "removed from training" if manifest.dataset_options.get("contamination", {}).get("remove", True) else "reported only"
    return [lead, *table_lines(header, rows), f"rows that overlap were {fate}"]


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in reasons.items())
