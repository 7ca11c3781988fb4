"""The words of a grid's report."""

from __future__ import annotations

import math

from align.ablation.grid import AFTER_SFT
from align.ablation.report.outcome import Curve, Estimate, Outcome
from align.ablation.result import BEST

VIEWS = {
    BEST: "best validation checkpoint under one step cap",
    "epochs": "equal epochs",
    "flops": "equal FLOPs",
}


def headline(outcome: Outcome) -> list[str]:
    """Who needs how many rows for a 90 % cut, fewest first; one sentence each."""
    return [_sentence(method, curve, outcome) for method, curve in sorted(outcome.curves(), key=lambda one: _rank(one[1]))]


def _rank(curve: Curve) -> tuple[float, float]:
    rows, left = (None if one is None else one.value for one in (curve.n90, curve.area))
    return rows or math.inf, left or 1


def _sentence(method: str, curve: Curve, outcome: Outcome) -> str:
    need = curve.n90
    if need is None:
        return f"{label(method)}: cells are missing"
    if need.value is None:
        reach = "" if need.low is None else f" (interval from {rows_text(need.low, outcome)})"
        return f"{label(method)}: no 90 % cut with up to {outcome.sizes[-1]:,} labelled completions{reach}"
    return f"{label(method)}: 90 % cut with {span(need, outcome)} labelled completions"


def span(rows: Estimate, outcome: Outcome) -> str:
    """A number of rows with its interval; "> max" where it is not reached."""
    return f"{rows_text(rows.value, outcome)} [{rows_text(rows.low, outcome)}, {rows_text(rows.high, outcome)}]"


def rows_text(value: float | None, outcome: Outcome) -> str:
    """A number of rows for people."""
    if value is None:
        return f"> {outcome.sizes[-1]:,}"
    smallest = outcome.sizes[0]
    return f"≤ {smallest:,}" if value <= smallest else f"{value:,.0f}"


def label(method: str) -> str:
    """A method's name for people."""
    words = {"sft": "SFT", "kto_s": "KTO-S", "apo_zero": "APO-zero", "safe_dpo": "SafeDPO"}
    name = method.removeprefix(AFTER_SFT)
    shown = words.get(name, name.upper())
    return f"SFT + {shown}" if method.startswith(AFTER_SFT) else shown
