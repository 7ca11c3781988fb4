"""`align ablate`: a grid of data sizes, objectives and seeds."""

from __future__ import annotations

from pathlib import Path

import click

from align.commands.options import RECIPE, RUNS, SETS, say


@click.command("ablate")
@RECIPE
@SETS
@RUNS
@click.option("--plan", "only_plan", is_flag=True, help="Say what the grid is and what it will cost; train nothing.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that train side by side.")
def command(recipe: Path, sets: tuple[str, ...], runs: Path, only_plan: bool, workers: int) -> None:
    """Data size x objective x with and without SFT x seed: how many labels does each need?

    Stop it at any time: the same command fills what is missing or failed, and ends in the same report.
    """
    from align.ablation.ablate import ablate, conclude
    from align.ablation.grid import read_grid
    from align.ablation.price import price
    from align.ablation.report.words import headline

    grid = read_grid(recipe, sets)
    if only_plan:
        click.echo(price(grid, runs, workers))
        return
    click.echo(price(grid, runs, workers), err=True)
    finished = ablate(grid, runs, say, workers=workers)
    outcome = conclude(grid, finished)
    for line in headline(outcome):
        click.echo(line)
    for line in [*(f"failed: {one}" for one in outcome.failures), *(f"missing: {one}" for one in outcome.missing)]:
        click.echo(line)
    click.echo(f"\nreport: {finished.folder / 'report.html'}")
