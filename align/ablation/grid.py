"""What a grid is: its axes, its one step cap, and how learning rates are chosen; read from a recipe's `ablation`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SkipValidation

from align.evaluation.settings import suites_of
from align.evaluation.suites import SUITES
from align.objectives.phase import Phase, parse
from align.pipeline.recipe import Recipe, make_recipe, resolved
from curate.core.config import build, chosen_name, config, load, plain
from curate.core.errors import RecipeError

FIXED = ("learning_rate", "steps", "epochs", "save_steps", "scheduler")
"""Options of a phase that the grid decides: rates are searched, and one run under the step cap serves every view, which takes
a constant rate after warm-up (under a decaying one, a checkpoint half-way is not what a run of half the steps would be)."""

AFTER_SFT = "sft+"
SEPARATOR = " - "


@config
class Tuning:
    """How each method's learning rate is chosen: on validation, with a seed that no cell uses.

    A trial is a training run as any cell's, judged on validation alone. Its score is its best checkpoint's: the lowest toxic
    share among those whose neutral perplexity rose by at most `max_loss`. Every method gets as many trials as any other: the
    rates, then `extra` ones that go on beyond the best where it lies at an edge and else halve (in logarithms) the gap to its
    better neighbour. This is done at the smallest and at the largest size; between them rates are interpolated in logarithms.

    Args:
        rates: the first trials; ascending.
        extra: further trials, placed by how the first did.
        seed: of the trials' order of rows; not among the grid's seeds.
        max_loss: largest relative rise of neutral perplexity over the base that a checkpoint may have to be chosen.
        suites: what validation measures: `heldout` and `retention`, with options.
    """

    rates: tuple[Annotated[float, Field(gt=0)], ...] = (1e-4, 3e-4, 1e-3)
    extra: Annotated[int, Field(ge=0)] = 1
    seed: Annotated[int, Field(ge=0)] = 1_000
    max_loss: Annotated[float, Field(ge=0)] = 0.10
    suites: SkipValidation[tuple[Any, ...]]


@config
class Axes:
    """The recipe's `ablation`.

    Args:
        sizes: numbers of labelled completions, ascending and even: n completions are n / 2 pairs. Every objective sees the very
            same ones: the paired ones as pairs, the unpaired ones each by itself, SFT the chosen half.
        benign: share of a size's completions that are benign rows in place of pairs, for the objectives that learn from single
            completions (SFT, KTO, KTO-S): ordinary replies to prompts that drew no toxic one. An objective that needs pairs takes
            all its completions in pairs, so that the number of labels stays the same for all; the report says so. 0: every
            objective learns from the very same completions.
        seeds: each draws its own nested order of the pairs, shared by all methods, and the order of rows in training. Three
            give an interval; six or more give p-values.
        objectives: what is compared, each with its own options (but for the learning rate, which is searched).
        after_sft: whether each objective is also run after SFT on the same completions; `sft` must be among them.
        steps: the one cap on optimizer steps of a phase.
        checkpoints: steps at which a run is measured on validation, ascending, the last one the cap.
        epochs: the view "equal epochs" takes each run after this many passes over its own rows (at most at the cap).
        flops: the view "equal FLOPs" takes each run when it has spent what this many SFT runs up to the cap would, were every
            labelled completion trained on; reference, KL passes and SFT before it are counted.
        tuning: how learning rates are chosen.
        contrasts: primary comparisons, "a - b" over methods; Holm's correction is over these alone. They are made on the area
            under the learning curve.
    """

    sizes: Annotated[tuple[Annotated[int, Field(ge=2, multiple_of=2)], ...], Field(min_length=1)]
    benign: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2)
    objectives: SkipValidation[tuple[Phase, ...]]
    after_sft: bool = True
    steps: Annotated[int, Field(ge=1)] = 64
    checkpoints: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8, 16, 32, 64)
    epochs: Annotated[float, Field(gt=0)] = 1.0
    flops: Annotated[float, Field(gt=0)] = 1.0
    tuning: Tuning
    contrasts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A recipe and its axes.

    Attributes:
        recipe: data, base model, suites and judges.
        axes: what is swept.
        methods: names, in order: every objective ("kto"), then, where asked for, the same after SFT ("sft+kto").
    """

    recipe: Recipe
    axes: Axes

    @property
    def methods(self) -> tuple[str, ...]:
        """What is compared."""
        plain = [phase.name for phase in self.axes.objectives]
        after = [f"{AFTER_SFT}{name}" for name in plain if name != "sft"] if self.axes.after_sft else []
        return (*plain, *after)

    def phase(self, method: str, rate: float) -> Phase:
        """The phase that a method trains, at a learning rate and under the step cap."""
        name = method.removeprefix(AFTER_SFT)
        phase = next(phase for phase in self.axes.objectives if phase.name == name)
        return dataclasses.replace(phase, learning_rate=rate, steps=self.axes.steps, scheduler="constant", save_steps=10**9)

    def plain(self) -> dict[str, Any]:
        """The recipe as plain values, every default written out."""
        tree = resolved(self.recipe)
        objectives = [
            {name: {k: v for k, v in options.items() if k not in FIXED}}
            for one in tree.pop("phases")
            for name, options in one.items()
        ]
        axes: dict[str, Any] = plain(self.axes)
        axes["objectives"] = objectives
        axes["tuning"]["suites"] = [{chosen_name(SUITES, suite): plain(suite)} for suite in self.axes.tuning.suites]
        return {**tree, "ablation": axes}

    @property
    def mixture(self) -> str:
        """What a size is made of, as a line for people."""
        if not self.axes.benign:
            return "every objective learns from the same completions, all of them in pairs"
        single = [phase.name for phase in self.axes.objectives if "paired" not in phase.objective.needs]
        paired = [phase.name for phase in self.axes.objectives if "paired" in phase.objective.needs]
        line = f"{100 * self.axes.benign:g} % of the completions of {', '.join(single)} are benign rows, the others are in pairs"
        return f"{line}; {', '.join(paired)}: all are in pairs" if paired else line

    @property
    def contrasts(self) -> tuple[tuple[str, str], ...]:
        """The primary comparisons as pairs of methods."""
        return tuple((a, b) for a, _, b in (text.partition(SEPARATOR) for text in self.axes.contrasts))


