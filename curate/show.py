"""`curate show`: what each stage dropped, and what another threshold would have, without computing anything again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.errors import DataError
from curate.formats import read_manifest, read_output
from curate.report import stages
from curate.schema import EVIDENCE
from curate.store import read_parquet
from curate.summary import table

GRID = tuple(at / 20 for at in range(10, 21))  # .50, .55 ... 1.00
SAMPLES = 3  # rows shown for each threshold of the grid
SHORT = 12  # characters of an id that are shown; `curate explain` takes them
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
            raise DataError(f"--threshold {threshold:g}: of which stage? add --stage, one of: {_comparing(manifest)}")
        return "\n".join(_all_stages(manifest))
    path = f"similarity/{stage}.parquet"
    if path not in manifest["files"]:
        raise DataError(f"--stage {stage}: no similarities are stored for it; stages that have some: {_comparing(manifest)}")
    edges = read_parquet(folder / path)
    rows = _entered(folder, manifest, stage)
    return "\n".join(_thresholds(folder, manifest, stage, edges, rows, threshold, show_text))


def _all_stages(manifest: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in stages(manifest):
        reasons = ", ".join(f"{reason} {size:,}" for reason, size in one["dropped"].items()) or "-"
        lines.append((one["stage"], f"{one['rows_in']:,}", f"{one['kept']:,}", reasons))
    return [f"{manifest['name']} ({manifest['fingerprint']})", *table(("stage", "rows in", "kept", "dropped"), lines)]


def _comparing(manifest: Mapping[str, Any]) -> str:
    found = sorted(Path(path).stem for path in manifest["files"] if path.startswith("similarity/"))
    return ", ".join(found) or "none in this build"


def _entered(folder: Path, manifest: Mapping[str, Any], stage: str) -> pl.DataFrame:
    """Rows that reached a stage, in the order in which it visits them, with the label that it knew of then.

    The corpus tells labels and evidence as they were at the end: what only the consensus knew is taken away again for a
    stage that ran before it.
    """
    order = [one["stage"] for one in manifest["stages"]]
    before = order[: order.index(stage)]
    columns = ["id", "stage", "evidence", "votes", "toxic"] + ["score_column"] * ("column" in before)
    rows = read_output(folder, manifest, "corpus/", columns).filter(~pl.col("stage").is_in(before) | pl.col("stage").is_null())
    kinds = {kind: rank for rank, kind in enumerate(EVIDENCE)}
    toxic: pl.Expr = pl.lit(None, pl.Boolean)
    if "consensus" in before:
        toxic = pl.col("toxic")
    else:
        del kinds["machine"]  # no machine had spoken: these rows ranked with those that nothing was known of
        if "column" in before:
            toxic = pl.when(pl.col("score_column") != 0.5).then(pl.col("score_column") > 0.5)
    kind = pl.col("evidence").replace_strict(kinds, default=len(EVIDENCE), return_dtype=pl.UInt8)
    return rows.select("id", "votes", kind=kind, toxic=toxic).sort("kind", "votes", "id", descending=[False, True, False])


def _thresholds(
    folder: Path,
    manifest: Mapping[str, Any],
    stage: str,
    edges: pl.DataFrame,
    rows: pl.DataFrame,
    threshold: float | None,
    show_text: bool,
) -> list[str]:
    used = _used(manifest, stage)
    floor = float(edges["score"].min() or 0.0)  # type: ignore[arg-type]
    grid = [threshold] if threshold is not None else sorted({*(at for at in GRID if at >= floor), *([used] if used else [])})
    dropped = {at: _dropped(edges, rows, at) for at in grid}
    body: list[tuple[str, ...]] = []
    shown: list[tuple[str, str]] = []
    for at, higher in zip(grid, [*grid[1:], None], strict=True):
        fresh = dropped[at] if higher is None else dropped[at].join(dropped[higher], on="id", how="anti")
        samples = fresh.sort("score", "id").head(MORE_SAMPLES if threshold is not None else SAMPLES)
        shown += list(samples.select("id", "twin").iter_rows())
        bound = "at least " if used and at < used else ""
        mark = " *" if at == used else ""
        said = ", ".join(f"{name[:SHORT]} ~ {twin[:SHORT]} {score:.3f}" for name, twin, score in samples.iter_rows())
        body.append((f"{at:g}{mark}", f"{bound}{dropped[at].height:,}", said or "-"))
    lines = [f"{stage}: {rows.height:,} rows in, {edges.height:,} compared pairs stored, the least alike at {floor:.3f}"]
    lines += table(("threshold", "rows dropped", "rows that only this threshold and lower ones drop ~ twin, similarity"), body)
    if used:
        lines.append("* what this build used; it looked for pairs from there up, so below it some may be missing")
    if show_text:
        lines += _texts(folder, manifest, shown)
    return lines


def _used(manifest: Mapping[str, Any], stage: str) -> float | None:
    options = next(entry[stage] for entry in manifest["recipe"]["stages"] if stage in entry)
    value = options.get("threshold")
    return float(value) if value is not None else None


def _dropped(edges: pl.DataFrame, rows: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Rows that a threshold drops, `id`, `twin`, `score`: those that reach it with a row that is kept.

    Rows are visited in order; rows of opposite known labels are not compared.
    """
    place = rows.with_row_index("rank").select("id", "rank", "toxic")
    near = (
        edges.filter(pl.col("score") >= float(np.float32(threshold)))
        .join(place.rename(lambda name: f"{name}_a"), left_on="a", right_on="id_a")
        .join(place.rename(lambda name: f"{name}_b"), left_on="b", right_on="id_b")
        .filter((pl.col("toxic_a") == pl.col("toxic_b")).fill_null(value=True))
        .select("score", early=pl.min_horizontal("rank_a", "rank_b"), late=pl.max_horizontal("rank_a", "rank_b"))
        .sort("late", "score", "early", descending=[False, True, False])
    )
    gone: dict[int, tuple[int, float]] = {}
    for score, early, late in near.iter_rows():
        if late not in gone and early not in gone:  # whatever comes before `late` is settled when `late` is visited
            gone[late] = (early, score)
    ids = rows["id"]
    return pl.DataFrame(
        {
            "id": [ids[late] for late in gone],
            "twin": [ids[early] for early, _ in gone.values()],
            "score": [score for _, score in gone.values()],
        },
        schema={"id": pl.String, "twin": pl.String, "score": pl.Float32},
    )


def _texts(folder: Path, manifest: Mapping[str, Any], shown: Sequence[tuple[str, str]]) -> list[str]:
    wanted = {name for pair in shown for name in pair}
    corpus = read_output(folder, manifest, "corpus/", ["id", "completion"]).filter(pl.col("id").is_in(list(wanted)))
    text = dict(corpus.iter_rows())
    return [line for one, twin in shown for line in (f"{one[:SHORT]}: {text[one]}", f"{twin[:SHORT]}: {text[twin]}")]
