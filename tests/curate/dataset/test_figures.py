"""Every figure is numbers first; its picture and its files say the same and ask for nothing."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.core.manifest import from_json
from curate.dataset.figures import figures, project
from curate.dataset.publish import write_report
from curate.pages.charts import curve, histogram, scatter, standalone

SVG = "{http://www.w3.org/2000/svg}"


def test_every_figure_has_a_csv_that_says_what_the_manifest_says(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    assert {"funnel", "scores_toxicity", "agreement", "lengths", "language", "clusters", "pii"} <= set(manifest["figures"])
    for name, figure in manifest["figures"].items():
        with (dataset_folder / f"figures/{name}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == figure["header"]
        assert rows == [[str(cell) for cell in row] for row in figure["rows"]]


def test_every_picture_is_a_well_formed_file_without_links(dataset_folder: Path) -> None:
    pictures = sorted((dataset_folder / "figures").glob("*.svg"))
    assert pictures
    for path in pictures:
        text = path.read_text("utf-8")
        assert ElementTree.fromstring(text).tag == f"{SVG}svg"
        assert "href" not in text and "url(" not in text and "<script" not in text


def test_scores_count_every_labelled_row_once(manifest: dict[str, Any]) -> None:
    labelled = sum(sum(row[2:]) for row in manifest["figures"]["scores_toxicity"]["rows"])
    assert labelled == 180  # 60 prompts with 3 replies; the row without a label has no score


def test_lengths_count_both_sides_of_every_pair(manifest: dict[str, Any]) -> None:
    rows = manifest["figures"]["lengths"]["rows"]
    pairs = sum(manifest["dataset"]["paired"].values())
    assert sum(row[2] for row in rows) == sum(row[3] for row in rows) == pairs > 0


def test_a_threshold_curve_starts_at_what_the_build_dropped(manifest: dict[str, Any]) -> None:
    used, dropped = manifest["figures"]["threshold_near_duplicates"]["rows"][0]
    assert (used, dropped) == (0.8, manifest["stages"][0]["dropped"]["near_duplicate"])


def test_a_map_does_not_depend_on_the_order_of_rows() -> None:
    ids = pl.Series([f"{at:03}" for at in range(50)])
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    shuffled = np.random.default_rng(2).permutation(50)
    again = project(ids.gather(shuffled), vectors[shuffled]).sort("id")
    assert again.equals(project(ids, vectors))


def test_figures_of_a_standing_folder_are_those_of_its_build(dataset_folder: Path, manifest: dict[str, Any]) -> None:
    for figure in figures(dataset_folder, from_json(manifest)):
        assert figure.csv() == (dataset_folder / f"figures/{figure.name}.csv").read_text("utf-8")


def test_texts_stand_in_the_report_only_when_asked_for_and_outside_the_folder(dataset_folder: Path, tmp_path: Path) -> None:
    dropped = "fool number"
    write_report(dataset_folder, tmp_path / "quiet.html", show_text=False)
    write_report(dataset_folder, tmp_path / "loud.html", show_text=True)
    assert dropped not in (tmp_path / "quiet.html").read_text() and dropped not in (dataset_folder / "report.html").read_text()
    loud = (tmp_path / "loud.html").read_text()
    assert "<details>" in loud and "number" in loud
    with pytest.raises(Exception, match="safe to share"):
        write_report(dataset_folder, dataset_folder / "again.html", show_text=True)


def test_a_histogram_is_as_tall_as_its_counts() -> None:
    drawn = histogram([0, 1, 2], {"a": [4, 0], "b": [4, 2]}, "example", band=(0.5, 1.5))
    heights = [float(rect.split('height="')[1].split('"')[0]) for rect in drawn.split("<rect ")[2:]]
    assert heights[0] == heights[1] == 2 * heights[2]


def test_a_picture_as_a_file_carries_its_colours_and_its_key() -> None:
    for picture in (curve([(0.5, 3), (0.9, 1)], "x", mark=0.5), scatter([(0, 0, "<a>"), (1, 1, "b")], ["<a>", "b"], "y")):
        root = ElementTree.fromstring(standalone(picture, ["<a>", "b"]))
        assert "--a: #2f6f8f" in root.findtext(f"{SVG}style", "")
        assert [text.text for text in root.iter(f"{SVG}text")][-2:] == ["<a>", "b"]
