"""`align eval`: judge a model as it is; a run whose recipe has no phases."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.pipeline.recipe import Recipe, make_recipe
from align.report.results import RESULTS
from curate.core.config import bundled, load

LONGEST = 64  # characters of a run's name


def eval_recipe(
    model: str,
    recipe: Path | None,
    sets: Sequence[str] = (),
    *,
    data: str | None = None,
    suites: Sequence[str] = (),
    judge: str | None = None,
) -> Recipe:
    """The recipe of an evaluation: another's data, suites, judges and sampling, a given model, and no phases.

    Args:
        model: a run's folder (its last phase; `RUN:kto_s` for another), a model's folder, a Hub id, or `builtin:tiny`.
        recipe: whose evaluation is taken over; by default the run's own, else `recipes/eval.yaml`.
        sets: settings on top, such as "eval.sampling.samples=5".
        data: dataset folder in place of the recipe's.
        suites: names of suites in place of the recipe's.
        judge: in place of the recipe's.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    entry, own = _entry(model)
    source = recipe or own or bundled("eval.yaml")
    changes: dict[str, Any] = {"name": _name(model), "model": entry, "phases": []}
    changes |= {"data": data} if data else {}
    changes |= {"eval.suites": list(suites)} if suites else {}
    changes |= {"eval.judge": judge} if judge else {}
    tree = load(source, [*(f"{key}={json.dumps(value)}" for key, value in changes.items()), *sets])
    tree.pop("ablation", None)
    return make_recipe(tree, str(source))


def _entry(model: str) -> tuple[object, Path | None]:
    """The recipe's entry for a model, and the recipe of the run that it is of."""
    if model.startswith("builtin:"):
        return model, None
    folder, _, phase = model.rpartition(":") if ":" in model and not Path(model).exists() else (model, "", "")
    if (Path(folder) / RESULTS).is_file():
        return {"run": {"path": folder} | ({"phase": phase} if phase else {})}, Path(folder) / "recipe.yaml"
    return {"pretrained": {"path": model}}, None


def _name(model: str) -> str:
    """A run's name from a model's."""
    parts = [part for part in re.split(r"[/\\]", model) if part not in {"", ".", ".."}]
    return "eval-" + re.sub(r"[^A-Za-z0-9._-]+", "-", parts[-1] if parts else "model")[: LONGEST - len("eval-")]
