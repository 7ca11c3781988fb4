"""What was thrown away: some rows of every stage and reason, by id; their texts only when somebody asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.core.manifest import Manifest
from curate.dataset.formats import read_output
from curate.pages.html import Html, table, tag

SAMPLES = 5  # rows of each stage and reason


def gallery(folder: Path, manifest: Manifest, show_text: bool = False) -> Html:
    """The page's section: per stage and reason the number of rows and the first of their ids.

    Args:
        folder: with its corpus in place.
        manifest: with `files` of the corpus.
        show_text: add texts, as they stand after personal data was replaced, each folded until it is opened.
    """
    columns = ["id", "stage", "reason", "score", "twin", *(["completion"] if show_text else [])]
    rows = read_output(folder, manifest, "corpus/", columns).filter(pl.col("reason").is_not_null()).sort("id")
    order = {one.stage: at for at, one in enumerate(manifest.stages)}
    groups = sorted(rows.group_by("stage", "reason").len().iter_rows(), key=lambda one: (order.get(one[0], len(order)), one[1]))
    lines: list[tuple[Html | str | int, ...]] = []
    for stage, reason, size in groups:
        some = rows.filter((pl.col("stage") == stage) & (pl.col("reason") == reason)).head(SAMPLES).to_dicts()
        lines.append((stage, reason, size, tag("div", *(_one(row) for row in some))))
    lead = tag(
        "p",
        tag("code", "curate explain DIR ID"),
        " tells the life of a row; ",
        tag("code", "curate report DIR --show-text --to FILE"),
        " makes this page with texts.",
        class_="quiet",
    )
    return tag("div", lead, table(("stage", "reason", "rows", "some of them"), lines))


def _one(row: Mapping[str, Any]) -> Html:
    twin = f" ~ {row['twin'][:12]}" if row["twin"] else ""
    score = f" {row['score']:.3f}" if row["score"] is not None else ""
    head = tag("code", f"{row['id'][:12]}{twin}{score}")
    if "completion" not in row:
        return tag("div", head)
    text = "(removed before personal data was)" if row["completion"] is None else row["completion"]
    return tag("details", tag("summary", head), tag("pre", text))
