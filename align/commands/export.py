"""`align export`: the model of a finished run, for others to load."""

from __future__ import annotations

from pathlib import Path

import click

from align.commands.options import FILE


@click.command("export")
@click.argument("run", metavar="RUN", type=FILE)
@click.option("--to", required=True, type=FILE, help="Folder to make.")
@click.option("--phase", help="Which phase's model, such as kto_s or 2-kto_s; the last one by default.")
@click.option("--merge", is_flag=True, help="Fold adapters into the weights.")
def command(run: Path, to: Path, phase: str | None, merge: bool) -> None:
    """Write the model of a finished run as a folder that `from_pretrained` opens, with its tokenizer and chat template."""
    from align.models.export import export

    for line in export(run, to, phase=phase, merge=merge):
        click.echo(line)
