"""Arguments and options that several subcommands share, and how they tell what they do."""

from __future__ import annotations

from pathlib import Path

import click

from align.processes import ranks

FILE = click.Path(path_type=Path)
RECIPE = click.argument("recipe", metavar="R.yaml", type=FILE)
SETS = click.option("--set", "sets", multiple=True, metavar="a.b=c", help="Change one setting of the recipe; repeatable.")
RUNS = click.option("--runs", type=FILE, default=Path("runs"), show_default=True, help="Folder that run folders are made in.")
SHOW_TEXT = click.option("--show-text", is_flag=True, help="Put sampled completions into report.html; they may be toxic.")


def say(line: str) -> None:
    """One line on standard error, from the main process alone."""
    if ranks.is_main():
        click.echo(line, err=True)
