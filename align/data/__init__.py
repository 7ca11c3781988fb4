"""What is read from disk and what is left there: the data that a phase trains on, and the figures of a finished run.

`dataset`: a folder that `curate build` made, checked, and tokenised into `rows`. `run_folder`: the files of a run, read and
written in one place. `figures`: what a suite finds on one checkpoint. `results`: all figures of a run, as results.json has them.
"""