def read_grid(path: Path, sets: Sequence[str] = ()) -> Grid:
    """Read a recipe with an `ablation`.

    Raises:
        RecipeError: with the place, what was found, and what would do.
    """
    tree = load(path, sets)
    entry = tree.pop("ablation", None)
    where = f"{path}: ablation"
    if not isinstance(entry, Mapping):
        raise RecipeError(f"{path}: found no ablation", hint="give one, as the recipe `ablation` does, or use `align run`")
    if "phases" in tree:
        raise RecipeError(f"{path}: phases: a grid makes its own from ablation.objectives", hint="take phases out")
    axes = dict(entry)
    axes["objectives"] = _objectives(axes.get("objectives"), f"{where}: objectives")
    tuning = dict(axes.get("tuning") or {})
    tuning["suites"] = suites_of(tuning.get("suites", ["heldout", "retention"]), f"{where}: tuning: suites")
    axes["tuning"] = build(Tuning, tuning, f"{where}: tuning")
    grid = Grid(make_recipe(tree | {"phases": axes["objectives"]}, str(path)), build(Axes, axes, where))
    if grid.recipe.engine != "align" or grid.recipe.log.to:
        raise RecipeError(f"{path}: engine, log: a grid trains with the packed trainer and no trackers", hint="take them out")
    _check(grid, where)
    _check_suites(grid, path)
    return grid


def _objectives(entries: object, where: str) -> tuple[Phase, ...]:
    if not isinstance(entries, list) or not entries:
        raise RecipeError(f"{where}: expected a list with at least one objective", hint="write [sft, kto]")
    phases = []
    for at, entry in enumerate(entries):
        name, options = next(iter(entry.items())) if isinstance(entry, Mapping) and len(entry) == 1 else (entry, None)
        for key in FIXED:
            if isinstance(options, Mapping) and key in options:
                raise RecipeError(
                    f"{where}[{at}]: {key} is the grid's to set (ablation.steps, ablation.tuning)", hint="take it out"
                )
        settings = {**options} if isinstance(options, Mapping) else {}
        phases.append(parse({name: settings | {"learning_rate": 1.0}} if isinstance(name, str) else entry, f"{where}[{at}]"))
    return tuple(phases)


def _check(grid: Grid, where: str) -> None:
    axes, rates = grid.axes, grid.axes.tuning.rates
    names = [phase.name for phase in axes.objectives]
    faults = (
        (len(set(names)) < len(names), "objectives: an objective is named twice", "name each once"),
        (
            axes.after_sft and "sft" not in names,
            "after_sft: needs sft among the objectives",
            "add sft, or set after_sft to false",
        ),
        (not _ascends(axes.sizes), "sizes: must ascend", f"write {sorted(set(axes.sizes))}"),
        (len(set(axes.seeds)) < len(axes.seeds), "seeds: a seed is named twice", "name each once"),
        (
            not _ascends(axes.checkpoints) or axes.checkpoints[-1:] != (axes.steps,),
            "checkpoints: must ascend and end at the step cap",
            f"let {axes.steps} be the last",
        ),
        (len(rates) < 2 or not _ascends(rates), "tuning: rates: at least two, ascending", "the defaults will do"),
        (
            axes.tuning.seed in axes.seeds,
            "tuning: seed: is one of the grid's seeds, so the choice would be made on what it is tested with",
            "take another",
        ),
    )
    for holds, fault, hint in faults:
        if holds:
            raise RecipeError(f"{where}: {fault}", hint=hint)
    for text, (a, b) in zip(axes.contrasts, grid.contrasts, strict=True):
        for method in (a, b):
            if method not in grid.methods:
                raise RecipeError(
                    f"{where}: contrasts: {text!r} names no method {method!r}", hint=f"one of {', '.join(grid.methods)}"
                )


def _check_suites(grid: Grid, path: Path) -> None:
    """The suites that a grid's own decisions and figures are made on."""
    wanted = (
        ("ablation: tuning", grid.axes.tuning.suites, "heldout", "a checkpoint is chosen by its toxic share"),
        ("ablation: tuning", grid.axes.tuning.suites, "retention", "a checkpoint may forget only so much (max_loss)"),
        ("eval", grid.recipe.eval.suites, "heldout", "every figure of a grid is made on it"),
    )
    for section, suites, name, why in wanted:
        if name not in {chosen_name(SUITES, suite) for suite in suites}:
            raise RecipeError(f"{path}: {section}: suites: {name!r} is missing ({why})", hint=f"add {name!r} to suites")


def _ascends(values: Sequence[float]) -> bool:
    return list(values) == sorted(set(values))
