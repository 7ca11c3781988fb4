"""Audit a finished build: which rows people should label next, which labels look wrong, and how good the labels are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.compose.review import machine_columns, suspect_labels
from curate.compose.verdicts import read_answers
from curate.core.errors import DataError
from curate.core.manifest import read_manifest
from curate.core.policy import load_policy
from curate.core.schema import digest
from curate.core.store import write_bytes
from curate.dataset.exports import guarded
from curate.dataset.formats import read_output
from curate.labelers.study.measures import wilson

READ = ("id", "source", "toxic", "toxicity", "disagreement", "evidence", "stage", "reason")
ENDED = pl.col("reason").is_null() | (
    pl.col("stage") == "compose"
)  # no stage dropped it; it may be in no output, as undecided rows are
QUEUES = ("random", "uncertain", "disagreement", "suspect")
Floats = NDArray[np.float64]


def draw(rows: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """Rows worth a person's look, in four queues; a row stands in one.

    `random` is a uniform sample of the decided rows, drawn by a keyed hash: the only queue that precision and recall may be
    estimated from. `uncertain` holds undecided rows, nearest to .5 first; `disagreement` those that labelers differ on most;
    `suspect` labels that came with the data and that the machines contradict (see `suspect_labels`).

    Args:
        rows: the corpus of a build: `id`, `toxic`, `toxicity`, `disagreement`, `evidence`, `stage`, `reason`.
        count: rows in each queue, as far as there are.
        seed: of the random queue.

    Returns:
        `id`, `queue`, `place`.
    """
    kept = rows.filter(ENDED)
    decided = kept.filter(pl.col("toxic").is_not_null())
    order = pl.Series([digest("audit", str(seed), one) for one in decided["id"]], dtype=pl.String)
    undecided = kept.filter(pl.col("toxic").is_null(), pl.col("toxicity").is_not_null())
    doubtful = kept.filter(pl.col("evidence") == "machine", pl.col("disagreement").is_not_null())
    chosen = {
        "random": decided.with_columns(order=order).sort("order"),
        "suspect": suspect_labels(kept),
        "uncertain": undecided.with_columns(far=(pl.col("toxicity") - 0.5).abs()).sort("far", "id"),
        "disagreement": doubtful.sort("disagreement", "id", descending=[True, False]),
    }
    taken: set[str] = set()
    queues = []
    for name, candidates in chosen.items():
        ids = [one for one in candidates["id"] if one not in taken][:count]
        taken |= set(ids)
        queues.append(pl.DataFrame({"id": ids, "queue": name, "place": range(len(ids))}, schema=DRAWN))
    return pl.concat(queues)


DRAWN = {"id": pl.String, "queue": pl.String, "place": pl.UInt32}


Share = tuple[float, float, float]
"""A share in [0, 1], NaN of nothing, and the ends of its interval."""


@dataclass(frozen=True)
class LabelQuality:
    """How good the labels of a build are, from `rows` rows of the random queue; each an exact share with Wilson's interval."""

    rows: int
    accuracy: Share
    precision: Share
    recall: Share


def estimate(rows: pl.DataFrame, drawn: pl.DataFrame, truth: pl.DataFrame) -> LabelQuality:
    """Precision and recall of the build's toxic side, from what people said of the random queue.

    Args:
        rows: the corpus of a build.
        drawn: what `draw` gave.
        truth: `id`, `toxic`: what people said.

    Raises:
        DataError: nobody labelled a row of the random queue.
    """
    sample = drawn.filter(pl.col("queue") == "random").join(truth.rename({"toxic": "truth"}), on="id")
    sample = sample.filter(pl.col("truth").is_not_null()).join(rows.select("id", "toxic"), on="id")
    if not sample.height:
        raise DataError(
            "no row of the random queue has a label yet", hint="label some of them (column 'toxic') and run this again"
        )
    label, true = sample["toxic"].to_numpy().astype(bool), sample["truth"].to_numpy().astype(bool)
    both = int((label & true).sum())
    return LabelQuality(
        rows=len(label),
        accuracy=_share(int((label == true).sum()), len(label)),
        precision=_share(both, int(label.sum())),
        recall=_share(both, int(true.sum())),
    )


