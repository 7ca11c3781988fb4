"""The sample-efficiency ablation: how many labels does each objective need, from the base and after SFT?

A grid is data size x objective x with and without SFT x seed. `grid` is what a recipe asks for, `tasks` what is still to be run,
`ledger` what is claimed and done, `cells` how a worker runs it, `ablate` the whole of it, `report` what came out.
"""
