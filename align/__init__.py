"""Preference data to a safer model, with confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from curate.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    from align.pipeline.recipe import Recipe
    from align.report.frames import Grid, Run
    from curate.core.progress import Listener

__all__ = ["UserError", "ablate", "evaluate", "open", "run"]


class Folder(Protocol):
    """What lies in a folder: a dataset that `curate.build` gave, a run that `align.run` gave."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...


def run(
    recipe: str | PathLike[str],
    *,
    data: str | PathLike[str] | Folder | None = None,
    settings: Mapping[str, object] | None = None,
    runs: str | PathLike[str] = "runs",
    progress: Listener | None = None,
) -> Run:
    """Train and evaluate what a recipe says.

    Stopped at any time, the same call goes on where it was; done already, it only opens what is there.

    Args:
        recipe: a YAML file, or the name of a recipe that ships: "kto_s".
        data: a dataset that `curate.build` gave, or its folder, in place of the recipe's.
        settings: changes to the recipe by key, such as `{"seed": 1, "phases.kto_s.beta": 0.2}`.
        runs: folder that run folders are made in.
        progress: called with every step in place of bars and lines on the terminal; `print` will do.

    Returns:
        The run, with its figures, steps and completions as polars frames.

    Raises:
        UserError: the data, the recipe or the disk cannot give what was asked; what was finished stays.

    Example:
        >>> run = align.run("tiny.yaml", data=dataset, settings={"seed": 0})
        >>> run.table.columns[:4]
        ['checkpoint', 'toxic', 'toxic_low', 'toxic_high']
    """
    from pathlib import Path

    from align.pipeline.recipe import read_recipe

    return _run(read_recipe(Path(recipe), _sets(settings, data=data)), runs, progress)


def evaluate(
    model: str | PathLike[str] | Folder,
    *,
    recipe: str | PathLike[str] | None = None,
    data: str | PathLike[str] | Folder | None = None,
    suites: Sequence[str] = (),
    judge: str | None = None,
    settings: Mapping[str, object] | None = None,
    runs: str | PathLike[str] = "runs",
    progress: Listener | None = None,
) -> Run:
    """Judge a model as it is; nothing is trained.

    Args:
        model: a run or its folder (its last phase; `"RUN:kto_s"` for another), a model's folder, a Hub id, or "builtin:tiny".
        recipe: whose data, suites, judges and sampling are taken; by default the run's own, else plain ones.
        data: a dataset or its folder, in place of the recipe's.
        suites: names of suites in place of the recipe's.
        judge: in place of the recipe's judge; not the labeler that built the data.
        settings: changes to the recipe by key, such as `{"eval.sampling.samples": 5}`.
        runs: folder that run folders are made in.
        progress: called with every step in place of bars and lines on the terminal.

    Returns:
        A run of one checkpoint.

    Raises:
        UserError: the model, the data or the recipe cannot give what was asked.

    Example:
        >>> align.evaluate(run, suites=["retention"]).table["checkpoint"].to_list()
        ['...: 2-kto_s']
    """
    from pathlib import Path

    from align.pipeline.recipe import eval_recipe

    source = None if recipe is None else Path(recipe)
    place = None if data is None else _place(data)
    judging = eval_recipe(_place(model), source, _sets(settings), data=place, suites=suites, judge=judge)
    return _run(judging, runs, progress)


def ablate(
    recipe: str | PathLike[str],
    *,
    data: str | PathLike[str] | Folder | None = None,
    settings: Mapping[str, object] | None = None,
    runs: str | PathLike[str] = "runs",
    workers: int = 1,
    progress: Listener | None = None,
) -> Grid:
    """Data size x objective x with and without SFT x seed: how many labels does each need?

    Stopped at any time, the same call fills what is missing or failed.

    Args:
        recipe: a YAML file with a grid, or the name of one that ships: "ablation".
        data: a dataset or its folder, in place of the recipe's.
        settings: changes to the recipe by key, such as `{"ablation.seeds": [0, 1]}`.
        runs: folder that the grid's folder is made in.
        workers: processes that train side by side.
        progress: called with every step in place of bars and lines on the terminal.

    Returns:
        The grid, with its table and contrasts as polars frames.

    Raises:
        UserError: the data or the recipe cannot give what was asked, before anything is trained.
    """
    from pathlib import Path

    from align.ablation.ablate import ablate as run_grid
    from align.ablation.ablate import conclude
    from align.ablation.grid import read_grid
    from align.report.frames import Grid
    from curate.core.progress import listening

    _settle()
    grid = read_grid(Path(recipe), _sets(settings, data=data))
    with listening(progress):
        finished = run_grid(grid, Path(runs), _say(progress), workers=workers)
        conclude(grid, finished)
    return Grid(finished.folder)


def open(folder: str | PathLike[str]) -> Run:
    """Open the folder of a finished run.

    Args:
        folder: what `align run` printed, under `runs/`.

    Returns:
        The run.

    Raises:
        UserError: no finished run lies there.

    Example:
        >>> align.open(run.folder).results["seed"]
        0
    """
    from pathlib import Path

    from align.report.frames import Run

    return Run(Path(folder))


def _run(recipe: Recipe, runs: str | PathLike[str], progress: Listener | None) -> Run:
    import time
    from pathlib import Path

    from align.pipeline.run import run as carry_out
    from align.report.frames import Run
    from curate.core.progress import listening

    _settle()
    with listening(progress):
        folder, *_ = carry_out(recipe, Path(runs), _say(progress), cpu_since=time.process_time())
    return Run(folder)


def _settle() -> None:
    from curate.core.command import settle

    settle()


def _say(progress: Listener | None) -> Callable[[str], None]:
    """What the pipeline tells in one line, as a step; on standard error where nobody listens."""
    import sys

    from curate.core.progress import Step

    def say(line: str) -> None:
        if progress is None:
            sys.stderr.write(line + "\n")
        else:
            progress(Step(line))

    return say


def _place(value: str | PathLike[str] | Folder) -> str:
    import os

    return os.fspath(value) if isinstance(value, (str, os.PathLike)) else str(value.folder)


def _sets(settings: Mapping[str, object] | None, data: str | PathLike[str] | Folder | None = None) -> list[str]:
    """Settings as the command line writes them."""
    import json

    changes = {**(settings or {}), **({} if data is None else {"data": _place(data)})}
    return [f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in changes.items()]
