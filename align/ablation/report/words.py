"""The words of a grid's report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from align.ablation.grid import AFTER_SFT

VIEWS = {
    "best": "best validation checkpoint under one step cap",
    "epochs": "equal epochs",
    "flops": "equal FLOPs",
}


CUTS = (0.5, 0.9)


Range = dict[str, float | None]
"""value, low, high; None stands for "not reached" (beyond the largest size)."""


def headline(result: Mapping[str, Any], view: str = "best") -> list[str]:
    """Who needs how many rows for a 90 % cut, fewest first; one sentence each."""
    largest = result["sizes"][-1]
    lines = []
    methods = result["views"][view]["methods"]
    order = sorted(
        methods,
        key=lambda method: (
            methods[method].get("n90", {}).get("value") or math.inf,
            (methods[method].get("area") or {}).get("value") or 1,
        ),
    )
    for method in order:
        found = methods[method].get("n90")
        if found is None:
            lines.append(f"{label(method)}: cells are missing")
        elif found["value"] is None:
            reach = "" if found["low"] is None else f" (interval from {rows_text(found['low'], result)})"
            lines.append(f"{label(method)}: no 90 % cut with up to {largest:,} labelled completions{reach}")
        else:
            lines.append(f"{label(method)}: 90 % cut with {span(found, result)} labelled completions")
    return lines


def span(found: Range, result: Mapping[str, Any]) -> str:
    """A number of rows with its interval; "> max" where it is not reached."""
    return f"{rows_text(found['value'], result)} [{rows_text(found['low'], result)}, {rows_text(found['high'], result)}]"


def rows_text(value: float | None, result: Mapping[str, Any]) -> str:
    """A number of rows for people."""
    if value is None:
        return f"> {result['sizes'][-1]:,}"
    smallest = result["sizes"][0]
    return f"≤ {smallest:,}" if value <= smallest else f"{value:,.0f}"


def label(method: str) -> str:
    """A method's name for people."""
    words = {"sft": "SFT", "kto_s": "KTO-S", "apo_zero": "APO-zero", "safe_dpo": "SafeDPO"}
    name = method.removeprefix(AFTER_SFT)
    shown = words.get(name, name.upper())
    return f"SFT + {shown}" if method.startswith(AFTER_SFT) else shown
