"""Sets that trained the built-ins in `bench-labels`, on groups that none saw: alone, together, and weighed for the set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import click
import numpy as np
import polars as pl
from labels_dialect import SAMPLE, UNSEEN
from labels_page import Page
from numpy.typing import NDArray
from throwaway import CHEAP, MEMBERS, Builtins

from curate.core.schema import digest
from curate.labelers.platt import fit_platt
from curate.labelers.reliability import Reliability
from curate.labelers.study.measures import calibration_error, errors_cut, interval, roc_auc
from curate.labelers.study.weigh import by_source

Floats = NDArray[np.float64]

FOLDS = 5  # whole groups, both labels dealt out alike
DRAWS = 100
CATEGORIES = ("Offending User", "Biased Opinion")
NEAR = 0.01  # that a consensus may stay below its best member
AGREED = 2 / 3 + 0.01  # share of the votes on the larger side


def in_domain(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """Sets that trained the built-ins, on groups that they did not see."""
    click.echo("\n# Unseen groups of sets that trained the built-ins (ROC-AUC)")
    test = rows.filter(pl.col("part") == "test")
    both, toxic = builtins.scores(test["text"].to_list(), test["prompt"].to_list()), test["toxic"].to_numpy()
    tables: dict[str, dict[str, float]] = {}
    for name in _sets(test):
        some = (test["set"] == name).to_numpy()
        found = {one: made[some] for one, made in both.items() if one != "reply" or test.filter(some)["prompt"].null_count() == 0}
        tables[name] = {one: roc_auc(made, toxic[some]) for one, made in found.items()}
    _members(page, tables, {"cheap": CHEAP, "consensus": MEMBERS})
    some = (test["set"] == "davidson").to_numpy()
    for one in ("cheap", "consensus"):
        ends = interval(lambda w, made=both[one][some]: roc_auc(made, toxic[some], w), test.filter(some)["group"].to_list())  # type: ignore[misc]
        page.least(f"davidson, {one}", roc_auc(both[one][some], toxic[some]), 0.98, ends)
    replies(page, builtins, rows)
    _calibration(page, builtins, rows)
    _abstention(page, both, toxic, test["share"].to_numpy().astype(np.float64), ("cheap", "first", "consensus"))
    weighed(page, builtins, rows)


def _sets(rows: pl.DataFrame) -> list[str]:
    """Sets that have texts of both labels, in order."""
    shares = rows.group_by("set").agg(pl.col("toxic").mean()).filter(pl.col("toxic").is_between(0, 1, closed="none"))
    return sorted(shares["set"])


def replies(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """DiaSafety's two kinds of harm that hardly any word gives away, on groups that none of the labelers here saw."""
    asked = rows.filter(pl.col("part").is_in(UNSEEN["head"]), pl.col("prompt").is_not_null(), pl.col("kind").is_in(CATEGORIES))
    texts, toxic = asked["text"].to_list(), asked["toxic"].to_numpy()
    alone, given = builtins.members(texts), builtins.members(texts, asked["prompt"].to_list())
    three = {name: given[name] for name in ("head", "reply", "tuned")}  # `ngram` learned from some of these
    series = {name: pl.Series(one) for name, one in three.items()}
    found = {f"{name} without context": alone[name] for name in ("head", "tuned")}
    found |= {f"{name} given context": given[name] for name in ("reply", "tuned")}
    found["the three given context"] = builtins.reliability.pool(series, len(texts)).to_numpy()
    found["the three given context, weighed for such replies"], _ = crossed(
        builtins.reliability, asked.with_columns(set=pl.lit("")), three
    )
    for name, made in found.items():
        ends = interval(lambda w, made=made: roc_auc(made, toxic, w), asked["group"].to_list())  # type: ignore[misc]
        said = f"diasafety, two categories, {name}"
        page.least(said, roc_auc(made, toxic), 0.68, ends) if name.startswith("the three") else page.say(
            said, roc_auc(made, toxic), ends=ends
        )
        for kind in CATEGORIES:
            mask = (asked["kind"] == kind).to_numpy()
            page.say(f"  {kind}", roc_auc(made[mask], toxic[mask]))


