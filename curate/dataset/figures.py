"""What a dataset looks like: every figure of the report as numbers, and as a picture drawn from these numbers alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from curate.core.manifest import Cell, FigureData, Manifest
from curate.core.policy import load_policy
from curate.core.store import read_parquet, write_text
from curate.dataset.formats import read_output
from curate.dataset.thresholds import GRID, entered, used_threshold, would_drop
from curate.pages.charts import bars, curve, histogram, scatter, standalone
from curate.pages.html import Html

BINS = 20  # of a score
WORDS = (0, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80, 120, 200, 1_000_000)  # bounds of the length columns; the last is "more"
SIZES = ((2, 2), (3, 5), (6, 10), (11, 100), (101, 10**9))  # of a cluster
MAP_POINTS = 2_000  # rows on the map: enough to see regions, few enough for a page that opens at once
SIDES = ("non_toxic", "toxic", "abstained")  # a side has one colour in every picture
DUPLICATES = ("exact_duplicates", "near_duplicates", "semantic_duplicates")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: of its files, `figures/<name>.svg` and `.csv`.
        title: one line.
        caption: what to look for.
        header: names of the columns.
        rows: the numbers.
        picture: drawn from them; None where a table says it better.
        key: names of the picture's colours.
    """

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    picture: Html | None = None
    key: tuple[str, ...] = ()

    def data(self) -> FigureData:
        """The numbers as the manifest holds them."""
        return FigureData(header=list(self.header), rows=[list(row) for row in self.rows])

    def csv(self) -> str:
        """The numbers as CSV; no cell begins like a formula, for names are identifiers."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return out.getvalue()


def figures(folder: Path, manifest: Manifest, points: pl.DataFrame | None = None) -> list[Figure]:
    """Every figure of a dataset.

    Args:
        folder: with its Parquet files in place.
        manifest: with `files` of these; `fingerprint` is not needed.
        points: the map's rows as `id`, `x`, `y`; None reads those that stand in the folder.
    """
    rows = read_output(folder, manifest, "corpus/", _columns(folder, manifest))
    corpus = rows.with_columns(
        side=pl.when(pl.col("toxic").is_null())
        .then(pl.lit("abstained"))
        .when("toxic")
        .then(pl.lit("toxic"))
        .otherwise(pl.lit("non_toxic")),
        words=pl.col("completion").str.count_matches(r"\S+"),
    ).drop("completion")
    labelled = corpus.filter(pl.col("toxicity").is_not_null() | pl.col("stage").is_null())
    pairs = read_output(folder, manifest, "paired/", ["chosen_id", "rejected_id"])
    pictures = [
        _funnel(manifest),
        *_scores(labelled, manifest),
        _agreement(labelled),
        _categories(labelled),
        _lengths(corpus, pairs),
        _language(corpus, pairs),
        _clusters(corpus),
        *_thresholds(folder, manifest),
        _pii(manifest),
        _map(folder, labelled, points),
    ]
    return [one for one in pictures if one is not None]


def sample(ids: pl.Series) -> pl.Series:
    """Which rows the map shows: the first of their ids, which are hashes and so as good as drawn by lot."""
    return ids.sort().head(MAP_POINTS)


def project(ids: pl.Series, vectors: np.ndarray) -> pl.DataFrame:
    """The two directions along which vectors differ most, as `id`, `x`, `y` (rounded; signs fixed so that a rebuild agrees).

    Args:
        ids: n names.
        vectors: (n, width).
    """
    if len(ids) < 3:
        return pl.DataFrame({"id": ids, "x": [0.0] * len(ids), "y": [0.0] * len(ids)})
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    best = axes[:, [-1, -2]]
    best = best * np.sign(best[np.abs(best).argmax(axis=0), [0, 1]])
    places = np.round(centred @ best, 3) + 0.0
    return pl.DataFrame({"id": ids, "x": places[:, 0], "y": places[:, 1]})


def write_figures(pictures: Sequence[Figure], folder: Path) -> Iterator[str]:
    """Write each figure's CSV and, where it has a picture, its SVG; yields their paths within the folder."""
    for one in pictures:
        files = {"csv": one.csv()} | ({"svg": standalone(one.picture, one.key)} if one.picture and "<svg" in one.picture else {})
        for kind, text in files.items():
            path = f"figures/{one.name}.{kind}"
            write_text(folder / path, text)
            yield path


def _columns(folder: Path, manifest: Manifest) -> list[str]:
    path = manifest.tables("corpus/")[0]
    scores = [name for name in pl.read_parquet_schema(folder / path) if name.startswith("score_")]
    clusters = ["exact_cluster", "near_cluster", "semantic_cluster"]
    return ["id", "completion", "toxic", "toxicity", "stage", "language", "variety", *clusters, *scores]


