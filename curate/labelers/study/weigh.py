"""Measure how reliable each labeler is: against labelled rows where there are enough, else by how the labelers agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.errors import DataError
from curate.labelers.platt import Floats, fit_platt
from curate.labelers.reliability import LabelerReliability, Reliability, SourceShift
from curate.labelers.scoring import log_odds

LEAST = 50  # labelled rows of either kind from which on a calibration is worth more than none
LEAST_WEIGHT = 0.02  # a labeler that adds nothing to the others is still heard where it is the only one to speak
MOST_SUBSETS = 5  # labelers up to which each two or more of them are weighed by themselves: 25 small fits at most
ROUNDS, CLOSE = 200, 1e-8
PRIOR = 1.0  # votes of each kind that every labeler is taken to have cast rightly and wrongly beforehand
FEW = 20  # labelled rows of either kind from which on a source is measured by itself: few of them move little
SHIFTS, CHANGES = 1.5, 0.5  # spread of a source's shift, in logits, and of its changes of weight, before its rows are seen


def weigh(scores: Mapping[str, Floats], truth: Floats, sources: Sequence[str] | None = None) -> Reliability:
    """Reliabilities of labelers.

    Args:
        scores: of each labeler, shape (n,), in [0, 1], NaN where it abstained.
        truth: 1 toxic, 0 harmless, NaN unknown; shape (n,).
        sources: the source of each row, where the labelled rows of a source are a fair sample of it: each that has FEW of
            either kind is then measured by itself, too.

    Raises:
        DataError: too few labelled rows, and too few labelers to do without.
    """
    known = ~np.isnan(truth)
    toxic = truth == 1
    if min((known & toxic).sum(), (known & ~toxic).sum()) >= LEAST:
        labelled = {name: one[known] for name, one in scores.items()}
        reliability = _by_labels(labelled, toxic[known])
        if sources is None:
            return reliability
        return replace(reliability, sources=by_source(reliability, labelled, toxic[known], np.array(sources)[known]))
    if len(scores) < 3:
        raise DataError(
            f"{int(known.sum())} labelled rows and {len(scores)} labelers: too few to tell who is right",
            hint=f"label {LEAST} rows of either kind, or run three labelers",
        )
    return _by_agreement(scores)


def _by_labels(scores: Mapping[str, Floats], toxic: NDArray[np.bool_]) -> Reliability:
    """Platt for each, both kinds of rows weighted alike; then a logistic model over what they say, weights above zero.

    One model for all together, and, for up to MOST_SUBSETS labelers, one for each two or more of them.
    """
    calibrations, columns = {}, {}
    for name, one in scores.items():
        there = ~np.isnan(one)
        if min(toxic[there].sum(), (~toxic[there]).sum()) < LEAST:
            continue
        odds = log_odds(one[there])
        calibrations[name] = fit_platt(odds, toxic[there], balanced=True)
        columns[name] = np.zeros(len(one))
        columns[name][there] = calibrations[name].logits(odds)

    def weights(names: Sequence[str]) -> dict[str, float]:
        rows = np.logical_and.reduce([~np.isnan(scores[name]) for name in names])  # an expensive labeler speaks about few rows
        if min(toxic[rows].sum(), (~toxic[rows]).sum()) < LEAST:
            rows = np.ones(len(toxic), bool)
        fit = _positive(np.stack([columns[name][rows] for name in names], axis=1), toxic[rows])
        return {name: round(max(float(weight), LEAST_WEIGHT), 6) for name, weight in zip(names, fit, strict=True)}

    if not calibrations:
        raise DataError(
            f"{len(toxic)} labelled rows, of which no labeler scored {LEAST} of either kind",
            hint="run a labeler (`head`), or with `undecided` give it rows that people labelled (`judged: 1000`)",
        )
    together = weights(list(calibrations))
    labelers = {
        name: LabelerReliability(round(one.slope, 6), round(one.intercept, 6), together[name])
        for name, one in calibrations.items()
    }
    sizes = range(2, len(calibrations)) if len(calibrations) <= MOST_SUBSETS else ()
    subsets = {frozenset(names): weights(names) for size in sizes for names in combinations(calibrations, size)}
    return Reliability(labelers, "labels", len(toxic), subsets)


def _positive(inputs: Floats, toxic: NDArray[np.bool_]) -> Floats:
    """Weights, none below zero, of a balanced logistic model without a constant, shape (n, k) to (k,)."""
    from scipy.optimize import minimize

    share = np.where(toxic, 0.5 / toxic.sum(), 0.5 / (~toxic).sum())
    start = np.full(inputs.shape[1], 1.0 / inputs.shape[1])
    optimum = minimize(_cost, start, (inputs, toxic, share), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start))
    return np.asarray(optimum.x) + 1e-9


def _cost(
    weights: Floats, inputs: Floats, toxic: NDArray[np.bool_], share: Floats | float, offset: Floats | float = 0.0
) -> tuple[float, Floats]:
    """Logistic loss of log-odds `offset + inputs @ weights`, each row counting its share, and its slope by the weights."""
    sign = np.where(toxic, 1.0, -1.0)
    margin = sign * (offset + inputs @ weights)
    slope = -share * sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
    return float((share * np.logaddexp(0.0, -margin)).sum()), inputs.T @ slope


def by_source(
    general: Reliability, scores: Mapping[str, Floats], toxic: NDArray[np.bool_], sources: NDArray[np.str_]
) -> dict[str, SourceShift]:
    """How each source with enough labelled rows differs from rows at large; kinds of rows count as they come.

    The most probable shift and changes of weight where both were drawn around zero beforehand: fifty rows move them little, a
    thousand as far as they say. No labeler's weight falls below zero in any company of the source's rows.

    Source: Gelman & Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models (partial pooling).
    """
    from scipy.optimize import minimize

    names = [name for name in scores if general.knows(name)]
    calibrated = general.calibrated({name: pl.Series(scores[name]) for name in names}, len(toxic))
    offset, inputs = general.pooled(calibrated, names), np.nan_to_num(calibrated)
    spread = np.array([SHIFTS, *(CHANGES for _ in names)])
    shifts = {}
    for source in sorted(set(sources.tolist())):
        rows = (sources == source) & ~np.isnan(offset)
        if min((rows & toxic).sum(), (rows & ~toxic).sum()) < FEW:
            continue
        bounds = [(None, None), *((-least, None) for least in _least(general, names, calibrated[rows]))]
        design = np.hstack([np.ones((int(rows.sum()), 1)), inputs[rows]])

        def loss(change: Floats, design: Floats = design, rows: NDArray[np.bool_] = rows) -> tuple[float, Floats]:
            cost, slope = _cost(change, design, toxic[rows], 1.0, offset[rows])
            far = change / spread
            return cost + float((far**2).sum() / 2), slope + far / spread

        shift, *changes = minimize(loss, np.zeros(len(spread)), jac=True, method="L-BFGS-B", bounds=bounds).x
        weights = {name: round(float(change), 6) for name, change in zip(names, changes, strict=True)}
        shifts[source] = SourceShift(round(float(shift), 6), weights)
    return shifts


def _least(general: Reliability, names: Sequence[str], calibrated: Floats) -> list[float]:
    """The least weight of each labeler in the companies that spoke; 0 for one that never did."""
    least = np.full(len(names), np.inf)
    for _, company, scale in general.companies(calibrated, names):
        for at, weight in company.items():
            least[at] = min(least[at], weight / scale)
    return [0.0 if np.isinf(one) else float(one) for one in least]


def _by_agreement(scores: Mapping[str, Floats]) -> Reliability:
    """By votes alone: each labeler's hit and false-alarm rates that explain best how they agree; scores by rank."""
    values = np.stack(list(scores.values()), axis=1)
    votes = np.where(np.isnan(values), np.nan, values >= 0.5)
    share, hits, alarms, _ = dawid_skene(votes)
    trust = np.log(hits / (1 - hits)) / 2 + np.log((1 - alarms) / alarms) / 2
    total = float(np.maximum(trust, 1e-6).sum())  # shares of one voice: how far the labelers repeat each other is not known
    labelers = {}
    for at, name in enumerate(scores):
        there = values[~np.isnan(values[:, at]), at]
        middle = float(log_odds(np.quantile(there, [1 - share]))[0])
        labelers[name] = LabelerReliability(1.0, round(-middle, 6), round(max(float(trust[at]) / total, LEAST_WEIGHT), 6))
    return Reliability(labelers, "agreement", len(values))


