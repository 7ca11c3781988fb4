"""A finished run for people: the terminal's account, the tables, the targets, and report.html.

`results`: the table of checkpoints, the notes beside it, the targets. `suite_table`: every suite in one table. `page`:
report.html. What is shown here was measured by `align.evaluation`; its types are in `align.data`.
"""
