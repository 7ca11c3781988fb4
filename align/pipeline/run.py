"""One recipe, from base model to table: load, train phase by phase, evaluate every checkpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from align.data.dataset import Dataset, open_dataset, phase_rows
from align.data.run_folder import FORMAT, RESULTS, read_results
from align.evaluation.belief import judge_warnings, judged
from align.evaluation.measure import measure_checkpoint, measured_before
from align.models import vllm as vllm_backend
from align.models.base import base_of, trainable
from align.pipeline.identity import run_folder, run_key, uses_vllm
from align.pipeline.recipe import Recipe, phase_names, resolved
from align.processes import ranks
from align.report.page import report
from align.training import trackers, trl_engine
from curate.core.store import locked, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from align.models.loaded import Loaded


def run(recipe: Recipe, runs: Path, say: Callable[[str], None], *, cpu_since: float = 0.0) -> tuple[Path, dict[str, Any], bool]:
    """Carry a recipe out, or go on where it was stopped.

    Of several processes (see `align.processes.ranks`) all train; the main one alone locks, writes and evaluates.

    Args:
        recipe: what to do.
        runs: folder of run folders; `cache/` in it holds what runs share.
        say: called with one line as each step begins.
        cpu_since: `time.process_time()` at which this run's work began; 0 counts the imports of a fresh process too.

    Returns:
        The run's folder, its results, and whether there was nothing left to do.

    Raises:
        UserError: the data, the recipe or the disk cannot give what was asked; what was finished stays.
    """
    trackers.check(recipe.log)
    if uses_vllm(recipe):
        vllm_backend.require()
    dataset = open_dataset(Path(recipe.data))
    warnings = judge_warnings(recipe.eval, dataset)
    key = run_key(recipe, dataset)
    folder = run_folder(runs, recipe, key)
    if ranks.on_main((folder / RESULTS).is_file):
        return folder, ranks.on_main(lambda: read_results(folder)), True
    with ExitStack() as stack:
        ranks.on_main(lambda: _open(folder, recipe, stack))
        clock = _Clock(folder / "cpu_seconds.json", cpu_since)
        phases, checkpoints, model = _checkpoints(recipe, dataset, folder, runs / "cache", clock, say)
        with clock("judging"):
            belief = ranks.on_main(lambda: judged(recipe.eval, dataset))
        results = {
            "format": FORMAT,
            "name": recipe.name,
            "seed": recipe.seed,
            "model": model,
            "data": {"folder": recipe.data, "name": dataset.manifest.get("name", "dataset"), "fingerprint": dataset.fingerprint},
            "phases": phases,
            "checkpoints": checkpoints,
            **belief,
            "warnings": warnings,
            "cpu_seconds": clock.parts,
            "key": key,
        }
        ranks.on_main(lambda: _close(folder, results))
    return folder, ranks.on_main(lambda: results), False


def _open(folder: Path, recipe: Recipe, stack: ExitStack) -> None:
    """Lock the folder for as long as the stack stands, and note what is to be done in it."""
    stack.enter_context(locked(folder))
    write_text(folder / "recipe.yaml", yaml.safe_dump(resolved(recipe), sort_keys=False, allow_unicode=True))


def _close(folder: Path, results: dict[str, Any]) -> None:
    """The report, then the figures that say that the run is finished."""
    write_text(folder / "report.html", report(results, folder))
    write_json(folder / RESULTS, results)


def _checkpoints(
    recipe: Recipe, dataset: Dataset, folder: Path, cache: Path, clock: _Clock, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Train every phase, evaluate the base and what each phase leaves."""
    with clock("start"):
        import torch
        from transformers.utils import logging

        from align.training.trainer import train

        logging.disable_progress_bar()
        torch.set_num_threads(recipe.threads)
    with clock("base"):
        say("base model")
        loaded = ranks.main_first(lambda: recipe.model.load(dataset, cache, recipe.seed))
        start = loaded.start if loaded.start is not None else trainable(loaded.model) if ranks.is_main() and recipe.phases else {}
    first = "base" if recipe.phases and loaded.start is None else loaded.name
    checkpoints = [ranks.on_main(partial(_evaluate, recipe, dataset, loaded, loaded.start, folder / "base", first, clock, say))]
    phases = []
    for at, (name, phase) in enumerate(zip(phase_names(recipe), recipe.phases, strict=True)):
        with clock(name):
            rows = phase_rows(dataset, phase.objective.needs, loaded.tokenizer)
            say(f"{name}: {len(rows):,} rows")
            shared = cache / "reference"
            followed = trackers.trackers(recipe.log, folder / name)
            if recipe.engine == "trl":
                done = trl_engine.train(
                    loaded.model, rows, phase, folder / name, recipe.seed, loaded.tokenizer,
                    threads=recipe.threads, trackers=followed,
                )  # fmt: skip
            else:
                done = train(
                    loaded.model, rows, phase, folder / name, recipe.seed,
                    threads=recipe.threads, cache=shared, trackers=followed,
                )  # fmt: skip
        for line in [*(f"{line}; an earlier checkpoint was used" for line in done.damaged), *done.notes]:
            say(f"{name}: {line}")
        phases.append(
            {
                "folder": name,
                "steps": done.steps,
                "rows": done.rows,
                "left_out": done.left_out,
                "metrics": done.metrics,
                "kl_positive_share": done.metrics.get("kl_positive_share"),
                "mean_beta_kl": ranks.on_main(partial(_mean_beta_kl, folder / name / "metrics.jsonl", phase.objective)),
            }
        )
        label = "after " + " + ".join(phase.name for phase in recipe.phases[: at + 1])
        checkpoints.append(ranks.on_main(partial(_evaluate, recipe, dataset, loaded, start, folder / name, label, clock, say)))
    return phases, checkpoints, loaded.name


def _evaluate(
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
    if (kept := measured_before(folder)) is not None:
        return kept
    say(f"evaluating: {label}")
    with clock("evaluation"):
        base = base_of(loaded.model, start) if start is not None else loaded.model if recipe.phases else None
        return measure_checkpoint(recipe.eval, loaded, dataset, folder, label, base=base, seed=recipe.seed)


def _mean_beta_kl(path: Path, objective: Any) -> float | None:  # noqa: ANN401 - an objective of any kind
    """Mean over the steps of beta times z, z clamped at 0; None where the objective has no z."""
    if "kl" not in objective.reads:
        return None
    kls = [line["kl"] for line in read_metrics(path) if "kl" in line]
    return float(objective.beta) * sum(kls) / len(kls) if kls else None


def read_metrics(path: Path) -> Iterator[dict[str, float]]:
    """The lines of a metrics.jsonl."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


class _Clock:
    """CPU seconds of the main process by step, kept on disk so that a resumed run counts what went before."""

    def __init__(self, path: Path, since: float) -> None:
        self._path, self._since = path, since
        try:
            self.parts: dict[str, float] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            self.parts = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        try:
            yield
        finally:
            now = time.process_time()
            self.parts[part] = round(self.parts.get(part, 0.0) + now - self._since, 2)
            self._since = now
            if ranks.is_main():
                write_json(self._path, self.parts)
