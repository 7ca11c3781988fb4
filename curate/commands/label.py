"""`curate label`: adapt the head to a variety, measure labelers, weigh them, and choose rows for people to label."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.core.command import LazyGroup

if TYPE_CHECKING:
    import polars as pl

FILE = click.Path(path_type=Path)
LAZY = {
    "fit": ("curate.commands.label:fit", "Adapt the general head to a variety from labelled texts."),
    "eval": ("curate.commands.label:evaluate", "How good a labeler is on labelled texts."),
    "weigh": ("curate.commands.label:weigh", "How far each labeler of a build is to be believed."),
    "audit": ("curate.commands.label:audit", "Rows worth labelling next; precision and recall of a build."),
}
SIZES = (50, 100, 200, 400, 800)


@click.group(name="label", cls=LazyGroup, lazy=LAZY)
def label() -> None:
    """Labels: adapt a labeler, measure it, weigh several, audit a build."""


@dataclass(frozen=True)
class Labelled:
    """A file of labelled texts, and which of its columns say what."""

    path: Path
    text: str
    label: str
    group: str | None

    def rows(self, prompt: str | None = None) -> pl.DataFrame:
        """Its rows; with `prompt`, what each text answers."""
        from curate.labelers.study.labelled import read_labelled

        return read_labelled(self.path, self.text, self.label, self.group, prompt)


def _data(command: Callable[..., None]) -> Callable[..., None]:
    """Options that name a file of labelled texts, as the command's first argument."""

    @functools.wraps(command)
    def gathered(data: Path, text_column: str, label_column: str, group: str | None, **options: object) -> None:
        command(Labelled(data, text_column, label_column, group), **options)

    for option in (
        click.option("--group", help="Column of templates or threads that stay together.  [default: found by name]"),
        click.option("--label", "label_column", default="toxic", show_default=True, help="Column of labels, read by the policy."),
        click.option("--text", "text_column", default="text", show_default=True, help="Column of texts."),
        click.option("--data", required=True, type=FILE, help="Labelled texts: .parquet, .csv, .tsv or .jsonl."),
    ):
        gathered = option(gathered)
    return gathered


@click.command()
@_data
@click.option("--variety", required=True, help="What the texts are written in; recorded in the file and its card.")
@click.option("--out", required=True, type=FILE, help="The .safetensors file to write; its card lands beside it.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="How often the learning curve is drawn.")
@click.option("--on-tuned", is_flag=True, help="Start from `tuned` instead of the general head: better, and twice the work.")
def fit(
    data: Labelled,
    variety: str,
    out: Path,
    seeds: int,
    on_tuned: bool,
) -> None:
    """Adapt the general head to a variety from labelled texts.

    Trains on top of the general head, cross-validated by template or thread, with a learning curve over the number of texts. A
    recipe uses the result with `head: {weights: FILE}`.
    """
    from curate.labelers.study.adapt import adapt

    for line in adapt(data.rows(), variety, out, SIZES, seeds, on_tuned=on_tuned):
        click.echo(line)


@click.command()
@_data
@click.option("--labeler", default="head", show_default=True, help="Recipe word of a labeler that judges texts.")
@click.option("--prompt", "prompt_column", help="For tuned and reply: column of what each text answers.")
@click.option("--weights", type=FILE, help="For head: a file that `curate label fit` made.")
@click.option("--by", multiple=True, help="Column to break figures down by: category, functionality, target; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    data: Labelled,
    labeler: str,
    prompt_column: str | None,
    weights: Path | None,
    by: tuple[str, ...],
    as_json: bool,
) -> None:
    """How good a labeler is on labelled texts, with bootstrap intervals that resample whole groups.

    ROC-AUC, PR-AUC, F1 at the labeler's threshold, calibration error, and what abstaining would save.
    """
    import json

    import numpy as np

    from curate.core.config import choose
    from curate.core.errors import DataError, nearest
    from curate.labelers import LABELERS
    from curate.labelers.study.evaluate import evaluate as measure
    from curate.labelers.study.evaluate import lines

    rows = data.rows(prompt_column)
    for column in by:
        if column not in rows.columns:
            raise DataError(f"{data.path}: no column {column!r} to break down by", hint=nearest(column, rows.columns))
    chosen = choose(LABELERS, {labeler: {"weights": weights}} if weights else labeler, "--labeler", "labeler")
    if prompt_column:
        if not hasattr(chosen, "score_replies"):
            raise DataError(f"--labeler {labeler}: does not read prompts", hint="try tuned or reply, or leave out --prompt")
        scores = chosen.score_replies(rows["text"].to_list(), rows["prompt"].to_list())
    elif hasattr(chosen, "score"):
        scores = chosen.score(rows["text"].to_list())
    else:
        raise DataError(f"--labeler {labeler}: does not judge texts by themselves", hint="give --prompt, or try head or ngram")
    page = measure(rows, scores.astype(np.float64), chosen.threshold, by)
    click.echo(json.dumps(page.as_json(), indent=1) if as_json else "\n".join(lines(page)))


@click.command()
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--out", required=True, type=FILE, help="JSON file for `consensus: {reliability: FILE}`.")
@click.option("--by-source", is_flag=True, help="Each source by itself, too: its labelled rows must be a fair sample of it.")
def weigh(folder: Path, out: Path, by_source: bool) -> None:
    """How far each labeler of a finished build is to be believed.

    Measured against the labels that came with the data where there are enough, else by how at least three labelers agree. With
    --by-source, a source whose labelled rows are enough gets weights of its own, and its own share of toxic rows counts: right
    where those rows were drawn at random, wrong where, say, only reported posts have a label.
    """
    from curate.core.store import write_text
    from curate.dataset.look.audit import corpus, machines
    from curate.labelers.study.weigh import FEW
    from curate.labelers.study.weigh import weigh as measure

    rows = corpus(folder)
    scores, truth, sources = machines(rows)
    weights = measure(scores, truth, sources if by_source else None)
    write_text(out, weights.to_json())
    click.echo(f"{out}: by {weights.basis}, {weights.rows:,} rows")
    for name, one in sorted(weights.labelers.items()):
        click.echo(f"  {name}: weight {one.weight:.2f}, slope {one.slope:.2f}, intercept {one.intercept:+.2f}")
    for name in sorted(set(scores) - set(weights.labelers)):
        click.echo(
            f"  {name}: not measured, and believed least: too few labelled rows have its score (`undecided: {{judged: 1000}}`)"
        )
    for source, own in weights.sources.items():
        changes = ", ".join(f"{name} {change:+.2f}" for name, change in own.weights.items())
        click.echo(f"  {source}: log-odds {own.shift:+.2f}; weights {changes}")
    if by_source and not weights.sources:
        click.echo(f"  no source has {FEW} labelled rows of either kind: all are weighed alike")


@click.command()
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--out", required=True, type=FILE, help="CSV of rows to label: fill its column `toxic` with yes or no.")
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True, help="Rows in each queue.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random queue.")
@click.option("--show-text", is_flag=True, help="Write texts too; they may be toxic or personal.")
def audit(folder: Path, out: Path, count: int, seed: int, show_text: bool) -> None:
    """Rows of a finished build that are worth labelling next; once some are labelled, precision and recall.

    Writes ids, and with --show-text prompts and completions: a random queue, undecided rows, rows that labelers differ on, and
    labels that look wrong. Run again with the filled file, it estimates from the random queue how good the labels are; `curate
    build --verdicts` takes the same file, and what it says outranks every labeler.
    """
    from curate.dataset.look.audit import run

    for line in run(folder, out, count, seed, show_text):
        click.echo(line)
