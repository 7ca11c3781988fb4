"""Evaluation suites: each one file, one frozen config, one call; `SUITES` is the whole list.

A suite is called with a `Subject`, a model under evaluation and what it is judged by, and returns what it `Measured`.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from align.evaluation.subject import Measured, Subject
from align.evaluation.suites.heldout import Heldout
from align.evaluation.suites.lm_eval import LmEval
from align.evaluation.suites.parallel import Parallel
from align.evaluation.suites.prefill import Prefill
from align.evaluation.suites.realtoxicityprompts import RealToxicityPrompts
from align.evaluation.suites.retention import Retention
from align.evaluation.suites.sghatecheck import SgHateCheck
from align.evaluation.suites.sgtoxicguard import SgToxicGuard
from align.evaluation.suites.toxigen import ToxiGen
from align.evaluation.suites.xstest import XsTest

__all__ = ["SUITES", "Measured", "Subject", "Suite"]


class Suite(Protocol):
    """What a run asks of a suite; `VERSION` moves when the same model would get other figures."""

    VERSION: ClassVar[int]

    def __call__(self, subject: Subject) -> Measured:
        """Measure one checkpoint."""
        ...


SUITES: dict[str, type] = {
    "heldout": Heldout,
    "prefill": Prefill,
    "retention": Retention,
    "parallel": Parallel,
    "sghatecheck": SgHateCheck,
    "sgtoxicguard": SgToxicGuard,
    "toxigen": ToxiGen,
    "xstest": XsTest,
    "realtoxicityprompts": RealToxicityPrompts,
    "lm_eval": LmEval,
}
