"""`align plan`: what a recipe would do."""

from __future__ import annotations

from pathlib import Path

import click

from align.commands.options import FILE, RECIPE, SETS, say


@click.command("plan")
@RECIPE
@SETS
@click.option("--runs", type=FILE, default=Path("runs"), show_default=True, help="Folder whose cache may hold the tokenizer.")
@click.option("--show-text", is_flag=True, help="Print the example row's text too; it may be toxic or personal.")
@click.option("--probe-kl", is_flag=True, help="Train briefly in several settings: does z rise, so that KTO-S is not KTO?")
def command(recipe: Path, sets: tuple[str, ...], runs: Path, show_text: bool, probe_kl: bool) -> None:
    """What a recipe would do: rows per class, lengths, steps, one example with its mask, memory.

    Trains nothing, but with --probe-kl, which loads the model and keeps no weights.
    """
    from align.pipeline.preview import preview
    from align.pipeline.recipe import read_recipe

    base = read_recipe(recipe, sets)
    click.echo(preview(base, runs / "cache", show_text=show_text))
    if probe_kl:
        from align.pipeline.drift import preview_drift

        click.echo("\n" + preview_drift(base, runs / "cache", say))