def _funnel(manifest: Manifest) -> Figure:
    rows: list[tuple[Cell, ...]] = [(one.stage, one.kept, sum(one.dropped.values())) for one in manifest.steps]
    picture = bars(("kept", "dropped"), [(str(name), (int(kept), int(gone))) for name, kept, gone in rows], "Rows by stage")
    caption = "Rows that each stage kept and dropped; rows in = kept + dropped, exactly."
    return Figure("funnel", "Rows, stage by stage", caption, ("stage", "kept", "dropped"), rows, picture, ("kept", "dropped"))


def _scores(corpus: pl.DataFrame, manifest: Manifest) -> Iterator[Figure]:
    """How the scores of each labeler, and of the consensus, are spread over the labels."""
    names = ["toxicity", *sorted(load_policy().labeler_scores(corpus.columns))]
    edges = [at / BINS for at in range(BINS + 1)]
    for name in names:
        known = corpus.filter(pl.col(name).is_not_null())
        if not known.height:
            continue
        counts = {
            side: np.histogram(known.filter(pl.col("side") == side)[name].to_numpy(), bins=BINS, range=(0, 1))[0].tolist()
            for side in SIDES
        }
        band = manifest.stage_options.get("consensus", {}).get("abstain", ()) if name == "toxicity" else ()
        of = "the consensus" if name == "toxicity" else f"`{name.removeprefix('score_')}`"
        caption = f"Rows by the score of {of}, coloured by the label they got."
        caption += " Rows in the shaded band abstain." if band else ""
        rows: list[tuple[Cell, ...]] = [(edges[at], edges[at + 1], *(counts[side][at] for side in SIDES)) for at in range(BINS)]
        yield Figure(
            f"scores_{name.removeprefix('score_')}",
            f"Scores of {of.strip('`')}",
            caption,
            ("from", "to", *SIDES),
            rows,
            histogram(edges, counts, caption, band),
            SIDES,
        )


def _agreement(corpus: pl.DataFrame) -> Figure:
    """How often two labelers are on the same side of one half, and how far beyond chance (Cohen's kappa)."""
    scores = sorted(load_policy().labeler_scores(corpus.columns))
    rows: list[tuple[Cell, ...]] = []
    for one, other in combinations(scores, 2):
        both = corpus.filter(pl.col(one).is_not_null() & pl.col(other).is_not_null())
        if not both.height:
            continue
        first, second = (both[name].to_numpy() > 0.5 for name in (one, other))
        agree = float((first == second).mean())
        chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
        kappa = (agree - chance) / (1 - chance) if chance < 1 else 1.0
        names = (one.removeprefix("score_"), other.removeprefix("score_"))
        rows.append((*names, both.height, round(agree, 4), round(kappa, 4)))
    caption = "Share of rows that two labelers put on the same side of one half, and Cohen's kappa: agreement beyond chance."
    return Figure("agreement", "Agreement of labelers", caption, ("labeler", "other", "rows", "agree", "kappa"), rows)


def _categories(corpus: pl.DataFrame) -> Figure | None:
    """What kinds of toxicity the labelers that tell them apart found."""
    labelers = load_policy().labeler_scores(corpus.columns)
    rows: list[tuple[Cell, ...]] = []
    for category in load_policy().categories:
        for name in sorted(f"{labeler}_{category}" for labeler in labelers if f"{labeler}_{category}" in corpus.columns):
            known = corpus[name].drop_nulls()
            labeler = name.removeprefix("score_").removesuffix(f"_{category}")
            rows.append((category, labeler, len(known), int((known > 0.5).sum())))
    caption = (
        "Rows that each labeler scored for a category, and those that it puts above one half; the policy says what each means."
    )
    return Figure("categories", "Kinds of toxicity", caption, ("category", "labeler", "rows", "above"), rows) if rows else None


def _lengths(corpus: pl.DataFrame, pairs: pl.DataFrame) -> Figure | None:
    """Lengths of chosen against rejected: a gap between them is what a model would learn in place of tone."""
    if not pairs.height:
        return None
    counts = {}
    for side in ("chosen", "rejected"):
        words = pairs.select(id=f"{side}_id").join(corpus.select("id", "words"), on="id", how="left")["words"].fill_null(0)
        counts[side] = np.histogram(words.to_numpy(), bins=WORDS)[0].tolist()
    rows: list[tuple[Cell, ...]] = [
        (WORDS[at], WORDS[at + 1], counts["chosen"][at], counts["rejected"][at]) for at in range(len(WORDS) - 1)
    ]
    last = max(at for at, row in enumerate(rows) if row[2] or row[3])
    shown = {side: values[: last + 1] for side, values in counts.items()}
    caption = "Words of the chosen and of the rejected sides, stacked; where one colour prevails, length gives the side away."
    picture = histogram(WORDS[: last + 2], shown, caption)
    return Figure("lengths", "Length of the sides", caption, ("from", "below", *counts), rows, picture, tuple(counts))


