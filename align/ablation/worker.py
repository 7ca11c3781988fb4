"""One warm process: the base model, the tokenised pool and the suites' prompts stay in memory while it trains cell after cell."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.ablation.cost import Weights, spent, weights_of
from align.ablation.grid import Grid
from align.ablation.ledger import Ledger
from align.ablation.pool import Pool, open_pool
from align.ablation.tasks import BASE, Task, base_key, choose_checkpoint, fixed_part, wave
from align.data.dataset import open_dataset
from align.data.run_folder import read_metrics
from align.evaluation.judges import panel
from align.evaluation.suites import SUITES, Subject
from align.models.base import base_of, put, trainable
from align.pipeline.identity import versions
from align.training.plan import Plan, make_plan
from curate.core.config import chosen_name
from curate.core.errors import NonFiniteError, UserError
from curate.core.schema import canonical, digest
from curate.core.store import locked, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from align.data.rows import Rows
    from align.models.loaded import LoadedModel
    from align.objectives.phase import Phase

IDLE = 0.2  # seconds between looks at the ledger while others work on what this worker waits for
STABILITY = ("loss", "grad_norm", "kl", "kl_raw", "rewards/margins", "logps/chosen", "logps/rejected")
"""What is kept of every step."""


class Worker:
    """Carries tasks out; what it holds in memory is derived from the grid alone.

    Args:
        grid: what is swept.
        folder: the grid's.
        cache: what grids and runs share on disk.
    """

    def __init__(self, grid: Grid, folder: Path, cache: Path) -> None:
        """Open the dataset; models are loaded with the first task."""
        self.grid, self.folder, self.cache = grid, folder, cache
        self.dataset = open_dataset(Path(grid.recipe.data))
        fixed = fixed_part(grid, self.dataset.fingerprint, versions(grid.recipe))
        named = grid.recipe.model.identity()
        self.fixed = digest(canonical(fixed), *([named] if named else []))
        self.judges = panel(grid.recipe.eval.judge, grid.recipe.eval.truth, grid.recipe.eval.others)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The base model, in memory once."""
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(self.grid.recipe.threads)
        loaded: LoadedModel = self.grid.recipe.model.load(self.dataset, self.cache, self.grid.recipe.seed)
        return loaded

    @cached_property
    def start(self) -> dict[str, Tensor]:
        """The base's trainable weights, to go back to."""
        return trainable(self.loaded.model)

    @cached_property
    def weights(self) -> Weights:
        """What a token passes through."""
        return weights_of(self.loaded.model)

    @cached_property
    def pool(self) -> Pool:
        """Every labelled completion that the grid may draw, tokenised."""
        return open_pool(self.dataset, self.loaded.tokenizer, benign=self.grid.axes.benign > 0)

    def work(self, ledger: Ledger, tick: Callable[[], None]) -> None:
        """Take task after task until nothing is left that could still become ready."""
        while True:
            found = wave(self.grid, self.fixed, ledger.done())
            claimed = ledger.claim(found.ready)
            if claimed is None:
                if not ledger.counts().get("running"):
                    return
                time.sleep(IDLE)
                tick()
                continue
            key, task = claimed
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                result = self.run(key, task, ledger.done())
            except UserError as error:
                if error.exit_code in {130, 143}:  # told to stop
                    raise
                ledger.fail(key, str(error))
            except Exception as error:  # whatever one cell met, the others go on; the report names it
                ledger.fail(key, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            else:
                ledger.finish(key, result, round(time.process_time() - cpu, 3), round(time.perf_counter() - wall, 3))
            tick()

    def run(self, key: str, task: Task, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Carry one task out, from what an interrupted call left.

        Args:
            key: the task's name; its folder's too.
            task: what to do.
            done: results of finished tasks; the parent's and the base's are read.
        """
        folder = self.folder / "cells" / key
        with locked(folder):
            if task.method == BASE:
                self._load(self.start)
                found = {split: self._measure(folder, 0, split, drift=split == "test") for split in ("validation", "test")}
                return {"checkpoints": {"0": found}}
            return self._cell(folder, task, done)

    def _cell(self, folder: Path, task: Task, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        base = done[base_key(self.grid, self.fixed)]["checkpoints"]["0"]
        phase = self.grid.phase(task.method, task.rate)
        mixed = self.pool.mixture(phase.objective, task.seed, task.size, self.grid.axes.benign)
        rows = self.pool.rows_for(phase.objective, mixed)
        plan = make_plan(rows, phase, task.seed)
        before = done[task.parent] if task.parent is not None else None
        flops = spent(self.weights, rows, plan, reference="reference" in phase.objective.needs)
        earlier = 0 if before is None else int(before["checkpoints"][str(before["views"]["best"])]["flops"])
        at = {"epochs": self._epoch_step(plan, rows, phase), "flops": self._flops_step(flops, earlier)}
        axes = self.grid.axes
        diverged = self._train(folder, task, rows, phase, plan, {*axes.checkpoints, *at.values()} - {0})
        measured = {
            0: base["validation"] if before is None else before["checkpoints"][str(before["views"]["best"])]["validation"]
        }
        reached = [step for step in axes.checkpoints if self._snapshot(folder, step).is_file()]
        for step in reached:
            self._load(self._read(folder, step))
            measured[step] = self._measure(folder, step, "validation")
        checkpoints: dict[str, dict[str, Any]] = {
            str(step): {"flops": earlier + flops[step], "validation": found} for step, found in measured.items()
        }
        views = {"best": choose_checkpoint(checkpoints, base["validation"], axes.tuning.max_loss)} | at
        lines = read_metrics(folder / "train" / "metrics.jsonl")
        result = {
            "views": views,
            "checkpoints": checkpoints,
            "prompts": len({rows.prompt_keys[at] for at in range(len(rows))}),
            "completions": task.size,
            "pairs": len(mixed.pairs),
            "benign": len(mixed.benign),
            "tokens": sum(rows.lengths),
            "steps": {name: [line.get(name) for line in lines] for name in STABILITY if any(name in line for line in lines)},
            "beta": getattr(phase.objective, "beta", None),
            "diverged": diverged,
        }
        if not task.trial:
            self._test(folder, result, base, before, [earlier + total for total in flops])
        self._clean(folder, keep=views["best"] if task.method == "sft" else None)
        return result

    def _test(
        self,
        folder: Path,
        result: dict[str, Any],
        base: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        spending: list[int],
    ) -> None:
        """Measure what the views show on the test split; a step that was not reached takes the last that was."""
        steps = sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("step-*.safetensors"))
        for view, step in result["views"].items():
            reached = max([0, *(other for other in steps if other <= step)])
            result["views"][view] = reached
            entry = result["checkpoints"].setdefault(str(reached), {"flops": spending[reached]})
            if "test" in entry:
                continue
            if reached == 0:
                entry["test"] = base["test"] if before is None else before["checkpoints"][str(before["views"]["best"])]["test"]
                continue
            self._load(self._read(folder, reached))
            entry["test"] = self._measure(folder, reached, "test", drift=view == "best")

    def _epoch_step(self, plan: Plan, rows: Rows, phase: Phase) -> int:
        """The step that ends the view's epochs, at most the cap."""
        per_epoch = math.ceil(plan.rows / (phase.batch_size // 2 * 2 if "paired" in phase.objective.needs else phase.batch_size))
        return min(self.grid.axes.steps, max(1, math.ceil(self.grid.axes.epochs * per_epoch)))

    def _flops_step(self, flops: list[int], earlier: int) -> int:
        """The last step within the view's budget; 0 where what came before has spent it."""
        batch = next(phase for phase in self.grid.axes.objectives).batch_size
        tokens = round(self.pool.mean_tokens * batch * self.grid.axes.steps)
        scored = round(tokens * sum(map(len, self.pool.rows.completions)) / sum(self.pool.rows.lengths))
        budget = self.grid.axes.flops * self.weights.flops(tokens, scored, 6)
        return max(step for step, total in enumerate(flops) if step == 0 or earlier + total <= budget)

    def _train(self, folder: Path, task: Task, rows: Rows, phase: Phase, plan: Plan, steps: set[int]) -> str | None:
        """Train up to the cap and keep the weights at `steps`; returns why it ended early, or None."""
        from safetensors.torch import load_file, save

        from align.training.job import TrainingJob
        from align.training.trainer import train

        if (folder / "trained.json").is_file():
            found: str | None = json.loads((folder / "trained.json").read_bytes())
            return found
        self._load(self.start if task.parent is None else load_file(self.folder / "cells" / task.parent / "model.safetensors"))

        def keep(line: Mapping[str, float]) -> None:
            step = int(line["step"])
            if step in steps:
                write_bytes(self._snapshot(folder, step), save(trainable(self.loaded.model)))

        diverged = None
        try:
            every = math.gcd(*steps) if steps else 1
            train(
                TrainingJob(
                    self.loaded.model,
                    rows,
                    phase,
                    folder / "train",
                    task.seed,
                    log=keep,
                    threads=self.grid.recipe.threads,
                    log_every=every,
                    cache=self._reference(rows, plan, phase),
                )
            )
        except NonFiniteError as error:  # a rate that is too high is a finding, not a failure
            diverged = str(error)
        write_json(folder / "trained.json", diverged)
        return diverged

    def _reference(self, rows: Rows, plan: Plan, phase: Phase) -> Path:
        """Where runs of one plan share the reference's log-probabilities: trials at several rates, objectives of like needs.

        Runs of other plans lay rows in other passes, and their sums differ in the last bits: were those shared, a report
        would depend on which run came first.
        """
        batches = [[batch.rows, batch.partners] for batch in plan.batches]
        return self.folder / "reference" / digest(self.fixed, canonical(batches), canonical(rows.ids), str(phase.token_budget))

    def _measure(self, folder: Path, step: int, split: str, *, drift: bool = False) -> dict[str, Any]:
        """Figures of the weights as they are, with the distance from the base where asked for; what an interrupt left stands."""
        path = folder / f"{split}-{step}"
        if (path / "measured.json").is_file():
            found: dict[str, Any] = json.loads((path / "measured.json").read_bytes())
            return found
        suites = self.grid.recipe.eval.suites if split == "test" else self.grid.axes.tuning.suites
        subject = Subject(
            model=self.loaded.model,
            tokenizer=self.loaded.tokenizer,
            dataset=self.dataset,
            judges=self.judges,
            sampling=self.grid.recipe.eval.sampling,
            seed=self.grid.recipe.seed,
            split="test" if split == "test" else "validation",
            base=base_of(self.loaded.model, self.start) if drift else None,
            folder=path,
        )
        figures: dict[str, Any] = {}
        for suite in suites:
            name = chosen_name(SUITES, suite)
            measured = suite(subject)
            if split == "test":  # validation only chooses; its items are never read again
                write_text(
                    path / f"{name}.jsonl", "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in measured.items)
                )
            figures[name] = measured.values
        write_json(path / "measured.json", figures)
        return figures

    def _clean(self, folder: Path, keep: int | None) -> None:
        """Take weights away that nobody starts from."""
        if keep:
            os.replace(self._snapshot(folder, keep), folder / "model.safetensors")
        elif keep == 0:
            from safetensors.torch import save

            write_bytes(folder / "model.safetensors", save(self.start))
        for path in folder.glob("step-*.safetensors"):
            path.unlink()
        shutil.rmtree(folder / "train", ignore_errors=True)

    def _snapshot(self, folder: Path, step: int) -> Path:
        return folder / f"step-{step}.safetensors"

    def _read(self, folder: Path, step: int) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        return load_file(self._snapshot(folder, step))

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        self.start  # noqa: B018 - copied before anything is changed
        put(self.loaded.model, weights)


def run_worker(grid: Grid, folder: Path, cache: Path, number: int) -> None:
    """Entry of a worker process: work until nothing is left; what it says goes to `worker-<number>.log`."""
    from align.training.checkpoints import Interrupted

    sys.stderr = (folder / f"worker-{number}.log").open("a", encoding="utf-8", buffering=1)
    _die_with(os.getppid())
    try:
        Worker(grid, folder, cache).work(Ledger(folder / "ledger.sqlite"), lambda: None)
    except (Interrupted, KeyboardInterrupt):
        os._exit(130)


def _die_with(parent: int) -> None:
    """End this process soon after its parent: two grids must not work on one folder."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
