"""What a grid measured: the cells' figures from its ledger, and their completions from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from align.ablation.grid import Grid
from align.ablation.result import BEST, Results
from align.ablation.tasks import Wave, base_key, wave
from align.data.figures import JsonObject
from align.data.results import Checkpoint
from align.statistics.bootstrap import Floats

Verdicts = list[tuple[str, bool | None]]
"""Of each completion: its prompt's cluster, and whether the judge calls it toxic (None: no verdict)."""


@dataclass(frozen=True)
class ClusterCounts:
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
class Measurements:
    """A grid's results, as files and ledger hold them.

    Args:
        grid: what was swept.
        fixed: digest that keys are made with.
        done: results by key.
        folder: the grid's.
    """

    grid: Grid
    fixed: str
    done: Results
    folder: Path

    @cached_property
    def wave(self) -> Wave:
        """Keys of cells and trials."""
        return wave(self.grid, self.fixed, self.done)

    @cached_property
    def cells(self) -> dict[tuple[str, int, int], str]:
        """(method, size, seed) -> key, of finished cells."""
        return {(task.method, task.size, task.seed): key for key, task in self.wave.cells.items() if key in self.done}

    def keys(self, method: str, size: int) -> list[str]:
        """The finished cells of a method at a size, by seed."""
        places = [(method, size, seed) for seed in self.grid.axes.seeds]
        return [self.cells[place] for place in places if place in self.cells]

    @property
    def missing(self) -> list[tuple[str, int, int]]:
        """(method, size, seed) of the cells that are not done."""
        axes = self.grid.axes
        places = [(method, size, seed) for method in self.grid.methods for size in axes.sizes for seed in axes.seeds]
        return [place for place in places if place not in self.cells]

    @property
    def base(self) -> Checkpoint:
        """The base's figures on the test split."""
        return self._tested(base_key(self.grid, self.fixed), 0)

    def figures(self, key: str, view: str) -> Checkpoint:
        """A cell's figures on the test split."""
        return self._tested(key, self.done[key].views[view])

    def _tested(self, key: str, step: int) -> Checkpoint:
        figures = self.done[key].checkpoints[step].test
        assert figures is not None, "every view of a cell is tested"
        return Checkpoint.from_json({"name": key, **figures})

    def verdicts(self, key: str, view: str) -> Verdicts:
        """A cell's; where nothing was trained, those of what it started from."""
        step, task = self.done[key].views[view], self.wave.cells[key]
        if step == 0:
            return self.base_verdicts if task.parent is None else self.verdicts(task.parent, BEST)
        return self._read(key, step)

    @cached_property
    def base_verdicts(self) -> Verdicts:
        """The base's."""
        return self._read(base_key(self.grid, self.fixed), 0)

    def _read(self, key: str, step: int) -> Verdicts:
        path = self.folder / "cells" / key / f"test-{step}" / "heldout.jsonl"
        items: Iterable[JsonObject] = (json.loads(line) for line in path.read_text("utf-8").split("\n") if line)
        return [(item["cluster"], item["judge"]["toxic"]) for item in items]

    @cached_property
    def clusters(self) -> list[str]:
        """What prompts are drawn by, in order."""
        return sorted({cluster for cluster, _ in self.base_verdicts})

    def counts(self, view: str) -> ClusterCounts:
        """Every cell's completions of a view, by cluster."""
        axes = self.grid.axes
        shape = (len(self.grid.methods), len(axes.sizes), len(axes.seeds), len(self.clusters))
        hits, trials = np.zeros(shape), np.zeros(shape)
        for (method, size, seed), key in self.cells.items():
            place = self.grid.methods.index(method), axes.sizes.index(size), axes.seeds.index(seed)
            hits[place], trials[place] = self._count(self.verdicts(key, view))
        return ClusterCounts(hits, trials, *self._count(self.base_verdicts))

    def _count(self, verdicts: Verdicts) -> tuple[Floats, Floats]:
        at = {cluster: index for index, cluster in enumerate(self.clusters)}
        hits, trials = np.zeros(len(at)), np.zeros(len(at))
        for cluster, toxic in verdicts:
            if toxic is not None:
                hits[at[cluster]] += toxic
                trials[at[cluster]] += 1
        return hits, trials
