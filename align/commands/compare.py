"""`align compare`: finished runs side by side, or a grid's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from align.commands.options import FILE

OUTCOME = "outcome.json"


@click.command("compare")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FILE)
@click.option("--markdown", is_flag=True, help="Tables for papers.")
def command(folders: tuple[Path, ...], markdown: bool) -> None:
    """Finished runs side by side: the base and the last checkpoint of each; or the tables of a grid."""
    click.echo(compare(folders, markdown=markdown))


def compare(folders: Sequence[Path], *, markdown: bool = False) -> str:
    """Runs in one table, see `align.report.comparison`; or a grid's tables.

    Args:
        folders: run folders, or one grid folder.
        markdown: tables for papers in place of the terminal's.

    Raises:
        DataError: a folder without a finished run, or a grid among other folders.
    """
    from align.ablation.report import tables
    from align.report.comparison import compare_runs
    from curate.core.errors import DataError
    from curate.pages.tables import table_lines

    def draw(header: list[str], rows: list[list[str]]) -> list[str]:
        return tables.markdown((header, rows)).split("\n") if markdown else table_lines(header, rows)

    grids = [folder for folder in folders if (folder / OUTCOME).is_file()]
    if not grids:
        return compare_runs(folders, draw)
    if len(folders) > 1:
        raise DataError(f"{grids[0]}: is a grid, which has a table of its own", hint="compare it by itself")
    return _grid(grids[0], draw, bullet="- " if markdown else "")


def _grid(folder: Path, draw: Callable[[list[str], list[list[str]]], list[str]], bullet: str) -> str:
    """A grid's answer and its tables."""
    from align.ablation.report import tables
    from align.ablation.report.outcome import read_outcome
    from align.ablation.report.words import headline

    outcome = read_outcome(folder / OUTCOME)
    parts = ["\n".join(f"{bullet}{line}" for line in headline(outcome))]
    for cells in (tables.needed(outcome), tables.everything(outcome), tables.contrasts(outcome), tables.views(outcome)):
        parts.append("\n".join(draw(*cells)))
    return "\n\n".join(parts)
