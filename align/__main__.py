"""`python -m align`."""

from align.commands.cli import main

main()
