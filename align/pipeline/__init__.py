"""One run: its recipe, what names it, and the work from base model to report.

`recipe`: what is to be done, typed. `identity`: the key that decides every figure, and the folder named by it. `run`: load, train
phase by phase, judge every checkpoint. `clock`: CPU seconds by step.
"""
