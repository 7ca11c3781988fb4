"""Read labelled texts from one file: Parquet, CSV, TSV or JSON lines, columns named on the command line."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from curate.core.errors import DataError
from curate.core.policy import load_policy

GROUPS = ("group", "template", "t_id", "templ_id", "thread")
"""Columns that say which texts belong together, the first that is there; no group stands on both sides of a fold."""


def read_labelled(path: Path, text: str, label: str, group: str | None = None, prompt: str | None = None) -> pl.DataFrame:
    """Texts with a label that the policy understands.

    Args:
        path: the file.
        text: column of texts.
        label: column of labels: Boolean, or words that the policy knows; rows whose label abstains are left out.
        group: column of templates or threads; the first of GROUPS that is there by default, else every text is its own.
        prompt: column of what each text answers, null or blank where that is nothing; none by default.

    Returns:
        The file's columns, and `text`, `toxic` (Boolean), `group` and `prompt` (String) in place of those named.

    Raises:
        DataError: unreadable, a column is missing, prompts are no text, or one side has no text.
    """
    frame = _frame(path)
    for column in (text, label, *(one for one in (group, prompt) if one)):
        if column not in frame.columns:
            raise DataError(f"{path}: no column {column!r}", hint=f"one of {', '.join(frame.columns)}")
    policy = load_policy()
    if frame[label].dtype == pl.Boolean:
        toxic = frame[label]
    else:
        values = {value: policy.label(label, value).toxic for value in frame[label].unique().to_list()}
        toxic = pl.Series([values[value] for value in frame[label].to_list()], dtype=pl.Boolean)
    name = group or next((one for one in GROUPS if one in frame.columns), text)
    frame = frame.with_columns(
        text=frame[text].cast(pl.String).fill_null(""), toxic=toxic, group=frame[name].cast(pl.String).fill_null("")
    )
    frame = frame.filter(pl.col("toxic").is_not_null(), pl.col("text").str.strip_chars() != "")
    if prompt:
        if frame[prompt].dtype.is_nested():
            raise DataError(f"{path}: column {prompt!r} holds {frame[prompt].dtype}", hint="texts are needed, one for each row")
        frame = frame.with_columns(prompt=frame[prompt].cast(pl.String))
    sides = frame["toxic"].sum()
    if not 0 < sides < frame.height:
        raise DataError(
            f"{path}: column {label!r} labels {sides} texts toxic and {frame.height - sides} harmless",
            hint="texts of both are needed (labels are read by curate/core/policy.yaml)",
        )
    return frame


def _frame(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".jsonl":
            return pl.read_ndjson(path)
        if path.suffix == ".tsv":
            return pl.read_csv(path, separator="\t", infer_schema=False)
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__})", hint="check the path and the format") from None
    raise DataError(f"{path}: cannot tell its format", hint="give .parquet, .csv, .tsv or .jsonl")
