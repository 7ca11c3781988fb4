"""Pairs of like rows, and which rows stay: what the three duplicate stages share.

A score of exactly 1 is kept for rows whose payload is equal: a relation that is transitive, so that n copies need n - 1 pairs
and not n².
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.text.similarity.measures import Rows
from curate.text.similarity.set_join import components


def stars(classes: NDArray[np.uint64], rows: Rows, finer: NDArray[np.uint64] | None = None) -> tuple[Rows, Rows, Rows]:
    """Tie equal rows to the first of them.

    Args:
        classes: equal numbers mean equal payload.
        rows: the rows they belong to, each once.
        finer: further numbers; where given, only rows equal in both are equal.

    Returns:
        `a`, `b`: the first row of a class and each of its others; and the first rows of all classes, ascending.
    """
    several = np.flatnonzero(pl.Series(classes).is_duplicated())
    some = {"row": rows[several], "class": classes[several]} | ({} if finer is None else {"finer": finer[several]})
    first = pl.DataFrame(some).select(pl.col("row").min().over(list(some)[1:])).to_series().to_numpy()
    opens = np.ones(len(rows), np.bool_)
    opens[several] = first == rows[several]
    a, b = first[~opens[several]], rows[~opens]
    order = np.lexsort((b, a))
    return a[order], b[order], np.sort(rows[opens])


def edge_frame(a: Rows, b: Rows, score: NDArray[np.floating]) -> pl.DataFrame:
    """Pairs as a corpus stage returns them: a < b, in order."""
    order = np.lexsort((b, a))
    columns = {"a": a.astype(np.uint32), "b": b.astype(np.uint32), "score": score.astype(np.float32)}
    return pl.DataFrame({name: values[order] for name, values in columns.items()})


def below_one(score: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores of rows that are not equal, kept below 1 in float32."""
    return np.minimum(score.astype(np.float32), np.nextafter(np.float32(1), np.float32(0)))


def keep_first(edges: pl.DataFrame, rows: pl.DataFrame, reason: str, cluster: str) -> pl.DataFrame:
    """Of rows that are tied keep the first by rank, whatever their labels: `keep_leaders` for equal rows alone.

    Args:
        edges: `a`, `b`: the first row of a class and each of its others.
        rows: as for `keep_leaders`; labels do not count.
        reason: what to call the drop.
        cluster: name of the cluster column.

    Returns:
        As `keep_leaders` does.
    """
    centre = np.arange(rows.height)
    centre[edges["b"].to_numpy()] = edges["a"].to_numpy()
    rank = rows["rank"].to_numpy().astype(np.int64)
    least = rank.copy()
    np.minimum.at(least, centre, rank)
    by_rank = np.empty(rows.height, np.int64)
    by_rank[rank] = np.arange(rows.height)
    leader = by_rank[least[centre]]
    dropped = pl.Series(leader != np.arange(rows.height))
    return pl.DataFrame({"twin": leader}).select(
        reason=pl.when(dropped).then(pl.lit(reason)),
        score=pl.when(dropped).then(pl.lit(1.0, pl.Float32)),
        twin=pl.when(dropped).then("twin").cast(pl.UInt32),
        **{cluster: rows["id"].gather(leader)},
    )


def keep_leaders(edges: pl.DataFrame, rows: pl.DataFrame, threshold: float, reason: str, cluster: str) -> pl.DataFrame:
    """Visit rows by rank; drop a row that reaches the threshold with a row that is kept, unless their labels are opposite.

    No row is dropped for its likeness to a dropped one, so a chain A~B~C, where A and C differ, loses only B.

    Args:
        edges: `a`, `b`, `score`; in any order, repeats allowed. Rows tied by score 1 are equal, whether tied directly or not.
        rows: `id`, `rank` (0 first), `toxic` (null when unknown; opposite of nothing).
        threshold: from which score on two rows count as one.
        reason: what to call the drop.
        cluster: name of the cluster column.

    Returns:
        One line per row, same order: `reason` (null: kept), `score` with the twin, `twin` (row: the likest kept row, of those
        the first by rank), and the cluster: the id of the row's leader. A leader is a row that no earlier kept row is like,
        whatever its label; any other row is in the cluster of the likest kept row, so rows with opposite labels share one.
    """
    count = rows.height
    near = edges.filter(pl.col("score") >= pl.lit(threshold, pl.Float32)).unique(["a", "b"])
    equal = near.filter(pl.col("score") == 1.0)
    classes = components(equal["a"].to_numpy(), equal["b"].to_numpy(), count)
    neighbours = _neighbours(near.filter(pl.col("score") < 1), classes)
    touched = np.zeros(count, bool)
    touched[near["a"].to_numpy()] = touched[near["b"].to_numpy()] = True
    rank = rows["rank"].to_numpy()
    order = np.flatnonzero(touched)[np.argsort(rank[touched], kind="stable")]
    toxic = rows["toxic"].to_list()
    twin, likeness, leader = np.full(count, -1), np.full(count, np.nan, np.float32), np.arange(count)
    kept: dict[int, list[int]] = {}  # class -> its kept rows: two at most, with opposite labels
    for row in order.tolist():
        own = int(classes[row])
        likest = opposite = (0.0, 0, -1)  # score, minus rank, row: the largest is the likest, of those the first by rank
        for score, other in [(1.0, own), *neighbours.get(own, ())]:
            for candidate in kept.get(other, ()):
                candidate_key = (score, -int(rank[candidate]), candidate)
                if toxic[row] is None or toxic[candidate] is None or toxic[row] == toxic[candidate]:
                    likest = max(likest, candidate_key)
                else:
                    opposite = max(opposite, candidate_key)
        nearest = max(likest, opposite)[2]
        if nearest >= 0:
            leader[row] = leader[nearest]
        if likest[2] >= 0:
            twin[row], likeness[row] = likest[2], likest[0]
        else:
            kept.setdefault(own, []).append(row)
    dropped = pl.Series(twin >= 0)
    return pl.DataFrame({"twin": twin, "score": likeness, cluster: rows["id"].gather(leader)}).select(
        reason=pl.when(dropped).then(pl.lit(reason)),
        score=pl.when(dropped).then("score"),
        twin=pl.when(dropped).then("twin").cast(pl.UInt32),
        **{cluster: pl.col(cluster)},
    )


def _neighbours(edges: pl.DataFrame, classes: Rows) -> dict[int, list[tuple[float, int]]]:
    """For each class, the classes near it and their scores."""
    a, b = classes[edges["a"].to_numpy()], classes[edges["b"].to_numpy()]
    both = pl.DataFrame({"one": np.concatenate([a, b]), "other": np.concatenate([b, a]), "score": np.tile(edges["score"], 2)})
    near: dict[int, list[tuple[float, int]]] = {}
    for one, other, score in both.unique(["one", "other"], keep="first").sort("one", "other").iter_rows():
        near.setdefault(one, []).append((score, other))
    return near
