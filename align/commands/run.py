"""`align run`: train and evaluate what a recipe says."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from align.commands.options import RECIPE, RUNS, SETS, SHOW_TEXT, say
from align.processes import ranks

if TYPE_CHECKING:
    from align.data.results import RunResults


def _seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f"found {value!r}, expected numbers such as 0,1,2") from None
    if any(seed < 0 for seed in seeds):
        raise click.BadParameter("a seed is 0 or more")
    return seeds


@click.command("run")
@RECIPE
@SETS
@click.option("--seed", type=click.IntRange(min=0), help="In place of the recipe's seed.")
@click.option("--seeds", callback=_seeds, metavar="0,1,2", help="Several seeds, one run each, and a summary of them.")
@RUNS
@SHOW_TEXT
def command(recipe: Path, sets: tuple[str, ...], seed: int | None, seeds: tuple[int, ...], runs: Path, show_text: bool) -> None:
    """Train and evaluate what a recipe says.

    Leaves a folder in --runs that is named by the recipe, the data and the versions: the same command again does nothing
    and prints the same table; a run that was stopped goes on where it was. `accelerate launch -m align run R.yaml` trains on
    several GPUs.
    """
    from align.pipeline.recipe import read_recipe
    from align.pipeline.run import run
    from align.report.comparison import seeds_summary
    from align.report.page import report
    from align.report.results import summary
    from curate.core.errors import RecipeError
    from curate.core.store import write_text

    if seed is not None and seeds:
        raise RecipeError("--seed and --seeds: found both", hint="give one of them")
    base = read_recipe(recipe, sets)
    finished: list[RunResults] = []
    with ranks.joined():
        for each in seeds or ((base.seed if seed is None else seed),):
            since = time.process_time() if finished else 0.0  # the first run pays for the imports
            folder, results, unchanged = run(dataclasses.replace(base, seed=each), runs, say, cpu_since=since)
            if unchanged:
                click.echo(f"{folder}: nothing to do; the same recipe, data and versions made what stands there\n")
            if show_text and ranks.is_main():
                write_text(folder / "report.html", report(results, folder, show_text=True))
            click.echo(f"{summary(results)}\n\nreport: {folder / 'report.html'}\n")
            finished.append(results)
    if len(finished) > 1:
        click.echo(seeds_summary(finished))
