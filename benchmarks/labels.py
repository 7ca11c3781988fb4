"""How good labels are: the figures of the labelers, each printed beside what was asked of it.

    python benchmarks/labels.py --data ../shared/data
    python benchmarks/labels.py --only surge

The built-ins as they ship, and throw-away models of the same training script that never saw HateCheck, or Surge; every test is
disjoint from training by template or group. HateCheck's functions and SGHateCheck's are tested by the models without HateCheck.
"cheap" is the consensus of `head` and `ngram`, "consensus" that of these and `tuned`, each asked about every text, "first" the
same with `tuned` asked only about what the cheap two leave in doubt, as the recipe does; "weighed" is the consensus whose weights
and shift are fitted to the set itself, as `curate label weigh --by-source` does, on four fifths of its unseen groups and applied
to the last, by turns; the models without Surge do without
`tuned`, which takes a quarter of an hour to train. Of `research_only` sets only numbers are kept. Vectors and scores of public
texts, and throw-away models of `tuned`, are kept between runs; those of research texts are not.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from labels_dialect import SAMPLE, UNSEEN, fairness  # noqa: E402 - the path comes first
from labels_page import Page  # noqa: E402
from throwaway import CHEAP, MEMBERS, Builtins, train  # noqa: E402
from train_builtin import cached  # noqa: E402
from training_data import load, load_people  # noqa: E402

from curate.cache import caching  # noqa: E402
from curate.encoders import encoder  # noqa: E402
from curate.labelers import Consensus, Head, Ngram  # noqa: E402
from curate.labelers.head import ENCODER, features  # noqa: E402
from curate.labelers.reliability import load_reliability, log_odds  # noqa: E402
from curate.labelers.trained import load_trained  # noqa: E402
from curate.labelers.tuned import Tuned  # noqa: E402
from curate.labeling.fit import Examples, curve  # noqa: E402
from curate.labeling.measures import calibration_error, errors_cut, interval, platt, roc_auc  # noqa: E402
from curate.labeling.weigh import by_source  # noqa: E402
from curate.schema import digest  # noqa: E402
from curate.stages.undecided import Undecided  # noqa: E402

Floats = NDArray[np.float64]

SIZES = (0, 50, 200, 800, 10_000)
REQUIRED = {50: 0.65, 200: 0.74, 800: 0.80}
AIMED = {50: 0.70, 200: 0.80, 800: 0.85}
SEEDS = 5
PARTS = ("shipped", "fairness", "surge", "hatecheck", "speed")
FOLDS = 5  # whole groups, both labels dealt out alike
DRAWS = 100
CATEGORIES = ("Offending User", "Biased Opinion")
AGREED = 2 / 3 + 0.01  # share of the votes on the larger side
SPEED_TEXTS = 600


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), default=ROOT.parent / "shared" / "data")
@click.option("--cache", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()) / "margins-vectors")
@click.option("--plot", type=click.Path(path_type=Path), default=ROOT / "build" / "adaptation.svg", help="Where the curve goes.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Some parts only.")
def main(data: Path, cache: Path, plot: Path, only: tuple[str, ...]) -> None:
    """Print every figure; exit 1 when one is missed."""
    page, rows, wanted = Page(), load(data), only or PARTS
    people = load_people(data, rows)
    encode = cached(encoder(ENCODER), cache)
    kinds = {"head": Head, "ngram": Ngram, "tuned": Tuned}
    weights = {name: load_trained(name, kind.VERSION) for name, kind in kinds.items()}
    shipped = Builtins(weights["head"], weights["ngram"], weights["tuned"], load_reliability(), encode)
    with caching(cache / "scores"):
        if "shipped" in wanted:
            in_domain(page, shipped, rows)
        if "fairness" in wanted:
            fairness(page, shipped, rows, data)
        if "surge" in wanted:
            left_out(page, train(rows, None, encode, cache, ["surge"]), rows, "surge", 0.87)
        if "hatecheck" in wanted:
            without = train(rows, people, encode, cache, ["hatecheck"])
            left_out(page, without, pl.concat([rows, people]), "hatecheck", 0.75)
    if "hatecheck" in wanted:
        singlish(page, without, data, plot)
    if "speed" in wanted:
        speed(page, rows)
    click.echo(f"{page.missed} figures missed")
    sys.exit(1 if page.missed else 0)


def in_domain(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """Sets that trained the built-ins, on groups that they did not see."""
    click.echo("\n# Unseen groups of sets that trained the built-ins (ROC-AUC)")
    test = rows.filter(pl.col("part") == "test")
    tables: dict[str, dict[str, float]] = {}
    for name in sorted(rows["set"].unique()):
        some = test.filter(pl.col("set") == name)
        if 0 < some["toxic"].sum() < some.height:
            scores = builtins.scores(some["text"].to_list())
            tables[name] = {one: roc_auc(made, some["toxic"].to_numpy()) for one, made in scores.items()}
    _members(page, tables, {"cheap": CHEAP, "consensus": MEMBERS})
    some = test.filter(pl.col("set") == "davidson")
    both, toxic = builtins.scores(some["text"].to_list()), some["toxic"].to_numpy()
    for one in ("cheap", "consensus"):
        ends = interval(lambda w, made=both[one]: roc_auc(made, toxic, w), some["group"].to_list())  # type: ignore[misc]
        page.least(f"davidson, {one}", roc_auc(both[one], toxic), 0.98, ends)
    asked = rows.filter(pl.col("part").is_in(UNSEEN["head"]), pl.col("prompt").is_not_null(), pl.col("kind").is_in(CATEGORIES))
    with_context = builtins.logits(asked["text"].to_list(), asked["prompt"].to_list())
    alone = builtins.logits(asked["text"].to_list())
    toxic, groups = asked["toxic"].to_numpy(), asked["group"].to_list()
    page.say("diasafety, two categories, head without context", roc_auc(alone, toxic))
    ends = interval(lambda w: roc_auc(with_context, toxic, w), groups)
    page.least("diasafety, two categories, head given context", roc_auc(with_context, toxic), 0.68, ends)
    tuned = builtins.tuned_logits(asked["text"].to_list())
    page.say("diasafety, two categories, tuned without context", roc_auc(tuned, toxic))
    for kind in CATEGORIES:
        mask = (asked["kind"] == kind).to_numpy()
        page.say(f"  {kind}, head given context", roc_auc(with_context[mask], toxic[mask]))
        page.say(f"  {kind}, tuned", roc_auc(tuned[mask], toxic[mask]))
    _calibration(page, builtins, rows)
    found, toxic = builtins.scores(test["text"].to_list()), test["toxic"].to_numpy()
    for one in ("cheap", "first"):
        page.say(f"error rate cut by abstaining on the least certain 20 %, {one}, all sets", errors_cut(found[one], toxic))
    for one in ("cheap", "first", "consensus"):
        page.say(f"error rate of {len(toxic)} texts, {one}", float(((found[one] >= 0.5) != toxic).mean()))
    pooled = found["consensus"]
    cut = errors_cut(pooled, toxic)
    page.least("error rate cut by abstaining on the least certain 20 %, consensus, all sets", cut, 0.40)
    page.say("  wrong labels fewer, of all there were", 1 - (1 - cut) * 0.8)
    share = test["share"].to_numpy().astype(np.float64)
    agreed = np.isnan(share) | (np.maximum(share, 1 - share) >= AGREED)  # one voter against two is no truth to be wrong about
    page.say(f"  error rate cut, {int(agreed.sum())} texts whose voters agree", errors_cut(pooled[agreed], toxic[agreed]))
    doubt = np.sort(np.minimum(pooled, 1 - pooled))
    left = doubt[: len(doubt) - int(0.2 * len(doubt))]
    page.say("  error rate cut that the scores themselves promise", float(1 - left.mean() / doubt.mean()))
    weighed(page, builtins, rows)


def weighed(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """The consensus weighed for each set, cross-fitted over the groups that no labeler saw; calibration rows among them.

    Beside each calibration error stands what a score that is right shows on so few groups: labels drawn by it, one draw a group.
    """
    click.echo("\n# The consensus, weighed for each set")
    some = rows.filter(pl.col("part").is_in(["calibration", "test"]))
    scores = builtins.scores(some["text"].to_list())
    members, general = {name: scores[name] for name in MEMBERS}, scores["consensus"]
    sets, toxic, groups = some["set"].to_numpy(), some["toxic"].to_numpy(), some["group"].to_numpy()
    made, fold = np.full(len(sets), np.nan), np.zeros(len(sets), np.int64)
    for name in np.unique(sets):
        fold[sets == name] = dealt(groups[sets == name].tolist(), toxic[sets == name])
    for part in range(FOLDS):
        train, test = fold != part, np.flatnonzero(fold == part)
        own = by_source(builtins.reliability, {name: one[train] for name, one in members.items()}, toxic[train], sets[train])
        series = {name: pl.Series(one[test]) for name, one in members.items()}
        made[test] = replace(builtins.reliability, sources=own).pool(series, len(test), pl.Series(sets[test])).to_numpy()
    tables, worst, reached, fair = {}, 0.0, [], []
    for name in sorted(set(sets.tolist())):
        mask = sets == name
        if not 0 < toxic[mask].sum() < mask.sum():
            continue
        found = {one: values[mask] for one, values in members.items()} | {"consensus": general[mask], "weighed": made[mask]}
        tables[name] = {one: roc_auc(values, toxic[mask]) for one, values in found.items()}
        error, chance = calibration_error(made[mask], toxic[mask]), _chance(made[mask], groups[mask].tolist())
        worst, reached = max(worst, error), [*reached, error <= 0.05]
        fair.append(error <= np.quantile(chance, 0.95))
        click.echo(
            f"  {name}: expected calibration error {error:.3f} on {int(mask.sum())} texts in {len(np.unique(groups[mask]))} "
            f"groups (a right score: {np.mean(chance):.3f}, in 95 of 100 draws at most {np.quantile(chance, 0.95):.3f})"
        )
    page.most("expected calibration error, consensus weighed for the set, at worst", worst, 0.05)
    page.say(f"  sets of {len(reached)} with at most .05", float(sum(reached)))
    page.say(f"  sets of {len(fair)} where a right score shows as much in 95 of 100 draws", float(sum(fair)))
    _members(page, tables, {"weighed": MEMBERS})
    page.say(f"error rate of {len(toxic)} texts, consensus", float(((general >= 0.5) != toxic).mean()))
    page.say(f"error rate of {len(toxic)} texts, weighed", float(((made >= 0.5) != toxic).mean()))
    page.least("error rate cut by abstaining on the least certain 20 %, weighed, all sets", errors_cut(made, toxic), 0.40)


def _chance(scores: Floats, groups: Sequence[str]) -> Floats:
    """Calibration errors of a score that is right: labels drawn by it, texts of one group alike, shape (DRAWS,)."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(0)
    return np.array([calibration_error(scores, rng.random(len(names))[place] < scores) for _ in range(DRAWS)])


