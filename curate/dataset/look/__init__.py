"""What a person asks of a finished build: a `summary`, `show` a stage, `explain` a row, `compare` two, `audit` the labels."""