def weighed(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """The consensus weighed for each set, cross-fitted over the groups that no labeler saw; calibration rows among them.

    Beside each calibration error stands what a score that is right shows on so few groups: labels drawn by it, one draw a group.
    Its scores come from FOLDS fits, each with a shift of its own, so ROC-AUC is also taken over pairs of texts of one fold, for
    the members alike: across folds a member that the same folds merely calibrate falls behind its plain self, too.
    """
    click.echo("\n# The consensus, weighed for each set")
    some = rows.filter(pl.col("part").is_in(["calibration", "test"]))
    members = builtins.members(some["text"].to_list(), some["prompt"].to_list())
    sets, toxic, groups = some["set"].to_numpy(), some["toxic"].to_numpy(), some["group"].to_numpy()
    pooled = builtins.reliability.pool({name: pl.Series(one) for name, one in members.items()}, some.height)
    general = pooled.fill_null(0.5).to_numpy().astype(np.float64)
    made, fold = crossed(builtins.reliability, some, members)
    calibrated = {name: crossed(builtins.reliability, some, {name: one})[0] for name, one in members.items()}
    across: dict[str, dict[str, float]] = {}
    inside: dict[str, dict[str, float]] = {}
    worst, reached, fair, itself = 0.0, [], [], []
    for name in _sets(some):
        mask = sets == name
        found = {one: np.nan_to_num(values[mask], nan=0.5) for one, values in members.items() if not np.isnan(values[mask]).all()}
        found |= {"consensus": general[mask], "weighed": made[mask]}
        across[name] = {one: roc_auc(values, toxic[mask]) for one, values in found.items()}
        inside[name] = {one: _inside(values, toxic[mask], fold[mask]) for one, values in found.items()}
        best = max((one for one in found if one in members), key=across[name].__getitem__)
        itself.append(across[name][best] - roc_auc(calibrated[best][mask], toxic[mask]))
        error, chance = calibration_error(made[mask], toxic[mask]), _chance(made[mask], groups[mask])
        worst, reached = max(worst, error), [*reached, error <= 0.05]
        fair.append(error <= max(0.05, np.quantile(chance, 0.95)))
        click.echo(
            f"  {name}: expected calibration error {error:.3f} on {int(mask.sum())} texts in {len(np.unique(groups[mask]))} "
            f"groups (a right score: {np.mean(chance):.3f}, in 95 of 100 draws at most {np.quantile(chance, 0.95):.3f})"
        )
    page.most("expected calibration error, consensus weighed for the set, at worst", worst, 0.05)
    page.say(f"  sets of {len(reached)} with at most .05", float(sum(reached)))
    page.say(f"  sets of {len(fair)} with at most .05, or no more than a right score shows in 95 of 100 draws", float(sum(fair)))
    click.echo("ROC-AUC over pairs of texts of any two folds")
    _members(page, across, {"weighed": MEMBERS})
    page.say("  the best member itself, calibrated by the same folds, below its plain self, at worst", max(itself))
    click.echo("ROC-AUC over pairs of texts of one fold")
    _members(page, inside, {"weighed": MEMBERS})
    for name, table in inside.items():
        best = max((one for one in table if one in members), key=table.__getitem__)
        if table[best] - table["weighed"] > NEAR:
            mask = sets == name
            ends = _behind(
                np.nan_to_num(members[best][mask], nan=0.5), made[mask], toxic[mask], fold[mask], groups[mask].tolist()
            )
            page.say(f"  {name}, {int(mask.sum())} texts: weighed below {best}", table[best] - table["weighed"], ends=ends)
    share = some["share"].to_numpy().astype(np.float64)
    _abstention(page, {"weighed": made, "consensus": general}, toxic, share, ("consensus", "weighed"))


def crossed(general: Reliability, rows: pl.DataFrame, members: Mapping[str, Floats]) -> tuple[Floats, NDArray[np.int64]]:
    """Scores by a consensus weighed for each `set` on four fifths of its groups, for the last fifth, by turns; and the folds."""
    sets, toxic, groups = (rows[name].to_numpy() for name in ("set", "toxic", "group"))
    made, fold = np.full(len(sets), np.nan), np.zeros(len(sets), np.int64)
    for name in np.unique(sets):
        fold[sets == name] = dealt(groups[sets == name].tolist(), toxic[sets == name])
    for part in range(FOLDS):
        train, test = fold != part, np.flatnonzero(fold == part)
        own = by_source(general, {name: one[train] for name, one in members.items()}, toxic[train], sets[train])
        series = {name: pl.Series(one[test]) for name, one in members.items()}
        pooled = replace(general, sources=own).pool(series, len(test), pl.Series(sets[test]))
        made[test] = pooled.fill_null(0.5).to_numpy()
    return made, fold


def _behind(
    best: Floats, other: Floats, toxic: NDArray[np.bool_], fold: NDArray[np.int64], groups: list[str]
) -> tuple[float, float]:
    """Interval of how far a score stays behind another over pairs of texts of one fold."""
    return interval(lambda w: _inside(best, toxic, fold, w) - _inside(other, toxic, fold, w), groups)


def _inside(scores: Floats, toxic: NDArray[np.bool_], fold: NDArray[np.int64], weight: Floats | None = None) -> float:
    """ROC-AUC over pairs of texts of one fold."""
    weight = np.ones(len(scores)) if weight is None else weight
    pairs, right = 0.0, 0.0
    for part in range(FOLDS):
        mask = fold == part
        count = float(weight[mask & toxic].sum() * weight[mask & ~toxic].sum())
        if count:
            pairs, right = pairs + count, right + count * roc_auc(scores[mask], toxic[mask], weight[mask])
    return right / pairs if pairs else float("nan")


def _abstention(page: Page, found: dict[str, Floats], toxic: NDArray[np.bool_], share: Floats, names: Sequence[str]) -> None:
    """What leaving the least certain fifth undecided saves, the last name asked to reach the figure."""
    for one in names:
        page.say(f"error rate of {len(toxic)} texts, {one}", float(((found[one] >= 0.5) != toxic).mean()))
    for one in names:
        cut, said = errors_cut(found[one], toxic), f"error rate cut by abstaining on the least certain 20 %, {one}, all sets"
        page.least(said, cut, 0.40) if one == names[-1] else page.say(said, cut)
        page.say("  wrong labels fewer, of all there were", 1 - (1 - cut) * 0.8)
    pooled = found[names[-1]]
    agreed = np.isnan(share) | (np.maximum(share, 1 - share) >= AGREED)  # one voter against two is no truth to be wrong about
    page.say(f"  error rate cut, {int(agreed.sum())} texts whose voters agree", errors_cut(pooled[agreed], toxic[agreed]))


def _members(page: Page, tables: dict[str, dict[str, float]], wanted: dict[str, Sequence[str]]) -> None:
    """Each consensus beside its members on every set."""
    for name, one in tables.items():
        click.echo(f"  {name}: " + ", ".join(f"{who} {area:.3f}" for who, area in one.items()))
    for name, members in wanted.items():
        there = [(one[name], [one[who] for who in members if who in one]) for one in tables.values()]
        page.most(f"{name} below its best member, at worst", max(max(areas) - own for own, areas in there), NEAR)
        above = all(own > np.mean(areas) for own, areas in there)
        page.say(f"{name} above the mean of its members on every set (1 = yes)", float(above), "1", ok=above)


def _calibration(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """Calibrate on four fifths of the unseen groups of a set, measure on the last, by turns.

    Beside each error stands what a score that is right shows on so few groups: labels drawn by it, one draw a group.
    """
    for labeler in ("head", "tuned"):
        worst, reached = 0.0, []
        for name in _sets(rows):
            some = rows.filter(pl.col("set") == name, pl.col("part").is_in(UNSEEN[labeler]))
            some = some.sort("part", descending=True).head(SAMPLE)
            toxic, texts, groups = some["toxic"].to_numpy(), some["text"].to_list(), some["group"].to_list()
            logits = builtins.logits(texts) if labeler == "head" else builtins.tuned_logits(texts, some["prompt"].to_list())
            made, fold = np.zeros(len(toxic)), dealt(groups, toxic)
            for part in range(FOLDS):
                calibration = fit_platt(logits[fold != part], toxic[fold != part])
                made[fold == part] = 1 / (1 + np.exp(-calibration.logits(logits[fold == part])))
            error, chance = calibration_error(made, toxic), _chance(made, groups)
            worst = max(worst, error)
            reached.append(error <= 0.05)
            click.echo(
                f"  {name}, {labeler}: expected calibration error {error:.3f} on {len(toxic)} texts in {len(set(groups))} groups "
                f"(a right score: {np.mean(chance):.3f})"
            )
        page.most(f"expected calibration error, {labeler} calibrated for the set, at worst", worst, 0.05)
        page.say(f"  sets of {len(reached)} with at most .05", float(sum(reached)))


def _chance(scores: Floats, groups: Sequence[str] | NDArray[np.str_]) -> Floats:
    """Calibration errors of a score that is right: labels drawn by it, texts of one group alike, shape (DRAWS,)."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(0)
    return np.array([calibration_error(scores, rng.random(len(names))[place] < scores) for _ in range(DRAWS)])


def dealt(groups: Sequence[str], toxic: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A fold of each text, shape (n,): whole groups, the largest first, each to where it keeps both labels most even.

    A draw by hash gives a set of few groups, each of one label, halves of quite different shares of toxic texts.
    """
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    sides = np.stack([np.bincount(place, toxic), np.bincount(place, ~toxic)], axis=1)
    order = sorted(range(len(names)), key=lambda at: (-sides[at].sum(), digest("fold", str(names[at]))))
    held, fold = np.zeros((FOLDS, 2)), np.zeros(len(names), np.int64)
    for at in order:
        fullest = ((held + sides[at]) / np.maximum(sides.sum(axis=0), 1)).max(axis=1)
        fold[at] = int(np.argmin(fullest))
        held[fold[at]] += sides[at]
    return fold[place]