def _share(right: int, of: int) -> Share:
    return (right / of if of else float("nan"), *wilson(right, of))


def corpus(folder: Path) -> pl.DataFrame:
    """What the audit reads of a dataset folder's corpus: labels, what they rest on, and the score of every labeler that ran.

    Raises:
        DataError: not a dataset folder.
    """
    manifest = read_manifest(folder)
    paths = manifest.tables("corpus/")
    scores = load_policy().labeler_scores(pl.read_parquet_schema(folder / paths[0])) if paths else []
    return read_output(folder, manifest, "corpus/", [*READ, *scores])


def machines(rows: pl.DataFrame) -> tuple[dict[str, Floats], Floats, list[str]]:
    """Scores of every machine labeler, by name, what people said (1, 0 or NaN), and the source, of the kept rows."""
    kept = rows.filter(ENDED)
    names = machine_columns(kept)
    people = pl.col("evidence").is_in(["human", "votes"])
    truth = kept.select(pl.when(people).then(pl.col("toxic").cast(pl.Float64)).fill_null(float("nan"))).to_series().to_numpy()
    scores = {name.removeprefix("score_"): kept[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names}
    return scores, truth, kept["source"].to_list()


def run(folder: Path, out: Path, count: int, seed: int, show_text: bool = False) -> list[str]:
    """Draw rows into a CSV, or, where that stands with labels filled in, estimate from them; lines to print.

    Args:
        folder: a dataset folder.
        out: the CSV: of ids, and of prompts and completions where texts are asked for.
        count: rows in each queue, as far as there are.
        seed: of the random queue.
        show_text: write the texts, too, so that nobody has to look up each row.

    Raises:
        DataError: not a dataset folder; a file that is not what an earlier audit wrote; an unknown label.
    """
    rows = corpus(folder)
    if not out.exists():
        drawn = draw(rows, count, seed).with_columns(toxic=pl.lit(""))
        if show_text:
            drawn = drawn.join(_texts(folder), on="id", how="left", maintain_order="left")
        write_bytes(out, drawn.write_csv(include_bom=show_text).encode())  # without it spreadsheets garble all but ASCII
        sizes = dict(drawn["queue"].value_counts().iter_rows())
        queues = ", ".join(f"{name} {sizes.get(name, 0)}" for name in QUEUES)
        private = ["it holds texts that may be toxic or personal; keep it private"] if show_text else []
        todo = f"{out}: {drawn.height} rows to label ({queues}); fill its column 'toxic' with yes or no, then run this again"
        return [todo, *private]
    answers = read_answers(out)
    if "queue" not in answers.columns:
        raise DataError(f"{out}: not what `curate label audit` wrote", hint="name a new file")
    return describe(estimate(rows, answers.select("id", "queue"), answers.select("id", "toxic")))


def _texts(folder: Path) -> pl.DataFrame:
    """`id`, `prompt` (a line for each message) and `completion` of every row, as cells that no spreadsheet runs."""
    rows = read_output(folder, read_manifest(folder), "corpus/", ["id", "prompt", "completion"])
    prompts = (
        "\n".join(f"{message['role']}: {message['content']}" for message in messages or [])
        for messages in rows["prompt"].to_list()
    )
    completions = (guarded(text or "") for text in rows["completion"].to_list())
    return pl.DataFrame({"id": rows["id"], "prompt": list(prompts), "completion": list(completions)})


def describe(quality: LabelQuality) -> list[str]:
    """An estimate as plain lines."""
    shares = {
        "accuracy": quality.accuracy,
        "precision of the toxic side": quality.precision,
        "recall of the toxic side": quality.recall,
    }
    lines = [f"{name}: {share:.3f} [{low:.3f}, {high:.3f}]" for name, (share, low, high) in shares.items()]
    return [f"{quality.rows} rows of the random queue have a label", *lines]
