"""What a grid found: curves with their uncertainty, rows for a given cut, contrasts, and what is to be said beside them.

The result is plain JSON values that depend on the grid's results alone, never on when or in which order they came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from align.ablation.report.found import Found, Table
from align.ablation.report.words import CUTS, VIEWS, Range
from align.ablation.tasks import at_edge, score, tuned_sizes
from align.statistics import area, clustered, crossed, detectable, holm, interval, isotonic, rows_for, sign_flip, spread
from align.statistics.bootstrap import Floats


def outcome(found: Found) -> dict[str, Any]:
    """Everything the report shows, as JSON values."""
    grid = found.grid
    base = found.base
    toxic = base["heldout"]["toxic"]
    n = base["heldout"]["n"]
    return {
        "name": grid.recipe.name,
        "methods": list(grid.methods),
        "sizes": list(grid.axes.sizes),
        "seeds": list(grid.axes.seeds),
        "mixture": grid.mixture,
        "steps": grid.axes.steps,
        "prompts": base["heldout"]["prompts"],
        "completions": n,
        "clusters": len(found.clusters),
        "base": _row([base]),
        "detectable": detectable(n, 0.1 * toxic["hits"] / max(1, toxic["n"])),
        "views": {view: _view(found, view) for view in VIEWS},
        "contrasts": _contrasts(found),
        "rates": _rates(found),
        "stability": _stability(found),
        "missing": [
            f"{method}, {size:,} completions, seed {seed}"
            for method in grid.methods
            for size in grid.axes.sizes
            for seed in grid.axes.seeds
            if (method, size, seed) not in found.cells
        ],
        "diverged": sorted(
            task.line()
            for key, task in {**found.wave.cells, **found.wave.trials}.items()
            if found.done.get(key, {}).get("diverged")
        ),
    }


def _view(found: Found, view: str) -> dict[str, Any]:
    """Per method: the curve, rows for a cut, area."""
    grid, table = found.grid, found.table(view)
    shares, base, point, base_point = _drawn(table)
    methods: dict[str, Any] = {}
    for at, method in enumerate(grid.methods):
        complete = _complete(found, method) and not np.isnan(point[at]).any()
        entry: dict[str, Any] = {"points": []}
        for place, size in enumerate(grid.axes.sizes):
            keys = [found.cells[method, size, seed] for seed in grid.axes.seeds if (method, size, seed) in found.cells]
            if not keys:
                continue
            low, high = interval(shares[:, at, place])
            results = [found.done[key] for key in keys]
            steps = [result["views"][view] for result in results]
            entry["points"].append(
                {
                    "size": size,
                    "toxic": float(point[at, place]),
                    "low": low,
                    "high": high,
                    "by_seed": [_value(found.figures(key, view)["heldout"]["toxic"]) for key in keys],
                    "steps": steps,
                    "flops": [
                        result["checkpoints"][str(step)]["flops"]
                        if str(step) in result["checkpoints"] and "flops" in result["checkpoints"][str(step)]
                        else None
                        for result, step in zip(results, steps, strict=True)
                    ],
                    "pairs": _mean([result["pairs"] for result in results]),
                    "benign": _mean([result["benign"] for result in results]),
                    "prompts": _mean([result["prompts"] for result in results]),
                    "tokens": _mean([result["tokens"] for result in results]),
                    "rates": [found.wave.cells[key].rate for key in keys],
                    **_row([found.figures(key, view) for key in keys]),
                }
            )
        if complete:
            entry["fitted"] = [float(value) for value in isotonic(point[at])]
            for cut in CUTS:
                entry[f"n{round(100 * cut)}"] = _range(
                    float(rows_for(cut, grid.axes.sizes, point[at], base_point)),
                    rows_for(cut, grid.axes.sizes, shares[:, at], base),
                )
            entry["area"] = _range(
                float(area(grid.axes.sizes, point[at], base_point)), area(grid.axes.sizes, shares[:, at], base)
            )
        methods[method] = entry
    low, high = interval(base)
    share = clustered(table.base_hits, table.base_trials)
    return {"methods": methods, "base": {"value": base_point, "low": share.low, "high": share.high}}


def _complete(found: Found, method: str) -> bool:
    """Whether every size and seed of a method is there: a curve of what happens to be done would mislead."""
    return all((method, size, seed) in found.cells for size in found.grid.axes.sizes for seed in found.grid.axes.seeds)


def _drawn(table: Table) -> tuple[Floats, Floats, Floats, float]:
    """Shares of every draw (draws, methods, sizes), the base's (draws,), and both as they were found."""
    draws = crossed(table.hits.shape[2], table.hits.shape[3])
    shares = spread(draws, table.hits, table.trials)
    base = spread(
        draws, table.base_hits[None, :].repeat(table.hits.shape[2], 0), table.base_trials[None, :].repeat(table.hits.shape[2], 0)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        point = table.hits.sum((2, 3)) / table.trials.sum((2, 3))
    return shares, base, point, float(table.base_hits.sum() / table.base_trials.sum())


def _contrasts(found: Found) -> list[dict[str, Any]]:
    """The primary comparisons: differences of the area under the learning curve, headline view."""
    grid, table = found.grid, found.table("best")
    shares, base, point, base_point = _drawn(table)
    rows: list[dict[str, Any]] = []
    with np.errstate(invalid="ignore", divide="ignore"):
        by_seed = area(grid.axes.sizes, (table.hits.sum(3) / table.trials.sum(3)).swapaxes(1, 2), base_point)
    for a, b in grid.contrasts:
        one, other = grid.methods.index(a), grid.methods.index(b)
        if not (_complete(found, a) and _complete(found, b)) or np.isnan(point[[one, other]]).any():
            continue
        difference = float(area(grid.axes.sizes, point[one], base_point) - area(grid.axes.sizes, point[other], base_point))
        drawn = area(grid.axes.sizes, shares[:, one], base) - area(grid.axes.sizes, shares[:, other], base)
        per_seed = by_seed[one] - by_seed[other]
        known = bool(np.isfinite(per_seed).all())  # not where the base is never toxic
        by_one = [_finite(float(each)) for each in per_seed]
        p = sign_flip(per_seed) if known else None
        rows.append({"a": a, "b": b, **_range(difference, drawn), "by_seed": by_one, "p": p})
    values = [row["p"] for row in rows if row["p"] is not None]
    corrected = iter(holm(values))
    return [row | {"p_holm": None if row["p"] is None else next(corrected)} for row in rows]


def _rates(found: Found) -> list[dict[str, Any]]:
    """What every trial found, and which rate was taken."""
    rows = []
    for method in found.grid.methods:
        for size in tuned_sizes(found.grid):
            trials = {
                task.rate: found.done[key]
                for key, task in found.wave.trials.items()
                if (task.method, task.size) == (method, size) and key in found.done
            }
            if (method, size) not in found.wave.rates:
                continue
            scores = {rate: score(result) for rate, result in trials.items()}
            rows.append(
                {
                    "method": method,
                    "size": size,
                    "rate": found.wave.rates[method, size],
                    "edge": at_edge(scores),
                    "trials": [
                        {
                            "rate": rate,
                            "toxic": _finite(toxic),
                            "neutral": _finite(neutral),
                            "step": trials[rate]["views"]["best"],
                        }
                        for rate, (toxic, neutral) in sorted(scores.items())
                    ],
                }
            )
    return rows


def _stability(found: Found) -> dict[str, dict[str, Any]]:
    """Per method at the largest size: means over the seeds at every step, and how much z there was."""
    strip: dict[str, dict[str, Any]] = {}
    for method in found.grid.methods:
        keys = [
            found.cells[method, found.grid.axes.sizes[-1], seed]
            for seed in found.grid.axes.seeds
            if (method, found.grid.axes.sizes[-1], seed) in found.cells
        ]
        runs = [found.done[key]["steps"] for key in keys]
        if not runs:
            continue
        entry: dict[str, Any] = {
            name: _steps([run[name] for run in runs]) for name in runs[0] if all(name in run for run in runs)
        }
        if "kl" in entry:
            drifts = [value for run in runs for value in run["kl"] if value is not None]
            entry["beta"] = found.done[keys[0]]["beta"]
            entry["kl_positive_share"] = sum(value > 0 for value in drifts) / max(1, len(drifts))
            entry["mean_beta_kl"] = (found.done[keys[0]]["beta"] or 0.0) * sum(drifts) / max(1, len(drifts))
        strip[method] = entry
    return strip


def _steps(runs: Sequence[Sequence[float | None]]) -> list[float | None]:
    length = min(map(len, runs))
    return [_mean([run[at] for run in runs]) for at in range(length)]


def _row(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One line of the table that is always shown whole: means over seeds; what was not measured is None."""
    heldout = [one["heldout"] for one in figures]
    retention = [one.get("retention", {}) for one in figures]
    row: dict[str, Any] = {
        "all": _mean([_value(one["toxic"]) for one in heldout]),
        "answered": _mean([_value(one["toxic_answered"]) for one in heldout]),
        "refused": _mean([_value(one["refused"]) for one in heldout]),
        "over_refused": _mean([_value(one["over_refused"]) for one in heldout]),
        "truth": _mean([_value(one.get("truth")) for one in heldout]),
        "unscored": sum(one["unscored"] for one in heldout),
        "empty": sum(one["empty"] for one in heldout),
        "overlap": max(one["overlap"] for one in heldout),
        "ended": _mean([one["ended"] for one in heldout]),
        "distinct": _mean([one["distinct"] for one in heldout]),
        "crashed": {role: crash for one in heldout for role, crash in one["crashed"].items()},
        "neutral": _mean([one.get("neutral", {}).get("perplexity") for one in retention]),
        "clean": _mean([one.get("clean", {}).get("perplexity") for one in retention]),
        "kl": _pooled([one.get("kl") for one in heldout]),
        "kl_neutral": _pooled([one.get("neutral", {}).get("kl") for one in retention]),
        "kl_clean": _pooled([one.get("clean", {}).get("kl") for one in retention]),
    }
    agree = [one["agreement"] for one in heldout]
    row["agreement"] = {
        pair: sum(one[pair]["agree"] for one in agree) / max(1, sum(one[pair]["n"] for one in agree)) for pair in agree[0]
    }
    return row


def _value(share: Mapping[str, Any] | None) -> float | None:
    return share["hits"] / share["n"] if share and share["n"] else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _pooled(found: Sequence[Mapping[str, Any] | None]) -> dict[str, float | None] | None:
    """KL from the base: mean over seeds, nats per token, with the standard error of that mean.

    Every seed answers the same prompts, so their errors are not apart: the mean of the seeds' own standard errors is kept, and
    what the seeds themselves differ by is added.
    """
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    values = [one["value"] for one in known]
    mean, k = sum(values) / len(values), len(values)
    within = _mean([one["se"] for one in known])
    between = sum((one - mean) ** 2 for one in values) / (k - 1) / k if k > 1 else 0.0
    return {"value": mean, "se": None if within is None else math.sqrt(within**2 + between)}


def _range(value: float, drawn: Floats) -> Range:
    low, high = interval(drawn)
    return {"value": _finite(value), "low": _finite(low), "high": _finite(high)}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
