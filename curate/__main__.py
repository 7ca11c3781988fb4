"""`python -m curate`."""

from curate.commands.cli import main

main()
