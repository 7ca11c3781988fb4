"""One recipe, from base model to table: load, train phase by phase, evaluate every checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from align.data.dataset import Dataset, open_dataset, phase_rows, training_rows
from align.data.results import Checkpoint, DataName, PhaseResult, RunResults
from align.data.run_folder import RECIPE, RESULTS, read_measured, read_metrics, read_results, write_measured, write_results
from align.evaluation.belief import judge_belief, judge_warnings, with_own_truth
from align.evaluation.judges import panel
from align.evaluation.measure import measure
from align.evaluation.suites import SUITES, Subject
from align.models import vllm as vllm_backend
from align.models.base import base_of, trainable
from align.objectives.phase import Phase
from align.pipeline.clock import Clock
from align.pipeline.identity import run_folder, run_key, uses_vllm
from align.pipeline.preview import check_questions, few_rows
from align.pipeline.recipe import Recipe, phase_names, resolved
from align.processes import ranks
from align.report.page import report
from align.training import trackers, trl_engine
from curate.core.config import chosen_name
from curate.core.store import locked, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from align.models.loaded import LoadedModel


class FinishedRun(NamedTuple):
    """What stands after a call.

    Attributes:
        folder: the run's.
        results: its figures.
        unchanged: whether there was nothing left to do.
    """

    folder: Path
    results: RunResults
    unchanged: bool


def run(recipe: Recipe, runs: Path, say: Callable[[str], None], *, cpu_since: float = 0.0) -> FinishedRun:
    """Carry a recipe out, or go on where it was stopped.

    Of several processes (see `align.processes.ranks`) all train; the main one alone locks, writes and evaluates.

    Args:
        recipe: what to do.
        runs: folder of run folders; `cache/` in it holds what runs share.
        say: called with one line as each step begins.
        cpu_since: `time.process_time()` at which this run's work began; 0 counts the imports of a fresh process too.

    Raises:
        UserError: the data, the recipe or the disk cannot give what was asked; what was finished stays.
    """
    trackers.check(recipe.log)
    if uses_vllm(recipe):
        vllm_backend.require()
    dataset = open_dataset(Path(recipe.data))
    check_questions(recipe.eval, dataset)
    options, lines = with_own_truth(recipe.eval, dataset)
    recipe = replace(recipe, eval=options)
    warnings = [*judge_warnings(recipe.eval, dataset), *_few_rows(recipe, dataset)]
    key = run_key(recipe, dataset)
    folder = run_folder(runs, recipe, key)
    if ranks.on_main((folder / RESULTS).is_file):
        return FinishedRun(folder, ranks.on_main(lambda: read_results(folder)), unchanged=True)
    for line in (*lines, *(f"warning: {warning}" for warning in warnings)):
        say(line)
    with ExitStack() as stack:
        ranks.on_main(lambda: _open(folder, recipe, stack))
        clock = Clock(folder / "cpu_seconds.json", cpu_since)
        work = _Work(recipe, dataset, folder, runs / "cache", clock, say)
        loaded, start = work.load()
        first = "base" if recipe.phases and loaded.start is None else loaded.name
        checkpoints = [work.evaluate(loaded, loaded.start, "base", first)]
        phases = []
        for at, (name, phase) in enumerate(zip(phase_names(recipe), recipe.phases, strict=True), start=1):
            phases.append(work.train(loaded, name, phase))
            label = "after " + " + ".join(phase.name for phase in recipe.phases[:at])
            checkpoints.append(work.evaluate(loaded, start, name, label))
        with clock("judging"):
            belief = ranks.on_main(lambda: judge_belief(recipe.eval, dataset))
        data = DataName(recipe.data, dataset.manifest.name, dataset.fingerprint)
        results = RunResults(recipe.name, recipe.seed, loaded.name, data, phases, checkpoints, belief, warnings, clock.parts, key)
        ranks.on_main(lambda: _close(folder, results))
    return FinishedRun(folder, ranks.on_main(lambda: results), unchanged=False)


def _few_rows(recipe: Recipe, dataset: Dataset) -> list[str]:
    return [
        line
        for name, phase in zip(phase_names(recipe), recipe.phases, strict=True)
        for line in few_rows(name, phase, training_rows(dataset, phase.objective.needs))
    ]


def _open(folder: Path, recipe: Recipe, stack: ExitStack) -> None:
    """Lock the folder for as long as the stack stands, and note what is to be done in it."""
    stack.enter_context(locked(folder))
    write_text(folder / RECIPE, yaml.safe_dump(resolved(recipe), sort_keys=False, allow_unicode=True))


def _close(folder: Path, results: RunResults) -> None:
    """The report, then the figures that say that the run is finished."""
    write_text(folder / "report.html", report(results, folder))
    write_results(folder, results)


@dataclass(frozen=True)
class _Work:
    """The steps of one run; see `run` for the fields."""

    recipe: Recipe
    dataset: Dataset
    folder: Path
    cache: Path
    clock: Clock
    say: Callable[[str], None]

    def load(self) -> tuple[LoadedModel, Mapping[str, Tensor]]:
        """The base model, and the weights that distances are measured from once it has been trained."""
        with self.clock("start"):
            import torch
            from transformers.utils import logging

            from align.training import trainer  # noqa: F401 - its imports are counted here

            logging.disable_progress_bar()
            torch.set_num_threads(self.recipe.threads)
        with self.clock("base"):
            self.say("base model")
            loaded: LoadedModel = ranks.main_first(lambda: self.recipe.model.load(self.dataset, self.cache, self.recipe.seed))
            if loaded.start is not None:
                return loaded, loaded.start
            return loaded, trainable(loaded.model) if ranks.is_main() and self.recipe.phases else {}

    def train(self, loaded: LoadedModel, name: str, phase: Phase) -> PhaseResult:
        """Train the model in place by one phase."""
        from align.training.job import TrainingJob
        from align.training.trainer import train

        recipe, folder = self.recipe, self.folder / name
        with self.clock(name):
            rows = phase_rows(self.dataset, phase.objective.needs, loaded.tokenizer)
            self.say(f"{name}: {len(rows):,} rows")
            job = TrainingJob(
                loaded.model, rows, phase, folder, recipe.seed,
                threads=recipe.threads, cache=self.cache / "reference", trackers=trackers.trackers(recipe.log, folder),
            )  # fmt: skip
            done = trl_engine.train(job, loaded.tokenizer) if recipe.engine == "trl" else train(job)
        for line in [*(f"{line}; an earlier checkpoint was used" for line in done.damaged), *done.notes]:
            self.say(f"{name}: {line}")
        mean = ranks.on_main(partial(_mean_beta_kl, folder / "metrics.jsonl", phase))
        return PhaseResult(name, done.steps, done.rows, done.left_out, done.metrics, mean)

    def evaluate(self, loaded: LoadedModel, start: Mapping[str, Tensor] | None, place: str, label: str) -> Checkpoint:
        """Figures of the model as it is now; those that an earlier call left stay as they are.

        Args:
            loaded: the model.
            start: the base's weights; None: it is the base.
            place: the checkpoint's folder in the run's.
            label: what tables call it.
        """
        return ranks.on_main(partial(self._evaluate, loaded, start, self.folder / place, label))

    def _evaluate(self, loaded: LoadedModel, start: Mapping[str, Tensor] | None, folder: Path, label: str) -> Checkpoint:
        options = self.recipe.eval
        if (kept := read_measured(folder, [chosen_name(SUITES, suite) for suite in options.suites])) is not None:
            return kept
        self.say(f"evaluating: {label}")
        with self.clock("evaluation"):
            base = base_of(loaded.model, start) if start is not None else loaded.model if self.recipe.phases else None
            judges = panel(options.judge, options.truth, options.others)
            subject = Subject(
                loaded.model, loaded.tokenizer, self.dataset, judges, options.sampling, self.recipe.seed, base=base, folder=folder
            )
            checkpoint = Checkpoint.from_json({"name": label} | measure(options.suites, subject, folder))
            write_measured(folder, checkpoint)
        return checkpoint


def _mean_beta_kl(path: Path, phase: Phase) -> float | None:
    """Mean over the steps of beta times z, z clamped at 0; None where the objective has no z."""
    if "kl" not in phase.objective.reads:
        return None
    kls = [line["kl"] for line in read_metrics(path) if "kl" in line]
    return float(phase.objective.beta) * sum(kls) / len(kls) if kls else None
