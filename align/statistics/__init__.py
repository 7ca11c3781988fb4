"""Shares and their intervals, paired tests, learning curves and power: formulas small enough to read.

They are checked against scipy and by simulation: `make bench-statistics` prints the coverage and power that were found.
"""

from align.statistics.bootstrap import Draws, crossed, interval, spread
from align.statistics.curves import area, isotonic, rows_for
from align.statistics.means import Mean, per_unit
from align.statistics.paired import Discordant, holm, mcnemar, sign_flip
from align.statistics.power import detectable, mcnemar_power
from align.statistics.shares import Share, auc, clustered, clustered_ends, overlap, wilson

__all__ = [
    "Discordant",
    "Draws",
    "Mean",
    "Share",
    "area",
    "auc",
    "clustered",
    "clustered_ends",
    "crossed",
    "detectable",
    "holm",
    "interval",
    "isotonic",
    "mcnemar",
    "mcnemar_power",
    "overlap",
    "per_unit",
    "rows_for",
    "sign_flip",
    "spread",
    "wilson",
]
