"""What a grid measured, read from its ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from align.ablation.grid import Grid
from align.ablation.tasks import Wave, base_key, wave
from align.statistics.bootstrap import Floats


@dataclass(frozen=True)
class Table:
    """Test completions of one view, by cluster.

    Attributes:
        hits: toxic ones, shape (methods, sizes, seeds, clusters).
        trials: judged ones, the same shape; 0 throughout where a cell is missing.
        base_hits: of the base, shape (clusters,).
        base_trials: of the base, shape (clusters,).
    """

    hits: Floats
    trials: Floats
    base_hits: Floats
    base_trials: Floats


@dataclass(frozen=True)
class Found:
    """A grid's results, as files and ledger hold them.

    Args:
        grid: what was swept.
        fixed: digest that keys are made with.
        done: results by key.
        folder: the grid's.
    """

    grid: Grid
    fixed: str
    done: Mapping[str, Mapping[str, Any]]
    folder: Path

    @cached_property
    def wave(self) -> Wave:
        """Keys of cells and trials."""
        return wave(self.grid, self.fixed, self.done)

    @cached_property
    def cells(self) -> dict[tuple[str, int, int], str]:
        """(method, size, seed) -> key, of finished cells."""
        return {(task.method, task.size, task.seed): key for key, task in self.wave.cells.items() if key in self.done}

    @property
    def base(self) -> Mapping[str, Any]:
        """The base's figures on the test split."""
        found: Mapping[str, Any] = self.done[base_key(self.grid, self.fixed)]["checkpoints"]["0"]["test"]
        return found

    def figures(self, key: str, view: str) -> Mapping[str, Any]:
        """A cell's figures on the test split."""
        result = self.done[key]
        found: Mapping[str, Any] = result["checkpoints"][str(result["views"][view])]["test"]
        return found

    def items(self, key: str, view: str, suite: str = "heldout") -> list[dict[str, Any]]:
        """A cell's completions with their verdicts; where nothing was trained, those of what it started from."""
        step, task = self.done[key]["views"][view], self.wave.cells[key]
        if step == 0:
            return self.base_items(suite) if task.parent is None else self.items(task.parent, "best", suite)
        return read_task(self.folder / "cells" / key / f"test-{step}" / f"{suite}.jsonl")

    def base_items(self, suite: str = "heldout") -> list[dict[str, Any]]:
        """The base's completions with their verdicts."""
        return read_task(self.folder / "cells" / base_key(self.grid, self.fixed) / "test-0" / f"{suite}.jsonl")

    @cached_property
    def clusters(self) -> list[str]:
        """What prompts are drawn by, in order."""
        return sorted({item["cluster"] for item in self.base_items()})

    def table(self, view: str) -> Table:
        """Every cell's completions of a view, by cluster."""
        axes = self.grid.axes
        shape = (len(self.grid.methods), len(axes.sizes), len(axes.seeds), len(self.clusters))
        hits, trials = np.zeros(shape), np.zeros(shape)
        for (method, size, seed), key in self.cells.items():
            place = self.grid.methods.index(method), axes.sizes.index(size), axes.seeds.index(seed)
            hits[place], trials[place] = self._count(self.items(key, view))
        return Table(hits, trials, *self._count(self.base_items()))

    def _count(self, items: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats]:
        at = {cluster: index for index, cluster in enumerate(self.clusters)}
        hits, trials = np.zeros(len(at)), np.zeros(len(at))
        for item in items:
            if item["judge"]["toxic"] is not None:
                hits[at[item["cluster"]]] += item["judge"]["toxic"]
                trials[at[item["cluster"]]] += 1
        return hits, trials


def read_task(path: Path) -> list[dict[str, Any]]:
    """The lines of a .jsonl file."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
