"""What the folder of a finished run holds, read back: its figures, its recipe as plain values, the weights of its phases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.core.config import file_word, load
from curate.core.errors import DataError, RecipeError

RESULTS = "results.json"
FORMAT = 1  # of results.json
RECIPE = "recipe.yaml"
WEIGHTS, DONE = "model.safetensors", "done.json"
"""Of a finished phase: its weights, and the receipt that says what they are."""


def read_results(folder: Path) -> dict[str, Any]:
    """The figures of a finished run.

    Raises:
        DataError: no finished run lies there.
    """
    path = folder if folder.is_file() else folder / RESULTS
    try:
        results: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _unfinished(folder) from None
    except ValueError:
        raise DataError(f"{path}: is not JSON", hint="delete it and run the same recipe again") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise DataError(f"{path}: is not of format {FORMAT}, which this version reads", hint="run the recipe again")
    return results


def run_recipe(run: Path) -> Mapping[str, Any]:
    """The recipe of a finished run, every default written out, as plain values: who needs a typed part makes it.

    Raises:
        DataError: no finished run lies there.
    """
    if not (run / RESULTS).is_file():
        raise _unfinished(run)
    return load(run / RECIPE, ())


def phase_folders(recipe: Mapping[str, Any]) -> list[str]:
    """Folder names of a resolved recipe's phases, e.g. "1-sft", "2-kto_s"."""
    return [f"{at}-{file_word(next(iter(phase)))}" for at, phase in enumerate(recipe["phases"], start=1)]


def phase_weights(run: Path, phase: str | None) -> tuple[Mapping[str, Any], str, Path]:
    """A finished run's recipe, the folder's name of a phase and where its weights lie.

    Args:
        run: the run's folder.
        phase: by its folder's name ("2-kto_s") or its objective; the last by default.

    Raises:
        DataError: no such run, it trained nothing, or its weights are gone.
        RecipeError: no such phase.
    """
    recipe = run_recipe(run)
    names = phase_folders(recipe)
    if not names:
        raise DataError(f"{run}: trained nothing, it only evaluated a model", hint="name that model")
    chosen = names if phase is None else [name for name in names if phase in (name, name.split("-", 1)[1])]
    if not chosen:
        raise RecipeError(f"--phase {phase}: {run.name} has none of that name", hint=f"it has {', '.join(names)}")
    weights = run / chosen[-1] / WEIGHTS
    if not weights.is_file():
        raise DataError(f"{weights}: is missing", hint=f"delete {run / RESULTS} and run the recipe again")
    return recipe, chosen[-1], weights


def _unfinished(run: Path) -> DataError:
    return DataError(f"{run}: found no {RESULTS}, so no finished run", hint="run its recipe, the same command resumes")
