"""From judged rows to the outputs: splits, pairs, unpaired rows, and what became of every other row.

`compose` is the way through; `fates` decides of single rows, `splits`, `unpaired` and `contamination` of what they share,
`verdicts` and `review` carry what people say in and out, `outputs` gives the shapes, `counts` and `bias` the figures.
"""
