"""Varieties of English: each a folder of tables, read by the same arithmetic; `VARIETIES` is the whole list."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

from curate.core.errors import RecipeError
from curate.varieties.markers import Variety, load_variety

MARKERS = "markers.yaml"

VARIETIES: dict[str, Path] = {
    "singlish": Path(__file__).parent / "singlish" / "markers.yaml",
}
"""Recipe word -> the file that says what marks the variety. A user's own is a folder with such a file, by its path."""


def variety_folder(name: str) -> Path:
    """Where a variety's tables lie: `markers.yaml`, and `refusals.yaml` with its own ways to decline.

    Args:
        name: of a variety that ships, or the path of a folder, from the working folder.

    Raises:
        RecipeError: no variety of that name, no such folder.
    """
    if name in VARIETIES:
        return VARIETIES[name].parent
    if not (Path(name) / MARKERS).is_file():
        known = f"one of {', '.join(sorted(VARIETIES))}, or a folder with a {MARKERS}, from the working folder"
        raise RecipeError(f"language: no variety {name!r}", hint=known)
    return Path(name)


def variety(name: str) -> Variety:
    """A variety by its name or its folder, loaded once.

    Raises:
        RecipeError: no variety of that name, no such folder, or a file that is not as `singlish/markers.yaml` shows it.
    """
    path = variety_folder(name) / MARKERS
    return _loaded(path, 0 if name in VARIETIES else path.stat().st_mtime_ns)


@cache
def _loaded(path: Path, changed: int) -> Variety:
    try:
        return load_variety(path)
    except KeyError as error:
        raise RecipeError(f"{path}: has no {error}", hint="docs/extending.md shows a whole one") from None
    except (ValueError, TypeError, AttributeError, re.error, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise RecipeError(f"{path}: {problem}", hint="docs/extending.md shows a whole one") from None