def _language(corpus: pl.DataFrame, pairs: pl.DataFrame) -> Figure:
    """Languages and varieties by label and by side of a pair."""
    named = corpus.with_columns(kind=pl.coalesce("variety", "language", pl.lit("unknown")))
    groups = {side: named.filter(pl.col("stage").is_null() & (pl.col("side") == side)) for side in ("non_toxic", "toxic")}
    for side in ("chosen", "rejected"):
        groups[side] = pairs.select(id=f"{side}_id").join(named, on="id", how="inner")
    kinds = named.filter(pl.col("stage").is_null())["kind"].value_counts().sort("count", "kind", descending=[True, False])["kind"]
    rows: list[tuple[Cell, ...]] = [
        (kind, *(group.filter(pl.col("kind") == kind).height for group in groups.values())) for kind in kinds
    ]
    sums = [max(1, sum(int(row[at + 1]) for row in rows)) for at in range(len(groups))]
    kinds_shown = [str(row[0]) for row in rows[:5]]
    shares = [(name, [round(100 * int(row[at + 1]) / sums[at], 1) for row in rows[:5]]) for at, name in enumerate(groups)]
    caption = (
        "Share of each variety or language, in percent; a side that is mostly one variety teaches the variety, not the tone."
    )
    picture = bars(kinds_shown, shares, caption) if rows else None
    return Figure("language", "Language and variety", caption, ("variety", *groups), rows, picture, tuple(kinds_shown))


def _clusters(corpus: pl.DataFrame) -> Figure:
    """How large the groups of copies are."""
    rows: list[tuple[Cell, ...]] = []
    for stage in DUPLICATES:
        column = f"{stage.removesuffix('_duplicates')}_cluster"
        sizes = corpus[column].drop_nulls().value_counts()["count"]
        rows.append((stage, *(int(sizes.is_between(low, high).sum()) for low, high in SIZES)))
    names = tuple(f"{low}" if low == high else f"{low}-{high}" if high < 10**9 else f"{low}+" for low, high in SIZES)
    picture = bars(names, [(str(row[0]), [int(size) for size in row[1:]]) for row in rows], "Clusters by size")
    caption = "Clusters of copies by how many rows they hold; rows with opposite labels may share a cluster and both stay."
    return Figure("clusters", "Clusters of copies", caption, ("stage", *names), rows, picture, names)


def _thresholds(folder: Path, manifest: Manifest) -> Iterator[Figure]:
    """How many rows another threshold would have dropped."""
    for stage in DUPLICATES:
        path = f"similarity/{stage}.parquet"
        used = used_threshold(manifest, stage) if path in manifest.files else None
        if used is None:
            continue
        edges = read_parquet(folder / path)
        if not edges.height:
            continue
        rows = entered(folder, manifest, stage)
        places = sorted({used, *(at for at in GRID if at > used)})
        counted = [(at, would_drop(edges, rows, at).height) for at in places]
        caption = f"Rows that {stage} would drop at other thresholds; the line marks what this build used."
        table: list[tuple[Cell, ...]] = list(counted)
        picture = curve(counted, caption, used)
        yield Figure(f"threshold_{stage}", f"Thresholds of {stage}", caption, ("threshold", "dropped"), table, picture)


def _pii(manifest: Manifest) -> Figure:
    rows: list[tuple[Cell, ...]] = list(manifest.dataset.pii.items())
    picture = bars(("replaced",), [(str(name), (int(size),)) for name, size in rows], "Replacements by type")
    caption = "Personal data that was replaced by typed pseudonyms, in all rows."
    return Figure("pii", "Personal data replaced", caption, ("type", "replaced"), rows, picture, ("replaced",))


def _map(folder: Path, corpus: pl.DataFrame, points: pl.DataFrame | None) -> Figure | None:
    """Where the rows lie, as the encoder sees them."""
    stored = folder / "figures/map.csv"
    if points is None and stored.is_file():
        points = pl.read_csv(stored, schema_overrides={"id": pl.String}).select("id", "x", "y")
    if points is None or not points.height:
        return None
    placed = points.join(corpus.select("id", "side"), on="id", how="inner").sort("id")
    rows: list[tuple[Cell, ...]] = list(placed.select("id", "x", "y", "side").iter_rows())
    caption = "Rows by meaning (the two main directions of their vectors), coloured by label; at most 2,000 rows."
    dots = [(float(x), float(y), str(side)) for _, x, y, side in rows]
    return Figure("map", "Map of meaning", caption, ("id", "x", "y", "label"), rows, scatter(dots, SIDES, caption), SIDES)
