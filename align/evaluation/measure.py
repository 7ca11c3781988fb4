"""One checkpoint measured by every suite, kept when done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from align.data.dataset import Dataset
from align.evaluation.judges import panel
from align.evaluation.suites import SUITES, Subject
from align.models.base import base_of
from align.models.loaded import Loaded
from align.pipeline.recipe import Recipe
from align.pipeline.run import _Clock
from curate.core.config import chosen_name
from curate.core.store import write_json, write_text

MEASURED = "measured.json"


def measure(
    recipe: Recipe,
    dataset: Dataset,
    loaded: Loaded,
    start: Mapping[str, Tensor] | None,
    folder: Path,
    label: str,
    clock: _Clock,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Figures of one checkpoint, `start` being the base's weights (None: it is the base); an earlier call's stay as they are."""
    if (folder / MEASURED).is_file():
        found: dict[str, Any] = json.loads((folder / MEASURED).read_bytes())
        return found
    say(f"evaluating: {label}")
    with clock("evaluation"):
        judges = panel(recipe.eval.judge, recipe.eval.truth, recipe.eval.others)
        base = base_of(loaded.model, start) if start is not None else loaded.model if recipe.phases else None
        subject = Subject(
            loaded.model, loaded.tokenizer, dataset, judges, recipe.eval.sampling, recipe.seed, base=base, folder=folder
        )
        figures: dict[str, Any] = {"name": label}
        for suite in recipe.eval.suites:
            name = chosen_name(SUITES, suite)
            measured = suite(subject)
            write_text(folder / f"{name}.jsonl", "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in measured.items))
            figures[name] = measured.values
        write_json(folder / MEASURED, figures)
    return figures
