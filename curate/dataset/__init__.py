"""The dataset folder: what is written into it, and what is read back.

`formats` and `exports` write the rows, `publish` the rest: `figures`, `card`, `report`, `gallery`, `croissant`, `licences`.
`verify` checks a folder, `thresholds` tells what another threshold would drop, and `look/` shows single builds.
"""
