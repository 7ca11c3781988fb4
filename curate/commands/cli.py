"""The `curate` command line: which subcommands there are; each is imported when it is used."""

from __future__ import annotations

from typing import NoReturn

import click

from curate import __version__
from curate.core.command import LazyGroup, entry

LAZY = {
    "build": ("curate.commands.subcommands:build", "Turn a folder of raw text into preference data."),
    "inspect": ("curate.commands.subcommands:inspect", "How each file of a folder would be read, before it is."),
    "show": ("curate.commands.subcommands:show", "What each stage dropped, and what another threshold would drop."),
    "explain": ("curate.commands.subcommands:explain", "The life of one row, from its file to its pairs."),
    "compare": ("curate.commands.subcommands:compare", "Two builds side by side, down to the rows whose fate changed."),
    "report": ("curate.commands.subcommands:report", "Write the report of a dataset again, with texts if asked."),
    "label": ("curate.commands.label:label", "Adapt, measure and weigh labelers; audit the labels of a build."),
    "verify": ("curate.commands.subcommands:verify", "Check a dataset folder: checksums, laws, pairs, splits."),
    "forget": ("curate.commands.subcommands:forget", "Remove rows and everything derived from them, for good."),
}


@click.group(cls=LazyGroup, lazy=LAZY, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="curate")
def cli() -> None:
    """Turn raw text into paired and unpaired preference data."""


def main() -> NoReturn:
    """Entry point of the `curate` command."""
    entry(cli)
