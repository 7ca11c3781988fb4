"""The `curate` command line: `cli` lists the subcommands, `subcommands` and `label` hold them, one thin function each."""
