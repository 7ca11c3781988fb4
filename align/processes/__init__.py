"""Several processes of one run: which of them this is (`ranks`), and weights spread over them (`sharding`)."""
