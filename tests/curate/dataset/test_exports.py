"""Other file formats: the same rows, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.compose.compose import DatasetOptions, compose
from curate.compose.splits import Splits
from curate.dataset.exports import FORMULA, GUARD, guarded, write_csv
from curate.dataset.formats import write_dataset
from curate.pairing.given import GivenPairer
from curate.pairing.same_prompt import SamePromptPairer

NASTY = [
    "=1+1",
    "+65 call",
    "-x",
    "@sum(1)",
    "\ttab",
    "\rcr",
    "'quoted",
    " =1",
    "＝1",
    "plain",
    'a "b", c',
    "two\nlines",
    "'=1",
    "\u00a0=1",
]


@given(st.text() | st.sampled_from(NASTY))
def test_a_guarded_cell_is_no_formula_and_comes_back(text: str) -> None:
    cell = guarded(text)
    assert cell.removeprefix(GUARD) == text
    assert not cell.startswith(FORMULA) and not cell.lstrip().startswith(FORMULA)


def made(rows: Any, **options: Any) -> Any:
    lines = [{"prompt": f"q {at}", "text": text, "toxicity": 0.1} for at, text in enumerate(NASTY)]
    lines += [{"prompt": f"q {at}", "text": f"{text} you fool {at}", "toxicity": 0.9} for at, text in enumerate(NASTY)]
    return compose(
        rows(*lines), DatasetOptions(splits=Splits(validation=0, test=0), **options), [GivenPairer(), SamePromptPairer()], 0
    )


@pytest.mark.parametrize("form", ["conversational", "standard"])
def test_csv_and_json_lines_hold_what_parquet_holds(rows: Any, tmp_path: Path, form: str) -> None:
    composed = made(rows, form=form)
    files = write_dataset(composed, tmp_path, ("jsonl", "csv"))
    for output, frame in (
        ("paired", composed.paired["train"]),
        ("unpaired", composed.unpaired["train"]),
        ("sft", composed.sft["train"]),
    ):
        assert files[f"jsonl/{output}/train.jsonl"] == files[f"csv/{output}/train.csv"] == frame.height
        lines = [json.loads(line) for line in (tmp_path / f"jsonl/{output}/train.jsonl").read_text("utf-8").split("\n") if line]
        assert lines == frame.to_dicts()
        told = list(csv.DictReader(io.StringIO((tmp_path / f"csv/{output}/train.csv").read_bytes().decode(), newline="")))
        for said, row in zip(told, frame.iter_rows(named=True), strict=True):
            for name, value in row.items():
                cell = said[name]
                assert not cell.startswith(FORMULA)
                if isinstance(value, list):
                    assert json.loads(cell.removeprefix(GUARD)) == value
                elif isinstance(value, str):
                    assert cell.removeprefix(GUARD) == value


def test_no_rows_no_file(tmp_path: Path) -> None:
    assert write_csv(pl.DataFrame({"a": []}), tmp_path, "x") == {} and not list(tmp_path.iterdir())


def test_the_standard_form_says_who_speaks_and_ends_where_the_completion_begins(rows: Any) -> None:
    row = made(rows, form="standard").unpaired["train"].filter(pl.col("completion") == "plain").row(0, named=True)
    assert row["prompt"] == f"user:\nq {NASTY.index('plain')}\n\nassistant:\n"
