"""The `align` command line: `cli` lists the subcommands, each a thin file that says its options and calls what does the work.

`options` holds what several share. Heavy imports wait until a command runs, so that `--help` is quick.
"""
