"""Judging a model: suites ask it or score texts under it; judges say what is toxic, and whether they can be believed.

`suites/`: what is measured, one file each. `measure`: the loop over them. `subject`: what a suite is called with and gives back.
`asking`: sampling and judging for suites with prompts; `answers`: one completion, and the tally; `public`: prompts of public
sets. `judges`, `belief`: who judges, and how far to trust them. `settings`: the `eval` section of a recipe.
"""
