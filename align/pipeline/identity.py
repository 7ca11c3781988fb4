"""What names a run: its key, the versions it rests on, its folder."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from align.data.dataset import Dataset
from align.data.results import FORMAT
from align.evaluation.judges import labeler_name, panel
from align.pipeline.recipe import Recipe, resolved
from curate.core.schema import canonical, digest

RECORDED = ("margins", "torch", "transformers", "tokenizers")
"""Packages whose version can move a figure."""


def run_key(recipe: Recipe, dataset: Dataset) -> dict[str, object]:
    """Everything that decides a run's figures; where the data lie and who follows is left out, what the data are is in."""
    tree = resolved(recipe)
    del tree["data"], tree["log"]
    judges = panel(recipe.eval.judge, recipe.eval.truth, recipe.eval.others)
    return {
        "recipe": tree,
        "data": dataset.fingerprint,
        **({"model_files": named} if (named := recipe.model.identity()) else {}),
        "judges": {role: [labeler_name(judge), list(judge.models), judge.threshold] for role, judge in judges.items()},
        "suites": [suite.VERSION for suite in recipe.eval.suites],
        "versions": versions(recipe),
        "format": FORMAT,
    }


def versions(recipe: Recipe) -> dict[str, str]:
    """Versions of the packages that can move a figure."""
    chosen = [name for name, used in (("trl", recipe.engine == "trl"), ("vllm", uses_vllm(recipe))) if used]
    return {name: importlib.metadata.version(name) for name in (*RECORDED, *chosen)}


def uses_vllm(recipe: Recipe) -> bool:
    """Whether vLLM draws the completions."""
    return recipe.eval.sampling.backend == "vllm"


def run_folder(runs: Path, recipe: Recipe, key: Mapping[str, object]) -> Path:
    """`<runs>/<name>-<hash>`: the same recipe, data and versions have the same folder."""
    return runs / f"{recipe.name}-{digest(canonical(key), size=6)}"