def dawid_skene(votes: Floats) -> tuple[float, Floats, Floats, Floats]:
    """Who is right when nobody knows: expectation maximisation over two-sided votes.

    Args:
        votes: shape (n, k): 1 toxic, 0 harmless, NaN no vote.

    Returns:
        The share of toxic rows, each labeler's chance to call a toxic row toxic, and to call a harmless row toxic, both
        shape (k,), and the probability that each row is toxic, shape (n,).

    Source: Dawid & Skene (1979), Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm.
    """
    cast = ~np.isnan(votes)
    yes = np.nan_to_num(votes)
    toxic = np.where(cast.any(axis=1), yes.sum(axis=1) / np.maximum(cast.sum(axis=1), 1), 0.5)  # start: the majority
    for _ in range(ROUNDS):
        share = float(np.clip(toxic.mean(), 1e-3, 1 - 1e-3))
        rates = []
        for weight, right in ((toxic, 1.0), (1 - toxic, 0.0)):
            votes_cast = weight @ cast
            rates.append((weight @ (yes * cast) + PRIOR * (1 + right)) / (votes_cast + PRIOR * 3))
        hits, alarms = rates
        odds = np.log(share / (1 - share)) + (
            cast * (yes * np.log(hits / alarms) + (1 - yes) * np.log((1 - hits) / (1 - alarms)))
        ).sum(axis=1)
        before, toxic = toxic, 1.0 / (1.0 + np.exp(-odds))
        if np.abs(before - toxic).max() < CLOSE:
            break
    return share, hits, alarms, toxic
