"""What a run's folder holds, read back: results, recipe, weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from align.pipeline.recipe import Recipe
from curate.core.errors import DataError, RecipeError

RESULTS = "results.json"


FORMAT = 1  # of results.json


def read_results(folder: Path) -> dict[str, Any]:
    """The figures of a finished run.

    Raises:
        DataError: no finished run lies there.
    """
    path = folder if folder.is_file() else folder / RESULTS
    try:
        results: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder}: found no {RESULTS}, so no finished run; run its recipe, the same command resumes") from None
    except ValueError:
        raise DataError(f"{path}: is not JSON; delete it and run the same recipe again") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise DataError(f"{path}: is not of format {FORMAT}, which this version reads; run the recipe again")
    return results


def run_recipe(run: Path) -> Recipe:
    """The recipe of a finished run.

    Raises:
        DataError: no finished run lies there.
    """
    from align.data.run_folder import RESULTS
    from align.pipeline.recipe import read_recipe

    if not (run / RESULTS).is_file():
        raise DataError(f"{run}: found no {RESULTS}, so no finished run; run its recipe, the same command resumes")
    return read_recipe(run / "recipe.yaml")


def phase_weights(run: Path, phase: str | None) -> tuple[Recipe, str, Path]:
    """A finished run's recipe, the folder's name of a phase and where its weights lie.

    Args:
        run: the run's folder.
        phase: by its folder's name ("2-kto_s") or its objective; the last by default.

    Raises:
        DataError: no such run, it trained nothing, or its weights are gone.
        RecipeError: no such phase.
    """
    from align.data.run_folder import RESULTS
    from align.pipeline.recipe import phase_names

    recipe = run_recipe(run)
    names = phase_names(recipe)
    if not names:
        raise DataError(f"{run}: trained nothing, it only evaluated a model; name that model")
    found = names if phase is None else [name for name in names if phase in (name, name.split("-", 1)[1])]
    if not found:
        raise RecipeError(f"--phase {phase}: {run.name} has none of that name; it has {', '.join(names)}")
    weights = run / found[-1] / WEIGHTS
    if not weights.is_file():
        raise DataError(f"{weights}: is missing; delete {run / RESULTS} and run the recipe again")
    return recipe, found[-1], weights


WEIGHTS, DONE = "model.safetensors", "done.json"
