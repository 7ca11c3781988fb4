"""`curate show`: what each stage dropped, and what another threshold would have, without computing anything again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curate.compose.review import suspects
from curate.core.errors import DataError
from curate.core.manifest import Manifest, read_manifest
from curate.dataset.formats import read_output, read_table
from curate.dataset.thresholds import GRID, entered, used_threshold, would_drop
from curate.pages.tables import table_lines
from curate.stages.outliers import Outliers

CAPS = (1, 2, 5, 10, 20, 50, 100)  # rows of one completion, for repeated_completions
MEANS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)  # mean cosines, for outliers
SAMPLES = 3  # rows shown for each threshold of the grid
SHORT = 12  # characters of an id that are shown; `curate explain` takes them
MOST_TEMPLATES = 20  # that are listed
MORE_SAMPLES = 10  # rows shown for the one threshold that was asked for


def show(folder: Path, stage: str | None = None, threshold: float | None = None, show_text: bool = False) -> str:
    """Tell what each stage dropped; with a stage that compares rows, how many rows each threshold would drop.

    Args:
        folder: a dataset folder.
        stage: a stage whose similarities are stored.
        threshold: look at this one in place of a grid.
        show_text: print the sample rows' completions too.

    Raises:
        DataError: `stage` stored no similarities, or `threshold` came without it.
    """
    manifest = read_manifest(folder)
    if stage is None:
        if threshold is not None:
            raise DataError(f"--threshold {threshold:g}: of which stage?", hint=f"add --stage, one of {_comparing(manifest)}")
        return "\n".join(_all_stages(manifest))
    path = manifest.similarities.get(stage)
    if path is None:
        raise DataError(
            f"--stage {stage}: no similarities are stored for it", hint=f"stages that have some: {_comparing(manifest)}"
        )
    edges = read_table(folder, manifest, path)
    rows = entered(folder, manifest, stage)
    if stage == "templates":
        return "\n".join(_templates(folder, manifest, rows, show_text))
    if stage == "repeated_completions":
        return "\n".join(_caps(manifest, edges, rows))
    if stage == "outliers":
        return "\n".join(_outliers(manifest, edges, rows, threshold))
    lines = _thresholds(folder, manifest, stage, edges, rows, threshold, show_text)
    return "\n".join([*lines, *_suspects(folder, manifest, stage, edges)])


def _all_stages(manifest: Manifest) -> list[str]:
    body = []
    for one in manifest.steps:
        reasons = ", ".join(f"{reason} {size:,}" for reason, size in one.dropped.items()) or "-"
        body.append((one.stage, f"{one.rows_in:,}", f"{one.kept:,}", reasons))
    lines = [
        f"{manifest.name} ({manifest.fingerprint})",
        *table_lines(("stage", "rows in", "kept", "dropped"), body, left=(0, -1)),
    ]
    for stage, pairs in manifest.dataset.suspect.items():
        lines.append(f"suspect: {pairs:,} pairs of kept near copies with opposite labels; --stage {stage} names some")
    return lines


def _caps(manifest: Manifest, edges: pl.DataFrame, rows: pl.DataFrame) -> list[str]:
    """How many rows each cap on one completion would drop."""
    used = int(manifest.stage_options["repeated_completions"]["most"])
    sizes = edges.group_by("a").len()["len"].cast(pl.Int64) + 1
    body = [
        (f"{most:,}{' *' if most == used else ''}", f"{int((sizes - most).clip(0).sum()):,}") for most in sorted({*CAPS, used})
    ]
    head = f"repeated_completions: {rows.height:,} rows in, {len(sizes):,} completions under several prompts"
    return [head, *table_lines(("most", "rows dropped"), body, left=(0, 1)), "* what this build used"]


def _outliers(manifest: Manifest, edges: pl.DataFrame, rows: pl.DataFrame, threshold: float | None) -> list[str]:
    """How many rows each mean cosine would drop, and the farthest of them."""
    used = Outliers(**manifest.stage_options["outliers"])
    place = pl.Series(range(rows.height), dtype=pl.UInt32)
    pairs = edges.select(pl.col(end).replace_strict(rows["id"], place) for end in ("a", "b")).hstack(edges.select("score"))
    means = rows.select("id").hstack(used.means(pairs, rows)).drop_nulls().sort("score", "id")
    grid = [threshold] if threshold is not None else sorted({*MEANS, used.threshold})
    body = []
    for at in grid:
        gone = means.filter(pl.col("score") < pl.lit(at, pl.Float32))
        nearest = ", ".join(f"{name[:SHORT]} {score:.3f}" for name, score in gone.tail(SAMPLES).iter_rows())
        body.append((f"{at:g}{' *' if at == used.threshold else ''}", f"{gone.height:,}", nearest or "-"))
    head = f"outliers: {rows.height:,} rows in, {means.height:,} with enough rows of their label to compare with"
    return [
        head,
        *table_lines(("threshold", "rows dropped", "the nearest of them, mean cosine"), body, left=(0, -1)),
        "* what this build used",
    ]


def _templates(folder: Path, manifest: Manifest, rows: pl.DataFrame, show_text: bool) -> list[str]:
    """The largest templates: how many rows fill them in, in which splits, and whose they are."""
    columns = ["id", "template_cluster", "split", "toxic", "completion"]
    filled = read_output(folder, manifest, "corpus/", columns).filter(pl.col("template_cluster").is_not_null())
    grouped = (
        filled.group_by("template_cluster")
        .agg(pl.len(), held=(pl.col("split") != "train").sum(), toxic=pl.col("toxic").sum(), text=pl.col("completion").min())
        .sort("len", "template_cluster", descending=[True, False])
    )
    head = (
        f"templates: {rows.height:,} rows in, {grouped.height:,} templates that {filled.height:,} rows fill in; none is dropped"
    )
    body = [
        (name[:SHORT], f"{size:,}", f"{held:,}", f"{toxic:,}", text if show_text else "")
        for name, size, held, toxic, text in grouped.head(MOST_TEMPLATES).iter_rows()
    ]
    return [head, *table_lines(("first row", "rows", "held out", "toxic", ""), body, left=(0, -1))]


def _suspects(folder: Path, manifest: Manifest, stage: str, edges: pl.DataFrame) -> list[str]:
    """Near copies with opposite labels: how many, and the likest."""
    threshold = used_threshold(manifest, stage)
    if stage != "near_duplicates" or threshold is None:
        return []
    pairs = suspects(edges, read_output(folder, manifest, "corpus/", ["id", "record", "side", "toxic"]), threshold)
    lines = [f"suspect: {pairs.height:,} pairs of kept near copies with opposite labels, one of the two probably wrong"]
    return lines + [f"  {a[:SHORT]} ~ {b[:SHORT]} {score:.3f}" for a, b, score in pairs.head(MORE_SAMPLES).iter_rows()]


def _comparing(manifest: Manifest) -> str:
    return ", ".join(manifest.similarities) or "none in this build"


def _thresholds(
    folder: Path,
    manifest: Manifest,
    stage: str,
    edges: pl.DataFrame,
    rows: pl.DataFrame,
    threshold: float | None,
    show_text: bool,
) -> list[str]:
    used = used_threshold(manifest, stage)
    floor = float(edges["score"].min() or 0.0)  # type: ignore[arg-type]
    grid = [threshold] if threshold is not None else sorted({*(at for at in GRID if at >= floor), *([used] if used else [])})
    dropped = {at: would_drop(edges, rows, at) for at in grid}
    body: list[tuple[str, ...]] = []
    shown: list[tuple[str, str]] = []
    for at, higher in zip(grid, [*grid[1:], None], strict=True):
        fresh = dropped[at] if higher is None else dropped[at].join(dropped[higher], on="id", how="anti")
        samples = fresh.sort("score", "id").head(MORE_SAMPLES if threshold is not None else SAMPLES)
        shown += list(samples.select("id", "twin").iter_rows())
        bound = "at least " if used is not None and at < used else ""
        mark = " *" if at == used else ""
        pairs = ", ".join(f"{name[:SHORT]} ~ {twin[:SHORT]} {score:.3f}" for name, twin, score in samples.iter_rows())
        body.append((f"{at:g}{mark}", f"{bound}{dropped[at].height:,}", pairs or "-"))
    lines = [f"{stage}: {rows.height:,} rows in, {edges.height:,} compared pairs stored, the least alike at {floor:.3f}"]
    header = ("threshold", "rows dropped", "rows that only this threshold and lower ones drop ~ twin, similarity")
    lines += table_lines(header, body, left=(0, -1))
    dropped_then = sum(next(one.dropped for one in manifest.stages if one.stage == stage).values())
    if used in dropped and dropped[used].height != dropped_then:
        lines.append(
            f"! the build dropped {dropped_then:,} at {used:g}: labels changed after this stage, so counts are near, not exact"
        )
    if used:
        lines.append("* what this build used; it looked for pairs from there up, so below it some may be missing")
    if show_text:
        lines += _texts(folder, manifest, shown)
    return lines


def _texts(folder: Path, manifest: Manifest, shown: Sequence[tuple[str, str]]) -> list[str]:
    wanted = {name for pair in shown for name in pair}
    corpus = read_output(folder, manifest, "corpus/", ["id", "completion"]).filter(pl.col("id").is_in(list(wanted)))
    text = dict(corpus.iter_rows())
    return [line for one, twin in shown for line in (f"{one[:SHORT]}: {text[one]}", f"{twin[:SHORT]}: {text[twin]}")]
