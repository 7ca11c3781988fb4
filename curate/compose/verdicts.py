"""What people said of single rows after a build: a file keyed by row id, whose word outranks every labeler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from curate.core.errors import DataError, StorageError
from curate.core.manifest.counts import VerdictCounts
from curate.core.schema import canonical, digest
from curate.core.store import write_text

FOLDER = "verdicts"  # in the work folder
WHY = "a person reviewed it"
WORDS: dict[str, bool | None] = {"toxic": True, "non_toxic": False, "abstain": None}
ANSWERS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}  # to `toxic`, in a table


def read_verdicts(path: Path) -> dict[str, bool | None]:
    """Row id -> toxic (true), not (false), or null where the person could not tell; of several lines for one row the last counts.

    Args:
        path: JSON lines: `{"id": "...", "verdict": "toxic" | "non_toxic" | "abstain"}`; other keys are left alone. Or what
            `curate label audit` wrote, filled in: a .csv with the columns `id` and `toxic` (yes, no, or empty: not judged).

    Raises:
        DataError: unreadable, or a line that is not such a verdict.
    """
    if path.suffix.lower() == ".csv":
        return dict(read_answers(path).select("id", "toxic").drop_nulls("toxic").iter_rows())
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--verdicts {path}: cannot be read ({type(error).__name__})", hint="pass JSON lines, or a filled-in audit (.csv)"
        ) from None
    verdicts: dict[str, bool | None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            verdicts[str(entry["id"])] = WORDS[entry["verdict"]]
        except (ValueError, KeyError, TypeError):
            known = ", ".join(WORDS)
            raise DataError(
                f'{path}:{number}: expected {{"id": a row\'s id, "verdict": a word}}', hint=f"the words are {known}"
            ) from None
    return verdicts


def read_answers(path: Path) -> pl.DataFrame:
    """What `curate label audit` wrote: its columns as text, `toxic` Boolean, null where nobody answered.

    Raises:
        DataError: not such a table, or an answer that is neither yes, no nor empty.
    """
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: no table ({type(error).__name__})", hint="pass what `curate label audit` wrote") from None
    if not {"id", "toxic"} <= set(table.columns):
        columns = ", ".join(table.columns)
        raise DataError(
            f"{path}: expected the columns id and toxic, found {columns}", hint="pass what `curate label audit` wrote"
        )
    answers = table["toxic"].fill_null("").str.strip_chars().str.to_lowercase()
    odd = (~answers.is_in([*ANSWERS, ""])).arg_true()
    if len(odd):
        raise DataError(
            f"{path}: row {odd[0] + 1}: column toxic holds {len(answers[odd[0]])} characters that are no answer",
            hint="write yes or no, or leave it empty",
        )
    return table.with_columns(toxic=answers.replace_strict(ANSWERS, default=None, return_dtype=pl.Boolean))


def keep_verdicts(work: Path, given: str | None) -> str | None:
    """Keep a copy in the work folder, where `curate forget` finds it, under a name that is the hash of what it says.

    Args:
        work: the work folder.
        given: a file of verdicts, or the name of a copy that is kept already.

    Returns:
        The name; None where none was given.

    Raises:
        DataError: no such file and no such copy, or not verdicts.
    """
    if given is None or (Path(given).name == given and (work / FOLDER / given).is_file()):
        return given
    verdicts = read_verdicts(Path(given))
    words = {value: word for word, value in WORDS.items()}
    text = "".join(canonical({"id": name, "verdict": words[verdicts[name]]}) + "\n" for name in sorted(verdicts))
    name = f"{digest(text)}.jsonl"
    write_text(work / FOLDER / name, text)
    return name


def kept_verdicts(work: Path, name: str | None) -> dict[str, bool | None]:
    """What a kept copy says; nothing where nothing was said.

    Raises:
        StorageError: the copy is gone.
    """
    if name is None:
        return {}
    path = work / FOLDER / name
    if not path.is_file():
        raise StorageError(f"{path}: these verdicts are gone", hint="build again with --verdicts FILE")
    return read_verdicts(path)


def overrule(rows: pl.DataFrame, verdicts: Mapping[str, bool | None]) -> tuple[pl.DataFrame, VerdictCounts]:
    """Rows with the labels that people gave them, marked `reviewed`, and how many there were.

    Args:
        rows: `id`, `toxic`, `toxicity`, `evidence`, `disagreement`, `why`.
        verdicts: as `read_verdicts` gives them.

    Returns:
        The rows, and how many verdicts named one, changed one, or named none.
    """
    schema = {"id": pl.String, "_verdict": pl.Boolean}
    people = pl.DataFrame({"id": list(verdicts), "_verdict": list(verdicts.values())}, schema=schema)
    wide = rows.join(people.with_columns(reviewed=pl.lit(value=True)), on="id", how="left", maintain_order="left")
    wide = wide.with_columns(pl.col("reviewed").fill_null(value=False))
    changed = wide.filter(pl.col("reviewed") & pl.col("toxic").ne_missing(pl.col("_verdict"))).height
    here = int(wide["reviewed"].sum())
    ruled = wide.with_columns(
        toxic=pl.when("reviewed").then("_verdict").otherwise("toxic"),
        toxicity=pl.when("reviewed").then(pl.col("_verdict").cast(pl.Float32)).otherwise("toxicity"),
        evidence=pl.when("reviewed").then(pl.lit("human")).otherwise("evidence"),
        disagreement=pl.when("reviewed").then(None).otherwise("disagreement"),
        why=pl.when("reviewed").then(pl.lit(WHY)).otherwise("why"),
    )
    return ruled.drop("_verdict"), VerdictCounts(rows=here, changed=changed, unknown=len(verdicts) - here)
