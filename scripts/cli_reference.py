"""Write docs/cli.md from what `--help` prints; with --check, fail when the file is stale."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from reference_page import write_or_check

from align.commands.cli import cli as align
from curate.commands.cli import cli as curate

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
WIDTH = 100  # columns, whatever terminal this runs in
HEAD = "# Command line reference\n\nGenerated from `--help` by `make docs`; `make check` fails when it is stale.\n"


def reference() -> str:
    """Every command's help, as Markdown."""
    pages = [HEAD]
    for name, group in (("curate", curate), ("align", align)):
        context = group.make_context(name, [], resilient_parsing=True, terminal_width=WIDTH)
        pages.append(f"## {name}\n\n```\n{group.get_help(context)}\n```\n")
        for word in group.list_commands(context):
            command = group.get_command(context, word)
            if command is not None:
                inner = command.make_context(word, [], parent=context, resilient_parsing=True, terminal_width=WIDTH)
                page = command.get_help(inner)
                pages.append(f"### {name} {word}\n\n```\n{page}\n```\n")
                pages += _inner(f"{name} {word}", command, inner)
    return "\n".join(pages)


def _inner(path: str, group: click.Command, context: click.Context) -> list[str]:
    """The pages of a group's own commands."""
    if not isinstance(group, click.Group):
        return []
    pages = []
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if command is not None:
            inner = command.make_context(word, [], parent=context, resilient_parsing=True, terminal_width=WIDTH)
            pages.append(f"#### {path} {word}\n\n```\n{command.get_help(inner)}\n```\n")
    return pages


def main() -> int:
    """Write, or compare."""
    return write_or_check(TARGET, reference())


if __name__ == "__main__":
    sys.exit(main())
