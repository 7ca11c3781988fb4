"""Varieties of English: each a folder of tables, read by the same arithmetic; `VARIETIES` is the whole list."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from curate.core.errors import RecipeError
from curate.varieties.markers import Variety, load_variety

VARIETIES: dict[str, Path] = {
    "singlish": Path(__file__).parent / "singlish" / "markers.yaml",
}
"""Recipe word -> the file that says what marks the variety. Another variety is another folder and one more line."""


def variety_folder(name: str) -> Path:
    """Where a variety's tables lie: `markers.yaml`, and `refusals.yaml` with its own ways to decline.

    Raises:
        RecipeError: no variety of that name.
    """
    if name not in VARIETIES:
        raise RecipeError(f"no variety {name!r}", hint=f"known: {', '.join(sorted(VARIETIES))}")
    return VARIETIES[name].parent


@cache
def variety(name: str) -> Variety:
    """The variety of that name, loaded once.

    Raises:
        RecipeError: no variety of that name.
    """
    return load_variety(variety_folder(name) / "markers.yaml")
