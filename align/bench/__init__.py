"""`align bench`: our training step against TRL's. `contender` is one side, `bench` the race, `figures` what came of it."""
