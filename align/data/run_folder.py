"""The files of a run's folder: its figures, its recipe as plain values, its curves, the weights of its phases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from align.data.figures import JsonObject
from align.data.results import FORMAT, Checkpoint, RunResults
from curate.core.config import file_word, load
from curate.core.errors import DataError, RecipeError
from curate.core.store import write_json

RESULTS = "results.json"
MEASURED = "measured.json"
RECIPE = "recipe.yaml"
WEIGHTS, DONE = "model.safetensors", "done.json"
"""Of a finished phase: its weights, and the receipt that says what they are."""


def read_results(folder: Path) -> RunResults:
    """The figures of a finished run.

    Raises:
        DataError: no finished run lies there, or one that another version left.
    """
    path = folder if folder.is_file() else folder / RESULTS
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _unfinished(folder) from None
    except ValueError:
        raise DataError(f"{path}: is not JSON", hint="delete it and run the same recipe again") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path}: is not of format {FORMAT}, which this version reads", hint="run its recipe again")
    try:
        return RunResults.from_json(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: is not as this version writes it ({error!r:.80})", hint="run its recipe again") from None


def write_results(folder: Path, results: RunResults) -> None:
    """Say what a run found, and with that, that it is finished."""
    write_json(folder / RESULTS, results.to_json())


def read_measured(folder: Path, suites: Sequence[str]) -> Checkpoint | None:
    """A checkpoint's figures that an earlier call left, in the suites' order; None where there are none."""
    path = folder / MEASURED
    return Checkpoint.from_json(json.loads(path.read_bytes()), suites) if path.is_file() else None


def write_measured(folder: Path, checkpoint: Checkpoint) -> None:
    """Keep a checkpoint's figures beside its items."""
    write_json(folder / MEASURED, checkpoint.to_json())


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a metrics.jsonl, one per optimizer step; a last line that a kill cut short is left out, no file has none."""
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    metrics = []
    for line in lines:
        try:
            metrics.append(json.loads(line))
        except ValueError:
            continue
    return metrics


def run_recipe(run: Path) -> JsonObject:
    """The recipe of a finished run, every default written out, as plain values: who needs a typed part makes it.

    Raises:
        DataError: no finished run lies there.
    """
    if not (run / RESULTS).is_file():
        raise _unfinished(run)
    return load(run / RECIPE, ())


def phase_folders(recipe: JsonObject) -> list[str]:
    """Folder names of a resolved recipe's phases, e.g. "1-sft", "2-kto_s"."""
    return [f"{at}-{file_word(next(iter(phase)))}" for at, phase in enumerate(recipe["phases"], start=1)]


def phase_weights(run: Path, phase: str | None) -> tuple[JsonObject, str, Path]:
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
        raise DataError(f"{run}: trained nothing, it only evaluated a model", hint="name the model that it evaluated")
    chosen = names if phase is None else [name for name in names if phase in (name, name.split("-", 1)[1])]
    if not chosen:
        raise RecipeError(f"--phase {phase}: {run.name} has none of that name", hint=f"it has {', '.join(names)}")
    weights = run / chosen[-1] / WEIGHTS
    if not weights.is_file():
        raise DataError(f"{weights}: is missing", hint=f"delete {run / RESULTS} and run the recipe again")
    return recipe, chosen[-1], weights


def _unfinished(run: Path) -> DataError:
    return DataError(f"{run}: found no {RESULTS}, so no finished run", hint="run its recipe, the same command resumes")
