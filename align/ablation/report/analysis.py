"""From what a grid measured to its outcome: curves with their uncertainty, rows for a given cut, contrasts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from align.ablation.report.measurements import ClusterCounts, Measurements
from align.ablation.report.outcome import (
    Contrast,
    Curve,
    Drift,
    Estimate,
    GridData,
    MeanDivergence,
    Outcome,
    Point,
    RateSearch,
    Stability,
    TableRow,
    Trial,
    View,
)
from align.ablation.report.words import VIEWS
from align.ablation.result import BEST, TaskResult
from align.ablation.tasks import at_edge, score, tuned_sizes
from align.data.figures import Agreement, Divergence, Tally, TextFigures
from align.data.results import Belief, Checkpoint
from align.statistics import Share, area, clustered, crossed, detectable, holm, interval, isotonic, rows_for, sign_flip, spread
from align.statistics.bootstrap import Floats

NO_TEXTS = TextFigures(perplexity=None, n=0, tokens=0, kl=None)  # of a recipe without `retention`


def analyse(
    measured: Measurements, *, model: str, data: GridData, belief: Belief, warnings: Sequence[str], failures: Sequence[str]
) -> Outcome:
    """Everything the report shows.

    Args:
        measured: the grid's results.
        model: the recipe's word for the base.
        data: what was trained on.
        belief: whether the judge can be believed there.
        warnings: what every table must say.
        failures: tasks that failed, a line each.
    """
    grid, base = measured.grid, _table_row([measured.base])
    heldout = _tally(measured.base)
    tasks = {**measured.wave.cells, **measured.wave.trials}
    return Outcome(
        name=grid.recipe.name,
        model=model,
        data=data,
        belief=belief,
        methods=grid.methods,
        sizes=grid.axes.sizes,
        seeds=grid.axes.seeds,
        mixture=grid.mixture,
        steps=grid.axes.steps,
        prompts=heldout.prompts,
        completions=heldout.n,
        clusters=len(measured.clusters),
        base=base,
        detectable=detectable(heldout.n, 0.1 * heldout.toxic.hits / max(1, heldout.toxic.n)),
        views={view: _view(measured, view) for view in VIEWS},
        contrasts=_contrasts(measured),
        rates=_rates(measured),
        stability=_stability(measured),
        missing=tuple(f"{method}, {size:,} completions, seed {seed}" for method, size, seed in measured.missing),
        diverged=tuple(sorted(tasks[key].line() for key in tasks if key in measured.done and measured.done[key].diverged)),
        failures=tuple(failures),
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class _Shares:
    """Toxic shares of one view.

    Attributes:
        drawn: of every bootstrap draw, shape (draws, methods, sizes).
        base_drawn: the base's, shape (draws,).
        point: as they were measured, shape (methods, sizes); NaN where every cell is missing.
        base: the base's.
    """

    drawn: Floats
    base_drawn: Floats
    point: Floats
    base: float


def _shares(counts: ClusterCounts) -> _Shares:
    seeds, clusters = counts.hits.shape[2:]
    draws = crossed(seeds, clusters)
    base = spread(draws, counts.base_hits[None, :].repeat(seeds, 0), counts.base_trials[None, :].repeat(seeds, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        point = counts.hits.sum((2, 3)) / counts.trials.sum((2, 3))
    share = float(counts.base_hits.sum() / counts.base_trials.sum())
    return _Shares(spread(draws, counts.hits, counts.trials), base, point, share)


def _view(measured: Measurements, view: str) -> View:
    """Per method: the curve, rows for a cut, area."""
    counts = measured.counts(view)
    shares = _shares(counts)
    curves = {method: _curve(measured, shares, at, view) for at, method in enumerate(measured.grid.methods)}
    base = clustered(counts.base_hits, counts.base_trials)
    return View(curves, Estimate(shares.base, base.low, base.high))


def _curve(measured: Measurements, shares: _Shares, at: int, view: str) -> Curve:
    """The curve of the method at a place."""
    method, sizes = measured.grid.methods[at], measured.grid.axes.sizes
    point, drawn = shares.point[at], shares.drawn[:, at]
    points = tuple(
        _point(measured, method, size, view, float(point[place]), interval(drawn[:, place]))
        for place, size in enumerate(sizes)
        if measured.keys(method, size)
    )
    if not _complete(measured, method) or np.isnan(point).any():
        return Curve(points)
    n50, n90 = (
        _estimate(float(rows_for(cut, sizes, point, shares.base)), rows_for(cut, sizes, drawn, shares.base_drawn))
        for cut in (0.5, 0.9)
    )
    left = _estimate(float(area(sizes, point, shares.base)), area(sizes, drawn, shares.base_drawn))
    return Curve(points, tuple(float(value) for value in isotonic(point)), n50, n90, left)


def _point(measured: Measurements, method: str, size: int, view: str, toxic: float, ends: tuple[float, float]) -> Point:
    keys = measured.keys(method, size)
    figures = [measured.figures(key, view) for key in keys]
    results = [measured.done[key] for key in keys]
    steps = tuple(result.views[view] for result in results)
    return Point(
        **vars(_table_row(figures)),
        size=size,
        toxic=toxic,
        low=ends[0],
        high=ends[1],
        by_seed=tuple(_value(_tally(one).toxic) for one in figures),
        steps=steps,
        flops=tuple(result.checkpoints[step].flops for result, step in zip(results, steps, strict=True)),
        pairs=_mean([result.pairs for result in results]),
        benign=_mean([result.benign for result in results]),
        prompts=_mean([result.prompts for result in results]),
        tokens=_mean([result.tokens for result in results]),
        rates=tuple(measured.wave.cells[key].rate for key in keys),
    )


def _complete(measured: Measurements, method: str) -> bool:
    """Whether every size and seed of a method is there: a curve of what happens to be done would mislead."""
    return all(method != other for other, _, _ in measured.missing)


def _contrasts(measured: Measurements) -> tuple[Contrast, ...]:
    """The primary comparisons: differences of the area under the learning curve, headline view."""
    grid, counts = measured.grid, measured.counts(BEST)
    shares = _shares(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_seed = area(grid.axes.sizes, (counts.hits.sum(3) / counts.trials.sum(3)).swapaxes(1, 2), shares.base)
    contrasts: list[Contrast] = []
    for a, b in grid.contrasts:
        one, other = grid.methods.index(a), grid.methods.index(b)
        if not (_complete(measured, a) and _complete(measured, b)) or np.isnan(shares.point[[one, other]]).any():
            continue
        left, right = (area(grid.axes.sizes, shares.point[at], shares.base) for at in (one, other))
        drawn = [area(grid.axes.sizes, shares.drawn[:, at], shares.base_drawn) for at in (one, other)]
        per_seed = by_seed[one] - by_seed[other]
        p = sign_flip(per_seed) if np.isfinite(per_seed).all() else None  # not where the base is never toxic
        difference = _estimate(float(left - right), drawn[0] - drawn[1])
        contrasts.append(
            Contrast(**vars(difference), a=a, b=b, by_seed=tuple(_finite(float(one)) for one in per_seed), p=p, p_holm=None)
        )
    corrected = iter(holm([one.p for one in contrasts if one.p is not None]))
    return tuple(one if one.p is None else replace(one, p_holm=next(corrected)) for one in contrasts)


def _rates(measured: Measurements) -> tuple[RateSearch, ...]:
    """What every trial came to, and which rate was taken."""
    return tuple(
        _rate_search(measured, method, size)
        for method in measured.grid.methods
        for size in tuned_sizes(measured.grid)
        if (method, size) in measured.wave.rates
    )


def _rate_search(measured: Measurements, method: str, size: int) -> RateSearch:
    results = {
        task.rate: measured.done[key]
        for key, task in measured.wave.trials.items()
        if (task.method, task.size) == (method, size) and key in measured.done
    }
    scores = {rate: score(result) for rate, result in results.items()}
    trials = tuple(
        Trial(rate, _finite(toxic), _finite(neutral), results[rate].views[BEST])
        for rate, (toxic, neutral) in sorted(scores.items())
    )
    return RateSearch(method, size, measured.wave.rates[method, size], at_edge(scores), trials)


def _stability(measured: Measurements) -> dict[str, Stability]:
    """Per method at the largest size: means over the seeds at every step, and how much z there was."""
    largest = measured.grid.axes.sizes[-1]
    keys = {method: measured.keys(method, largest) for method in measured.grid.methods}
    return {method: _course([measured.done[key] for key in names]) for method, names in keys.items() if names}


def _course(results: Sequence[TaskResult]) -> Stability:
    runs = [result.steps for result in results]
    names = [name for name in runs[0] if all(name in run for run in runs)]
    steps = {name: _by_step([run[name] for run in runs]) for name in names}
    if "kl" not in steps:
        return Stability(steps, None)
    drifts = [value for run in runs for value in run["kl"] if value is not None]
    beta, count = results[0].beta, max(1, len(drifts))
    return Stability(steps, Drift(beta, sum(value > 0 for value in drifts) / count, (beta or 0.0) * sum(drifts) / count))


def _by_step(runs: Sequence[Sequence[float | None]]) -> tuple[float | None, ...]:
    """Means at every step that all runs reached."""
    return tuple(_mean([run[at] for run in runs]) for at in range(min(map(len, runs))))


def _tally(checkpoint: Checkpoint) -> Tally:
    assert checkpoint.heldout is not None, "a grid always asks the held-out prompts"
    return checkpoint.heldout


def _table_row(seeds: Sequence[Checkpoint]) -> TableRow:
    """Means over seeds; what was not measured is None."""
    heldout = [_tally(one) for one in seeds]
    neutral, clean = ([one.texts(kind) or NO_TEXTS for one in seeds] for kind in ("neutral", "clean"))
    return TableRow(
        all=_mean([_value(one.toxic) for one in heldout]),
        answered=_mean([_value(one.toxic_answered) for one in heldout]),
        refused=_mean([_value(one.refused) for one in heldout]),
        over_refused=_mean([_value(one.over_refused) for one in heldout]),
        truth=_mean([_value(one.others.get("truth")) for one in heldout]),
        unscored=sum(one.unscored for one in heldout),
        empty=sum(one.empty for one in heldout),
        overlap=max(one.overlap or 0 for one in heldout),
        ended=_mean([one.ended for one in heldout]),
        distinct=_mean([one.distinct for one in heldout]),
        crashed={role: crash for one in heldout for role, crash in one.crashed.items()},
        neutral=_mean([one.perplexity for one in neutral]),
        clean=_mean([one.perplexity for one in clean]),
        kl=_pooled([one.kl for one in heldout]),
        kl_neutral=_pooled([one.kl for one in neutral]),
        kl_clean=_pooled([one.kl for one in clean]),
        agreement={pair: _agreement([one.agreement[pair] for one in heldout]) for pair in heldout[0].agreement},
    )


def _agreement(seeds: Sequence[Agreement]) -> float:
    return sum(one.agree for one in seeds) / max(1, sum(one.n for one in seeds))


def _value(share: Share | None) -> float | None:
    return share.hits / share.n if share and share.n else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _pooled(by_seed: Sequence[Divergence | None]) -> MeanDivergence | None:
    """KL from the base: mean over seeds, nats per token, with the standard error of that mean.

    Every seed answers the same prompts, so their errors are not apart: the mean of the seeds' own standard errors is kept, and
    what the seeds themselves differ by is added.
    """
    known = [one for one in by_seed if one is not None]
    if not known or len(known) < len(by_seed):
        return None
    values = [one.value for one in known]
    mean, k = sum(values) / len(values), len(values)
    within = _mean([one.se for one in known])
    between = sum((one - mean) ** 2 for one in values) / (k - 1) / k if k > 1 else 0.0
    return MeanDivergence(mean, None if within is None else math.sqrt(within**2 + between))


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = interval(drawn)
    return Estimate(_finite(value), _finite(low), _finite(high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
