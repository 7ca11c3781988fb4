"""Raw text to paired and unpaired preference data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from curate.core.progress import Listener
    from curate.dataset.look.frames import Dataset, Text
    from curate.pipeline.recipe import BuildRecipe

__all__ = ["Dataset", "UserError", "build", "inspect", "open"]
__version__ = "0.1.0"


def build(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    recipe: str | PathLike[str] = "singlish",
    settings: Mapping[str, object] | None = None,
    work: str | PathLike[str] | None = None,
    limit: int | None = None,
    progress: Listener | None = None,
) -> Dataset:
    """Turn a folder of raw text into preference data.

    Stopped at any time, the same call goes on where it was; done already, it does nothing.

    Args:
        source: folder of raw files; "examples/raw" ships.
        out: dataset folder to make, or one that an earlier build made; safe to share.
        recipe: a YAML file, or the name of a recipe that ships.
        settings: changes to the recipe by key, such as `{"stages.near_duplicates.threshold": 0.7}`.
        work: where caches, raw parts and quarantine live; private. `<out>.work` by default.
        limit: read at most this many records.
        progress: called with every step in place of bars on the terminal: `label`, `done`, `total`, `unit`; `print` will do.

    Returns:
        The dataset, with its outputs as polars frames.

    Raises:
        UserError: the source, the recipe or the disk cannot give what was asked; what `out` held before is there still.

    Example:
        >>> dataset = curate.build("raw/", "pairs/", recipe="small.yaml", settings={"dataset.splits.test": 0.2})
        >>> dataset.paired.select("strategy", "margin", "split").head(1)
        shape: (1, 3)
        ┌─────────────┬────────┬───────┐
        │ strategy    ┆ margin ┆ split │
        │ ---         ┆ ---    ┆ ---   │
        │ str         ┆ f32    ┆ str   │
        ╞═════════════╪════════╪═══════╡
        │ same_prompt ┆ 1.0    ┆ train │
        └─────────────┴────────┴───────┘
    """
    from pathlib import Path

    from curate.core.command import settle
    from curate.core.progress import listening
    from curate.core.shipped import located
    from curate.dataset.look.frames import Dataset
    from curate.pipeline.build import build as build_dataset

    settle()
    with listening(progress):
        build_dataset(
            located(Path(source)), Path(out), _recipe(recipe, settings), work=None if work is None else Path(work), limit=limit
        )
    return Dataset(Path(out))


def open(folder: str | PathLike[str]) -> Dataset:
    """Open a dataset folder that a build made.

    Args:
        folder: what `curate build` called `--out`.

    Returns:
        The dataset; nothing but its manifest is read yet.

    Raises:
        UserError: no build made this folder.

    Example:
        >>> curate.open("pairs/").manifest["name"]
        'small'
    """
    from pathlib import Path

    from curate.dataset.look.frames import Dataset

    return Dataset(Path(folder))


def inspect(
    source: str | PathLike[str],
    *,
    recipe: str | PathLike[str] = "singlish",
    settings: Mapping[str, object] | None = None,
    limit: int = 1_000,
    show_text: bool = False,
) -> Text:
    """How each file of a raw folder would be read: its format, which column plays which role, what a label means.

    Args:
        source: folder of raw files; nothing is written.
        recipe: whose `sources` apply: a YAML file, or the name of a recipe that ships.
        settings: changes to the recipe by key.
        limit: records of each file to read.
        show_text: show a value of each column too; it may be toxic or personal.

    Returns:
        What `curate inspect` prints.

    Raises:
        UserError: no such folder, or a recipe that does not say what is needed.

    Example:
        >>> curate.inspect("raw/", recipe="small.yaml")
        file        container  format  encoding  records  rows  ...  labels ...
        talk.jsonl  plain      jsonl   utf-8         432   432  ...  ... 108 toxic, 108 not, 216 no label ...
    """
    from pathlib import Path

    from curate.core.command import settle
    from curate.core.shipped import located
    from curate.dataset.look.frames import Text
    from curate.raw.inspect import inspect as describe

    settle()
    sources = _recipe(recipe, settings).sources
    return Text(describe(located(Path(source)), sources=sources, limit=limit, show_text=show_text))


def _recipe(recipe: str | PathLike[str], settings: Mapping[str, object] | None) -> BuildRecipe:
    """A recipe by its file or bare name, with settings on top."""
    import json
    from pathlib import Path

    from curate.pipeline.recipe import read_recipe

    sets = [f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in (settings or {}).items()]
    return read_recipe(Path(recipe), sets)


def __getattr__(name: str) -> object:
    if name == "Dataset":  # a type is wanted rarely, and polars with it
        from curate.dataset.look.frames import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
