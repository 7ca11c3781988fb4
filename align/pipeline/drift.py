"""Does z rise above 0? Where it does not, KTO-S is KTO, and a comparison of the two is about nothing."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.objectives.phase import Phase

if TYPE_CHECKING:
    from torch import Tensor

    from align.pipeline.recipe import Recipe

SHARES = (None, 0.9, 0.97)  # of desirable rows; None: as the data have it. 90 to 97 % gave z > 0 in our probes
BETAS = (1.0, 5.0)  # times the recipe's
FELT = 0.5  # beta * z from which KTO's and KTO-S's gradients differ by a fifth or more at r = z
STEPS = 24


@dataclasses.dataclass(frozen=True)
class Drift:
    """What a short training showed.

    Attributes:
        share: of desirable rows.
        beta: the objective's.
        steps: how many were taken.
        positive: share of the steps with z > 0.
        felt: share of the steps with beta * z >= `FELT`.
        mean: of beta * z.
        most: largest beta * z.
    """

    share: float
    beta: float
    steps: int
    positive: float
    felt: float
    mean: float
    most: float


def skewed(rows: Rows, share: float, seed: int) -> Rows:
    """All of one class and so many of the other, drawn by seed, that `share` of the rows are desirable; pairs are taken apart."""
    draw = random.Random(f"skewed:{seed}")
    sides = [[index for index, side in enumerate(rows.desirable) if side is wanted] for wanted in (True, False)]
    most = [round(len(sides[1]) * share / (1 - share)), round(len(sides[0]) * (1 - share) / share)]
    kept = sorted(
        index for side, count in zip(sides, most, strict=True) for index in draw.sample(side, min(len(side), max(1, count)))
    )
    unsafe = None if rows.unsafe is None else [rows.unsafe[index] for index in kept]
    return Rows(
        [rows.prompts[index] for index in kept],
        [rows.completions[index] for index in kept],
        [rows.desirable[index] for index in kept],
        [-1] * len(kept),
        [rows.ids[index] for index in kept],
        unsafe,
    )


def drift(lines: Sequence[dict[str, float]], beta: float, share: float) -> Drift:
    """Sum a journal's steps up; the first, before which nothing has moved, is left out."""
    felt = [beta * line["kl"] for line in lines[1:]]
    count = max(1, len(felt))
    return Drift(
        share,
        beta,
        len(lines),
        sum(value > 0 for value in felt) / count,
        sum(value >= FELT for value in felt) / count,
        sum(felt) / count,
        max(felt, default=0.0),
    )


def probe_drift(
    model: Any,  # noqa: ANN401 - a transformers model
    rows: Rows,
    phase: Phase,
    seed: int,
    tick: Callable[[str], None],
    cache: Path,
) -> Iterator[Drift]:
    """Train briefly in each setting, from the same weights, which are put back afterwards.

    Args:
        model: the policy before the phase.
        rows: what the phase would train on.
        phase: one with a z; its rate, batch size and schedule are kept.
        seed: of the plan, and of which rows are dropped.
        tick: called with a line before each setting.
        cache: where the reference's log-probabilities are shared.
    """
    from align.training.trainer import train

    start = {name: value.clone() for name, value in model.state_dict().items()}
    for share in SHARES:
        kept = rows if share is None else skewed(rows, share, seed)
        found = sum(kept.desirable) / len(kept)
        for times in BETAS:
            beta = phase.objective.beta * times
            objective = dataclasses.replace(phase.objective, beta=beta)
            brief = dataclasses.replace(phase, objective=objective, steps=STEPS)
            tick(f"{phase.name}: {found:.0%} desirable, beta {beta:g}")
            with tempfile.TemporaryDirectory() as folder:
                _put(model, start)
                train(model, kept, brief, Path(folder), seed, cache=cache)
                yield drift(read_metrics(Path(folder) / "metrics.jsonl"), beta, found)
    _put(model, start)


def preview_drift(recipe: Recipe, cache: Path, say: Callable[[str], None]) -> str:
    """A table for every phase with a z; the phases before it are trained first.

    Args:
        recipe: what would be run.
        cache: what runs share: the built-in model, the reference's log-probabilities.
        say: called with a line as each setting begins.

    Raises:
        UserError: what would stop the run.
    """
    import torch

    from align.data.dataset import open_dataset, phase_rows
    from align.pipeline.recipe import phase_names
    from align.training.trainer import train
    from curate.pages.tables import table_lines

    dataset = open_dataset(Path(recipe.data))
    torch.set_num_threads(recipe.threads)
    loaded = recipe.model.load(dataset, cache, recipe.seed)
    header = ["", "desirable %", "beta", "z > 0 %", f"beta*z >= {FELT} %", "mean beta*z", "most"]
    table: list[list[str]] = []
    last = max((at for at, phase in enumerate(recipe.phases) if "kl" in phase.objective.reads), default=-1)
    with tempfile.TemporaryDirectory() as folder:
        for at, (name, phase) in enumerate(zip(phase_names(recipe), recipe.phases, strict=True)):
            if at > last:
                break
            rows = phase_rows(dataset, phase.objective.needs, loaded.tokenizer)
            if "kl" in phase.objective.reads:
                for found in probe_drift(loaded.model, rows, phase, recipe.seed, say, cache / "reference"):
                    shares = [f"{100 * value:.0f}" for value in (found.share, found.positive, found.felt)]
                    figures = [f"{found.beta:g}", f"{found.mean:.3f}", f"{found.most:.3f}"]
                    table.append([name, shares[0], figures[0], *shares[1:], *figures[1:]])
            if at < last:
                say(f"{name}: {len(rows):,} rows")
                train(loaded.model, rows, phase, Path(folder) / name, recipe.seed, threads=recipe.threads)
    if not table:
        return "no phase of this recipe measures z"
    felt = [row for row in table if float(row[4]) > 50]
    verdict = (
        f"beta*z >= {FELT} for most steps in {len(felt)} of {len(table)} settings: KTO and KTO-S differ there"
        if felt
        else f"beta*z >= {FELT} for most steps in none of {len(table)} settings: KTO-S is all but KTO in them"
    )
    return "\n".join([f"{STEPS} steps in each setting; z is clamped at 0", *table_lines(header, table), verdict])


def _put(model: Any, weights: dict[str, Tensor]) -> None:  # noqa: ANN401
    model.load_state_dict(weights)
