"""The recipe of a run: which data, which model, which phases, and how the result is judged; and that of an evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation

from align.data.run_folder import RECIPE, RESULTS
from align.evaluation.settings import EvaluationOptions, entries_of, entry_of, plain_options, read_options
from align.models.table import MODELS
from align.objectives.phase import Phase, parse
from align.training import trl_engine
from align.training.trackers import Tracking
from curate.core.config import build, choose, config, file_word, load, plain
from curate.core.errors import RecipeError

LONGEST = 64  # characters of a run's name


@config
class Recipe:
    """One run.

    Args:
        name: what the run is called; part of its folder's name.
        seed: decides the built-in model's weights, the order of rows, the KL partners and the sampled completions.
        data: dataset folder that `curate build` made, relative to the working folder.
        model: the base model: `builtin:tiny`, `pretrained` or `run`, with options.
        phases: objectives in order, each with its own optimisation settings; each starts from the model before it. `[]` trains
            nothing: the model is judged as it is (`align eval`).
        eval: suites, judge and sampling.
        threads: CPU threads of torch. More than one only helps models above about 20 M parameters; it may change last bits.
        engine: who trains. align: the packed trainer of this package. trl: TRL's own SFT, DPO and KTO trainers.
        log: trackers that follow the training; they change no result.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    seed: Annotated[int, Field(ge=0)] = 0
    data: Annotated[str, Field(min_length=1)] = "pairs/"
    model: SkipValidation[Any]
    phases: SkipValidation[tuple[Phase, ...]]
    eval: EvaluationOptions
    threads: Annotated[int, Field(ge=1)] = 1
    engine: Literal["align", "trl"] = "align"
    log: Tracking = Tracking()


def read_recipe(path: Path, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe and settings on top; every slip is named before any work starts.

    Args:
        path: YAML file.
        sets: settings such as "phases.kto_s.beta=0.2".

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    return make_recipe(load(path, sets), str(path))


def make_recipe(tree: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain values; phases that are made already are taken as they are.

    Args:
        tree: the recipe's values by key.
        where: what to call it in an error.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    tree = dict(tree)
    if "model" in tree:
        if isinstance(model := tree["model"], str) and model not in MODELS and ":" not in model:
            raise RecipeError(
                f"{where}: model: no model {model!r}", hint=f"a Hub id or folder is written pretrained: {{path: {model}}}"
            )
        tree["model"] = choose(MODELS, tree["model"], f"{where}: model", "model")
    if "phases" in tree and not isinstance(tree["phases"], tuple):
        entries = tree["phases"] if tree["phases"] == [] else entries_of(tree["phases"], f"{where}: phases", "phase")
        tree["phases"] = tuple(parse(entry, f"{where}: phases[{at}]") for at, entry in enumerate(entries))
    if isinstance(tree.get("eval"), dict):
        tree["eval"] = read_options(tree["eval"], f"{where}: eval")
    recipe = build(Recipe, tree, where)
    if recipe.engine == "trl":
        trl_engine.check(recipe.phases, where)
    return recipe


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values with every default written out; `read_recipe` of it gives the same recipe back."""
    tree: dict[str, Any] = plain(recipe)
    return tree | {
        "model": entry_of(MODELS, recipe.model),
        "phases": [_phase_entry(phase) for phase in recipe.phases],
        "eval": plain_options(recipe.eval),
    }


def phase_names(recipe: Recipe) -> list[str]:
    """Folder names of the phases, e.g. "1-sft", "2-kto_s"."""
    return [f"{at}-{file_word(phase.name)}" for at, phase in enumerate(recipe.phases, start=1)]


def _phase_entry(phase: Phase) -> dict[str, object]:
    tree = plain(phase)
    return {tree.pop("name"): tree.pop("objective") | tree}


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
        recipe: whose evaluation is taken over; by default the run's own, else the one that ships as `eval`.
        sets: settings on top, such as "eval.sampling.samples=5".
        data: dataset folder in place of the recipe's.
        suites: names of suites in place of the recipe's.
        judge: in place of the recipe's.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    entry, own = _model_entry(model)
    source = recipe or own or Path("eval")
    changes: dict[str, object] = {"name": _run_name(model), "model": entry, "phases": []}
    changes |= {"data": data} if data else {}
    changes |= {"eval.suites": list(suites)} if suites else {}
    changes |= {"eval.judge": judge} if judge else {}
    tree = load(source, [*(f"{key}={json.dumps(value)}" for key, value in changes.items()), *sets])
    tree.pop("ablation", None)
    return make_recipe(tree, str(source))


def _model_entry(model: str) -> tuple[object, Path | None]:
    """The recipe's entry for a model, and the recipe of the run that it is of."""
    if model.startswith("builtin:"):
        return model, None
    folder, _, phase = model.rpartition(":") if ":" in model and not Path(model).exists() else (model, "", "")
    if (Path(folder) / RESULTS).is_file():
        return {"run": {"path": folder} | ({"phase": phase} if phase else {})}, Path(folder) / RECIPE
    return {"pretrained": {"path": model}}, None


def _run_name(model: str) -> str:
    """A run's name from a model's."""
    parts = [part for part in re.split(r"[/\\]", model) if part not in {"", ".", ".."}]
    return "eval-" + re.sub(r"[^A-Za-z0-9._-]+", "-", parts[-1] if parts else "model")[: LONGEST - len("eval-")]
