"""Records into rows of `schema.ROW`.

`tables` leads: it holds back a table's first records until `roles` has understood them (by `columns`, which knows the `names`
that people give to columns, and `pins`, what the recipe says), then gives each record to a `miner`. `kinds` says how a record
of each kind becomes rows; `talks`, `threads` and `parents` find what a turn or a post answers; `labels` reads labels by the
policy, `messages` makes texts into turns, and `unused` keeps the columns that play no role.
"""