def _members(page: Page, tables: dict[str, dict[str, float]], wanted: dict[str, Sequence[str]]) -> None:
    """Each consensus beside its members on every set."""
    for name, one in tables.items():
        click.echo(f"  {name}: " + ", ".join(f"{who} {area:.3f}" for who, area in one.items()))
    for name, members in wanted.items():
        below = max(max(one[who] for who in members) - one[name] for one in tables.values())
        above = all(one[name] > np.mean([one[who] for who in members]) for one in tables.values())
        page.most(f"{name} below its best member, at worst", below, 0.01)
        page.say(f"{name} above the mean of its members on every set (1 = yes)", float(above), "1", ok=above)


def _calibration(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """Calibrate on four fifths of the unseen groups of a set, measure on the last, by turns.

    Beside each error stands what a score that is right shows on so few groups: labels drawn by it, one draw a group.
    """
    for labeler in ("head", "tuned"):
        worst, reached = 0.0, []
        for name in sorted(rows["set"].unique()):
            some = rows.filter(pl.col("set") == name, pl.col("part").is_in(UNSEEN[labeler]))
            some = some.sort("part", descending=True).head(SAMPLE)
            toxic, texts, groups = some["toxic"].to_numpy(), some["text"].to_list(), some["group"].to_list()
            if not 0 < toxic.sum() < len(toxic):
                continue
            logits = builtins.logits(texts) if labeler == "head" else builtins.tuned_logits(texts)
            made, fold = np.zeros(len(toxic)), dealt(groups, toxic)
            for part in range(FOLDS):
                slope, intercept = platt(logits[fold != part], toxic[fold != part])
                made[fold == part] = 1 / (1 + np.exp(-(slope * logits[fold == part] + intercept)))
            error, chance = calibration_error(made, toxic), np.mean(_chance(made, groups))
            worst = max(worst, error)
            reached.append(error <= 0.05)
            click.echo(
                f"  {name}, {labeler}: expected calibration error {error:.3f} on {len(toxic)} texts in {len(set(groups))} groups "
                f"(a right score: {chance:.3f})"
            )
        page.most(f"expected calibration error, {labeler} calibrated for the set, at worst", worst, 0.05)
        page.say(f"  sets of {len(reached)} with at most .05", float(sum(reached)))


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


def left_out(page: Page, builtins: Builtins, rows: pl.DataFrame, name: str, least: float) -> None:
    """A set that trained nothing."""
    click.echo(f"\n# {name}, left out of training")
    seen = {_bare(text) for text in rows.filter(pl.col("set") != name)["text"]}  # our templates among them
    some = rows.filter(pl.col("set") == name)
    some = some.filter(pl.Series([_bare(text) not in seen for text in some["text"]]))
    toxic, groups = some["toxic"].to_numpy(), some["group"].to_list()
    click.echo(f"  {some.height} texts that no training text repeats")
    scores = builtins.scores(some["text"].to_list())
    for one, made in scores.items():
        ends = interval(lambda w, made=made: roc_auc(made, toxic, w), groups)  # type: ignore[misc]
        page.least(f"{name}, {one}", roc_auc(made, toxic), least, ends) if one == "consensus" else page.say(
            f"{name}, {one}", roc_auc(made, toxic), ends=ends
        )
    if some["kind"].null_count() < some.height:
        _by(scores["consensus"], toxic, some["kind"].to_list(), "functionality")


def singlish(page: Page, builtins: Builtins, data: Path, plot: Path) -> None:
    """SGHateCheck, research only: without any Singlish label, then with N of them."""
    click.echo("\n# Singlish (SGHateCheck), models that never saw HateCheck")
    with (data / "research_only/sghatecheck_dev/ss_testcases_dev.csv").open(encoding="utf-8", newline="") as file:
        cases = list(csv.DictReader(file))
    texts = [case["c_testcase"] for case in cases]
    toxic, groups = np.array([case["t_gold"] == "hateful" for case in cases]), [case["t_id"] for case in cases]
    vectors = encoder(ENCODER).encode(texts)
    known = Builtins(builtins.head, builtins.ngram, builtins.tuned, builtins.reliability, _lookup(texts, vectors))
    scores = known.scores(texts)
    for name, made in scores.items():
        ends = interval(lambda w, made=made: roc_auc(made, toxic, w), groups)  # type: ignore[misc]
        page.say(f"no Singlish label, {name}", roc_auc(made, toxic), ends=ends)
    page.least("no Singlish label, consensus", roc_auc(scores["consensus"], toxic), 0.68)
    _by(scores["consensus"], toxic, [case["t_function"] for case in cases], "functionality")
    _by(scores["consensus"], toxic, [case["p_target"] for case in cases], "group")
    found: dict[str, dict[int, list[float]]] = {}
    for base, general in (("head", known.logits(texts)), ("tuned", log_odds(scores["tuned"]))):
        examples = Examples(texts, features(builtins.head, vectors), general, toxic, groups)
        found[base] = curve(examples, SIZES, SEEDS)
        for size, areas in found[base].items():
            middle, half = float(np.mean(areas)), 1.96 * float(np.std(areas, ddof=1)) / len(areas) ** 0.5
            ends = (middle - half, middle + half)
            name = f"{size if size < len(texts) else 'all'} labels on {base}, 5-fold by template, {SEEDS} seeds"
            if size in REQUIRED:
                page.least(f"{name} (aim {AIMED[size]:g})", middle, REQUIRED[size], ends)
            else:
                page.say(name, middle, ends=ends)
    _plot(plot, found, len(texts))


def _by(scores: Floats, toxic: NDArray[np.bool_], values: Sequence[Any], what: str) -> None:
    """Each value's texts against all texts of the other label."""
    click.echo(f"  by {what}: texts, ROC-AUC (against the other label where it has one only)")
    for value in sorted({str(value) for value in values}):
        mask = np.array([str(one) == value for one in values])
        other = mask.copy()
        if toxic[mask].all() or not toxic[mask].any():
            other |= toxic != toxic[mask][0]
        click.echo(f"    {value or '-'}: {int(mask.sum())}, {roc_auc(scores[other], toxic[other]):.3f}")


def speed(page: Page, rows: pl.DataFrame) -> None:
    """The whole labelling pass beside the bare encoder, in one run; and that neither run, batch nor order matters."""
    click.echo("\n# Speed and sameness")
    texts = sorted(rows.filter(pl.col("text").str.len_chars() < 400)["text"].unique(), key=lambda text: digest("speed", text))[
        :SPEED_TEXTS
    ]
    bare = encoder(ENCODER)
    bare.encode(texts[:50]), _label(texts[:50], bare.encode(texts[:50]))  # what is loaded once is loaded
    Tuned().score(texts[:50])
    ratios, doubtful = [], []
    for _ in range(3):
        started = process_time()
        vectors = bare.encode(texts)
        middle = process_time()
        labelled = _label(texts, vectors)
        ended = process_time()
        asked = [texts[at] for at in np.flatnonzero(labelled["mean"].is_between(*Undecided().band).to_numpy())]
        Tuned().score(asked)
        ratios.append((middle - started) / (ended - started))
        doubtful.append((middle - started) / (process_time() - started))
    page.least("labelling pass, share of the bare encoder's texts/s", float(np.median(ratios)), 0.90)
    page.say("  with `tuned` about the doubtful, share of the bare encoder's texts/s", float(np.median(doubtful)))
    page.say(
        f"  the doubtful of these {len(texts)} texts, which come from the sets and not from raw text", len(asked) / len(texts)
    )
    again = _label(texts, bare.encode(texts))
    order = np.random.default_rng(0).permutation(len(texts))
    some = [texts[at] for at in order[:200]]
    turned = _label(some, bare.encode(some))
    same = labelled.equals(again) and labelled[[int(at) for at in order[:200]]].equals(turned)
    page.say("two runs, another batch and another order give the same labels (1 = yes)", float(same), "1", ok=same)


def _label(texts: Sequence[str], vectors: NDArray[np.float32]) -> pl.DataFrame:
    kind = pl.Array(pl.Float32, vectors.shape[1])
    rows = pl.DataFrame(
        {"completion": list(texts), "vector": pl.Series(vectors, dtype=kind), "prompt_vector": pl.Series(vectors * 0, dtype=kind)}
    ).with_columns(evidence=pl.lit(None, pl.String), score_column=pl.lit(None, pl.Float32))
    rows = rows.hstack(Head()(rows)).hstack(Ngram()(rows))
    return Consensus(labelers=("column", *CHEAP))(rows).with_columns(
        mean=rows.select(pl.mean_horizontal("score_head", "score_ngram")).to_series()
    )


def _lookup(texts: Sequence[str], vectors: NDArray[np.float32]) -> Any:  # noqa: ANN401 - an encode function
    known = dict(zip(texts, vectors, strict=True))
    return lambda some: np.stack([known[text] for text in some])


def _bare(text: str) -> str:
    """A text as its letters, so that case, marks and spaces do not hide a repeat."""
    return "".join(one for one in text.casefold() if one.isalpha())


def _plot(path: Path, found: dict[str, dict[int, list[float]]], total: int) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 4))
    for base, areas in found.items():
        sizes = [min(size, int(total * 0.8)) or 10 for size in areas]
        middles, spreads = [np.mean(some) for some in areas.values()], [np.std(some, ddof=1) for some in areas.values()]
        axes.errorbar(sizes, middles, spreads, marker="o", label=f"on {base}")
    axes.set(xscale="log", xlabel="labelled Singlish texts (10: none)", ylabel="ROC-AUC on unseen templates")
    axes.plot(list(REQUIRED), list(REQUIRED.values()), "x", label="required")
    axes.legend()
    figure.savefig(path)
    click.echo(f"  curve: {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


if __name__ == "__main__":
    main()
