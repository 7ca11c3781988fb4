"""The subcommands of `curate`; heavy imports happen when a command runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)
DATASET = click.argument("folder", metavar="DIR", type=FOLDER)
SHOW_TEXT = click.option("--show-text", is_flag=True, help="Print texts too; they may be toxic or personal.")


@click.command()
@click.option("--source", required=True, type=FOLDER, help="Folder of raw files; examples/raw ships.")
@click.option("--out", required=True, type=FOLDER, help="Dataset folder to make; safe to share.")
@click.option("--recipe", type=FOLDER, help="YAML file, or the name of a recipe that ships.  [default: singlish]")
@click.option("--set", "sets", multiple=True, metavar="a.b=c", help="Change one setting of the recipe; repeatable.")
@click.option("--against", multiple=True, metavar="FOLDER", help="Evaluation data that training must not show; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), help="Read at most this many records.")
@click.option("--work", type=FOLDER, help="Where raw parts, caches and quarantine live; private.  [default: OUT.work]")
@click.option("--verdicts", type=FOLDER, help="People on single rows: JSON lines or a filled-in audit; outranks all labelers.")
def build(
    source: Path,
    out: Path,
    recipe: Path | None,
    sets: tuple[str, ...],
    against: tuple[str, ...],
    limit: int | None,
    work: Path | None,
    verdicts: Path | None,
) -> None:
    """Turn a folder of raw text into preference data.

    Reads every file under --source, cleans, deduplicates, labels and pairs its rows, and leaves a folder that
    `datasets.load_dataset(OUT, "paired")` opens. A build that is stopped goes on where it was when it is run again.
    """
    from curate.core.shipped import located
    from curate.dataset.look.summary import summary
    from curate.pipeline.build import build as build_dataset
    from curate.pipeline.recipe import read_recipe

    read = read_recipe(recipe or Path("singlish"), sets)
    read = replace(read, verdicts=str(verdicts)) if verdicts is not None else read
    read = replace(read, against=(*read.against, *against))
    result = build_dataset(located(source), out, read, work=work, limit=limit)
    click.echo(summary(result.manifest, out, unchanged=result.unchanged))


@click.command()
@click.argument("source", metavar="DIR", type=FOLDER)
@click.option("--recipe", type=FOLDER, help="Whose `sources` apply: a file or a name.  [default: singlish]")
@click.option("--set", "sets", multiple=True, metavar="a.b=c", help="Change one setting of the recipe; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), default=1_000, show_default=True, help="Records of each file to read.")
@SHOW_TEXT
def inspect(source: Path, recipe: Path | None, sets: tuple[str, ...], limit: int, show_text: bool) -> None:
    """How each file of a raw folder would be read: its format, which column plays which role, what a label means.

    Says which files and records would be left aside and why, which labels abstain because nothing proves their side, and
    which columns play no role. Writes nothing.
    """
    from curate.core.shipped import located
    from curate.pipeline.recipe import read_recipe
    from curate.raw.inspect import inspect as describe

    read = read_recipe(recipe or Path("singlish"), sets)
    click.echo(describe(located(source), sources=read.sources, limit=limit, show_text=show_text))


@click.command()
@DATASET
@click.option("--stage", help="Look at one stage that compares rows.")
@click.option("--threshold", type=float, help="How many rows this threshold would drop.")
@SHOW_TEXT
def show(folder: Path, stage: str | None, threshold: float | None, show_text: bool) -> None:
    """What each stage dropped and why; with --stage, what other thresholds would drop.

    Nothing is computed again: the similarities of every compared pair are stored in DIR.
    """
    from curate.dataset.look.show import show as describe

    click.echo(describe(folder, stage=stage, threshold=threshold, show_text=show_text))


@click.command()
@DATASET
@click.argument("row", metavar="ID")
@SHOW_TEXT
def explain(folder: Path, row: str, show_text: bool) -> None:
    """The life of one row: where it came from, what every stage said, its label, its split, its pairs.

    ID is a row's id or the beginning of one.
    """
    from curate.dataset.look.explain import explain as describe

    click.echo(describe(folder, row, show_text=show_text))


@click.command()
@DATASET
def verify(folder: Path) -> None:
    """Check a dataset folder: checksums, conservation laws, every pair, every split.

    Exits 3 when something is wrong.
    """
    from curate.core.errors import DataError
    from curate.core.manifest import read_manifest
    from curate.dataset.verify import verify as check
    from curate.pipeline.commit import foreign, listing

    problems = check(folder)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise DataError(f"{folder}: {len(problems)} problem{'s' * (len(problems) > 1)}", hint="build it again from its source")
    click.echo(f"{folder}: every checksum, law, pair and split holds")
    if own := foreign(folder, read_manifest(folder)):
        click.echo(f"files in it that no build made: {len(own):,}, {listing(own)}; look at them before you share it")


@click.command()
@DATASET
@click.option("--ids", required=True, type=FOLDER, help="Text file with one row id per line.")
@click.option("--work", type=FOLDER, help="The work folder of the build that made DIR.  [default: DIR.work]")
def forget(folder: Path, ids: Path, work: Path | None) -> None:
    """Remove rows and everything derived from them, for good.

    The texts of these rows leave DIR and its work folder wherever they stand: copies, prompts, pairs, caches. A rebuild does
    not bring them back. Source files are not touched. Killed in between, the same command completes.
    """
    from curate.pipeline.forget import describe, read_ids
    from curate.pipeline.forget import forget as remove

    names = read_ids(ids)
    click.echo(describe(remove(folder, names, work), folder, len(names)))


@click.command()
@click.argument("one", metavar="A", type=FOLDER)
@click.argument("other", metavar="B", type=FOLDER)
@click.option("--html", type=FOLDER, help="Write a self-contained page too.")
def compare(one: Path, other: Path, html: Path | None) -> None:
    """Two builds side by side: recipes, outputs, drops, and rows whose label, split or fate changed."""
    from curate.core.store import write_text
    from curate.dataset.look.compare import as_page, as_text
    from curate.dataset.look.compare import compare as tables_of

    tables = tables_of(one, other)
    if html is not None:
        write_text(html, as_page(tables, one, other))
    click.echo(as_text(tables))


@click.command()
@DATASET
@click.option("--to", "target", required=True, type=FOLDER, help="HTML file to write; outside DIR.")
@SHOW_TEXT
def report(folder: Path, target: Path, show_text: bool) -> None:
    """Write the report of a dataset again, as one self-contained page; with --show-text, samples of dropped rows too.

    Texts stand folded until they are opened. The page that lies in DIR never has any.
    """
    from curate.dataset.publish import write_report

    write_report(folder, target, show_text)
    click.echo(f"{target}: {'holds texts that may be toxic; keep it private' if show_text else 'written'}")
