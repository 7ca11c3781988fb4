"""The `align` command line: which subcommands there are; each is imported when it is used."""

from __future__ import annotations

from typing import NoReturn

import click

from align.processes import ranks
from curate.core.command import LazyGroup, entry
from curate.core.errors import RecipeError

LAZY = {
    "run": ("align.commands.run:command", "Train and evaluate what a recipe says."),
    "eval": ("align.commands.evaluate:command", "Judge a model, a checkpoint or a run as it is; trains nothing."),
    "plan": ("align.commands.plan:command", "What a recipe would do: rows, lengths, steps, memory. Trains nothing."),
    "bench": ("align.commands.bench:command", "Our training step against TRL's: speed, memory, losses."),
    "ablate": ("align.commands.ablate:command", "A grid of data sizes, objectives and seeds, and its report."),
    "export": ("align.commands.export:command", "The model of a finished run, as a folder that from_pretrained opens."),
    "compare": ("align.commands.compare:command", "Finished runs side by side."),
}


@click.group(cls=LazyGroup, lazy=LAZY, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="margins", prog_name="align")
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn preference data into a safer model, and measure what that cost."""
    if ranks.count() > 1 and context.invoked_subcommand != "run":
        raise RecipeError(
            f"align {context.invoked_subcommand}: found {ranks.count()} processes", hint="start it without a launcher"
        )


def main() -> NoReturn:
    """Entry point of the `align` command."""
    ranks.hush()
    entry(cli, ranks.tell)
