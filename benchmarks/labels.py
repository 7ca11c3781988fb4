"""How good labels are: the figures of the labelers, each printed beside what was asked of it.

    python benchmarks/labels.py --data ../shared/data
    python benchmarks/labels.py --only surge

The built-ins as they ship, and throw-away models of the same training script that never saw HateCheck, or Surge; every test is
disjoint from training by template or group. HateCheck's functions and SGHateCheck's are tested by the models without HateCheck.
Of `research_only` sets only numbers are kept. Vectors of public texts are cached between runs; those of research texts are not.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from augmentation import PARTICLES, particle  # noqa: E402 - the path comes first
from throwaway import Builtins, train  # noqa: E402
from train_builtin import cached  # noqa: E402
from training_data import load  # noqa: E402

from curate.encoders import encoder  # noqa: E402
from curate.labelers import Consensus, Head, Ngram  # noqa: E402
from curate.labelers.head import ENCODER, features  # noqa: E402
from curate.labelers.reliability import load_reliability  # noqa: E402
from curate.labelers.trained import load_trained  # noqa: E402
from curate.labeling.fit import Examples, curve  # noqa: E402
from curate.labeling.measures import calibration_error, errors_cut, interval, platt, roc_auc  # noqa: E402
from curate.schema import digest  # noqa: E402

Floats = NDArray[np.float64]

SIZES = (0, 50, 200, 800, 10_000)
REQUIRED = {50: 0.65, 200: 0.74, 800: 0.80}
AIMED = {50: 0.70, 200: 0.80, 800: 0.85}
SEEDS = 5
PARTS = ("shipped", "fairness", "surge", "hatecheck", "speed")
UNSEEN = {"head": ("ngram", "test"), "ngram": ("head", "test"), "consensus": ("test",)}
"""Parts that each saw nothing of; the consensus saw what either did."""
CATEGORIES = ("Offending User", "Biased Opinion")
COUNTRIES = {"Singapore": "Singapore", "SG": "Singapore"} | dict.fromkeys(
    ("United States", "USA", "Canada", "United Kingdom"), "English"
)
LEAST_WORDS = 3
MATCHED = 0.03  # the share of plain English above which the shipped thresholds were set, too
BAND = Consensus().abstain
AGREED = 2 / 3 + 0.01  # share of the votes on the larger side
SPEED_TEXTS = 600
SAMPLE = 1500


class Page:
    """The figures, as they are found."""

    def __init__(self) -> None:
        self.missed = 0

    def say(
        self, name: str, value: float, wanted: str = "", *, ok: bool | None = None, ends: tuple[float, float] | None = None
    ) -> None:
        """Print one figure; `ok` is whether it is what was asked."""
        between = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else ""
        mark = "" if ok is None else ("  reached" if ok else "  MISSED")
        self.missed += ok is False
        click.echo(f"{name}: {value:.4f}{between}{f'  (wanted {wanted})' if wanted else ''}{mark}")

    def least(self, name: str, value: float, least: float, ends: tuple[float, float] | None = None) -> None:
        """A figure that should be at least so much."""
        self.say(name, value, f">= {least:g}", ok=value >= least, ends=ends)

    def most(self, name: str, value: float, most: float) -> None:
        """A figure that should be at most so much."""
        self.say(name, value, f"<= {most:g}", ok=value <= most)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), default=ROOT.parent / "shared" / "data")
@click.option("--cache", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()) / "margins-vectors")
@click.option("--plot", type=click.Path(path_type=Path), default=ROOT / "build" / "adaptation.svg", help="Where the curve goes.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Some parts only.")
def main(data: Path, cache: Path, plot: Path, only: tuple[str, ...]) -> None:
    """Print every figure; exit 1 when one is missed."""
    page, rows, wanted = Page(), load(data), only or PARTS
    encode = cached(encoder(ENCODER), cache)
    shipped = Builtins(load_trained("head", Head.VERSION), load_trained("ngram", Ngram.VERSION), load_reliability(), encode)
    if "shipped" in wanted:
        in_domain(page, shipped, rows)
    if "fairness" in wanted:
        fairness(page, shipped, rows, data)
    if "surge" in wanted:
        left_out(page, train(rows, encode, ["surge"]), rows, "surge", 0.87)
    if "hatecheck" in wanted:
        without = train(rows, encode, ["hatecheck"])
        left_out(page, without, rows, "hatecheck", 0.75)
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
    _members(page, tables)
    some = test.filter(pl.col("set") == "davidson")
    made, toxic = builtins.scores(some["text"].to_list())["consensus"], some["toxic"].to_numpy()
    page.least(
        "davidson, consensus", roc_auc(made, toxic), 0.98, interval(lambda w: roc_auc(made, toxic, w), some["group"].to_list())
    )
    asked = rows.filter(pl.col("part").is_in(UNSEEN["head"]), pl.col("prompt").is_not_null(), pl.col("kind").is_in(CATEGORIES))
    with_context = builtins.logits(asked["text"].to_list(), asked["prompt"].to_list())
    alone = builtins.logits(asked["text"].to_list())
    toxic, groups = asked["toxic"].to_numpy(), asked["group"].to_list()
    page.say("diasafety, two categories, head without context", roc_auc(alone, toxic))
    ends = interval(lambda w: roc_auc(with_context, toxic, w), groups)
    page.least("diasafety, two categories, head given context", roc_auc(with_context, toxic), 0.68, ends)
    for kind in CATEGORIES:
        mask = (asked["kind"] == kind).to_numpy()
        page.say(f"  {kind}", roc_auc(with_context[mask], toxic[mask]))
    _calibration(page, builtins, rows)
    scores, toxic = builtins.scores(test["text"].to_list())["consensus"], test["toxic"].to_numpy()
    cut = errors_cut(scores, toxic)
    page.least("error rate cut by abstaining on the least certain 20 %, consensus, all sets", cut, 0.40)
    page.say("  wrong labels fewer, of all there were", 1 - (1 - cut) * 0.8)
    share = test["share"].to_numpy().astype(np.float64)
    agreed = np.isnan(share) | (np.maximum(share, 1 - share) >= AGREED)  # one voter against two is no truth to be wrong about
    page.say(f"  error rate cut, {int(agreed.sum())} texts whose voters agree", errors_cut(scores[agreed], toxic[agreed]))
    doubt = np.sort(np.minimum(scores, 1 - scores))
    left = doubt[: len(doubt) - int(0.2 * len(doubt))]
    page.say("  error rate cut that the scores themselves promise", float(1 - left.mean() / doubt.mean()))


def _members(page: Page, tables: dict[str, dict[str, float]]) -> None:
    """The consensus beside its members on every set."""
    worst, above = 0.0, True
    for name, one in tables.items():
        best, mean = max(one["head"], one["ngram"]), (one["head"] + one["ngram"]) / 2
        worst, above = max(worst, best - one["consensus"]), above and one["consensus"] > mean
        click.echo(f"  {name}: head {one['head']:.3f}, ngram {one['ngram']:.3f}, consensus {one['consensus']:.3f}")
    page.most("consensus below its best member, at worst", worst, 0.01)
    page.say("consensus above the mean of its members on every set (1 = yes)", float(above), "1", ok=above)


def _calibration(page: Page, builtins: Builtins, rows: pl.DataFrame) -> None:
    """Calibrate on half of the unseen groups of a set, measure on the other half, and the other way round."""
    worst = 0.0
    for name in sorted(rows["set"].unique()):
        some = rows.filter(pl.col("set") == name, pl.col("part").is_in(UNSEEN["head"])).sort("part", descending=True).head(SAMPLE)
        toxic = some["toxic"].to_numpy()
        if not 0 < toxic.sum() < len(toxic):
            continue
        logits, made = builtins.logits(some["text"].to_list()), np.zeros(len(toxic))
        half = np.array([int(digest("half", group), 16) % 2 for group in some["group"]])
        for side in (0, 1):
            slope, intercept = platt(logits[half == side], toxic[half == side])
            made[half != side] = 1 / (1 + np.exp(-(slope * logits[half != side] + intercept)))
        error = calibration_error(made, toxic)
        worst = max(worst, error)
        click.echo(f"  {name}: expected calibration error {error:.3f} on {len(toxic)} texts")
    page.most("expected calibration error, head calibrated for the set, at worst", worst, 0.05)


def fairness(page: Page, builtins: Builtins, rows: pl.DataFrame, data: Path) -> None:
    """Benign Singlish beside benign English, messages of one corpus by country, and what an appended particle changes."""
    click.echo("\n# Dialect fairness")
    path = data / "sgd_dialogue_pairs/sgd_pairs_20k.jsonl.gz"
    english = sorted({json.loads(line)["completion"] for line in gzip.decompress(path.read_bytes()).splitlines()})
    english = sorted(english, key=lambda text: digest("evaluation sample", text))[:SAMPLE]
    polite = {name: made for name, made in builtins.scores(english).items()}
    for name, parts in UNSEEN.items():
        treebank = rows.filter(pl.col("set") == "singlish_treebank", pl.col("part").is_in(parts))["text"].to_list()
        share, usual = (float((made >= 0.5).mean()) for made in (builtins.scores(treebank)[name], polite[name]))
        page.say(f"{name}: toxic share of {len(treebank)} treebank sentences", share)
        page.say(f"{name}: toxic share of {len(english)} SGD turns", usual)
        page.most(f"{name}: ratio", share / max(usual, 1 / len(english)), 1.5)
    _one_register(page, builtins, data)
    texts = sorted(rows.filter(pl.col("part") == "test")["text"].to_list(), key=lambda text: digest("particle sample", text))[
        :SAMPLE
    ]
    longer = [particle(text, PARTICLES[int(digest(text), 16) % len(PARTICLES)]) for text in texts]
    before, after = builtins.scores(texts), builtins.scores(longer)
    for name in before:
        page.most(
            f"{name}: decisions that an appended particle flips",
            float(((before[name] >= 0.5) != (after[name] >= 0.5)).mean()),
            0.01,
        )
    turned = (before["consensus"] <= BAND[0]) & (after["consensus"] >= BAND[1])
    turned |= (before["consensus"] >= BAND[1]) & (after["consensus"] <= BAND[0])
    page.say("consensus: labels that an appended particle turns round, the abstain band between them", float(turned.mean()))


def _one_register(page: Page, builtins: Builtins, data: Path) -> None:
    """Text messages from Singapore beside those from North America and Britain: one corpus, one way of collecting it.

    Turns of a booking assistant hold no joke, no slang and no swear word, so that their share is near zero and a ratio over it
    says more about the register than about the dialect. Here the register is the same and both shares are far from zero. Also
    at the score that 3 % of the English messages exceed, so that labelers of any strictness compare; intervals resample senders.
    """
    lines = gzip.decompress((data / "nus_sms_dev/nus_sms_en_dev.jsonl.gz").read_bytes()).splitlines()
    found: dict[str, dict[str, str]] = {"Singapore": {}, "English": {}}
    for line in map(json.loads, lines):
        place = COUNTRIES.get(line["country"])
        if place and len(line["text"].split()) >= LEAST_WORDS:
            found[place][line["text"]] = line["userID"]
    both = {place: sorted(one, key=lambda text: digest("evaluation sample", text))[:SAMPLE] for place, one in found.items()}
    senders = [found[place][text] for place, texts in both.items() for text in texts]
    abroad = np.array([place == "Singapore" for place, texts in both.items() for _ in texts])
    for name, made in builtins.scores([text for texts in both.values() for text in texts]).items():
        for at, words in ((0.5, "at 0.5"), (float(np.quantile(made[~abroad], 1 - MATCHED)), f"where English has {MATCHED:.0%}")):
            flagged = (made >= at).astype(np.float64)

            def shares(weight: Floats, flagged: Floats = flagged) -> Floats:
                return np.array([np.average(flagged[side], weights=weight[side]) for side in (abroad, ~abroad)])

            here, there = shares(np.ones(len(flagged)))
            click.echo(
                f"{name}, {words}: {here:.4f} of {int(abroad.sum())} messages from Singapore, {there:.4f} of "
                f"{int((~abroad).sum())} in English ({_senders(senders, abroad)} and {_senders(senders, ~abroad)} senders)"
            )
            ends = interval(lambda w: float(np.diff(shares(w)[::-1])[0]), senders)  # noqa: B023 - used at once
            page.say(f"{name}, {words}: difference", float(here - there), ends=ends)
            page.most(f"{name}, {words}: ratio", float(here / max(there, 1e-9)), 1.5)


def _senders(names: Sequence[str], side: NDArray[np.bool_]) -> int:
    return len(set(np.asarray(names)[side]))


def left_out(page: Page, builtins: Builtins, rows: pl.DataFrame, name: str, least: float) -> None:
    """A set that trained nothing."""
    click.echo(f"\n# {name}, left out of training")
    seen = {_bare(text) for text in rows.filter(pl.col("set") != name)["text"]}
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
    known = Builtins(builtins.head, builtins.ngram, builtins.reliability, _lookup(texts, vectors))
    scores = known.scores(texts)
    for name, made in scores.items():
        ends = interval(lambda w, made=made: roc_auc(made, toxic, w), groups)  # type: ignore[misc]
        page.say(f"no Singlish label, {name}", roc_auc(made, toxic), ends=ends)
    page.least("no Singlish label, consensus", roc_auc(scores["consensus"], toxic), 0.68)
    _by(scores["consensus"], toxic, [case["t_function"] for case in cases], "functionality")
    _by(scores["consensus"], toxic, [case["p_target"] for case in cases], "group")
    examples = Examples(texts, features(builtins.head, vectors), known.logits(texts), toxic, groups)
    found = curve(examples, SIZES, SEEDS)
    for size, areas in found.items():
        middle, half = float(np.mean(areas)), 1.96 * float(np.std(areas, ddof=1)) / len(areas) ** 0.5
        ends = (middle - half, middle + half)
        name = f"{size if size < len(texts) else 'all'} labels, 5-fold by template, {SEEDS} seeds"
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
    ratios = []
    for _ in range(3):
        started = process_time()
        vectors = bare.encode(texts)
        middle = process_time()
        labelled = _label(texts, vectors)
        ratios.append((middle - started) / (process_time() - started))
    page.least("labelling pass, share of the bare encoder's texts/s", float(np.median(ratios)), 0.90)
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
    return Consensus(labelers=("column", "head", "ngram"))(rows)


def _lookup(texts: Sequence[str], vectors: NDArray[np.float32]) -> Any:  # noqa: ANN401 - an encode function
    known = dict(zip(texts, vectors, strict=True))
    return lambda some: np.stack([known[text] for text in some])


def _bare(text: str) -> str:
    """A text as its letters, so that case, marks and spaces do not hide a repeat."""
    return "".join(one for one in text.casefold() if one.isalpha())


def _plot(path: Path, found: dict[int, list[float]], total: int) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = [min(size, int(total * 0.8)) or 10 for size in found]
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.errorbar(
        sizes, [np.mean(areas) for areas in found.values()], [np.std(areas, ddof=1) for areas in found.values()], marker="o"
    )
    axes.set(xscale="log", xlabel="labelled Singlish texts (10: none)", ylabel="ROC-AUC on unseen templates")
    axes.plot(list(REQUIRED), list(REQUIRED.values()), "x", label="required")
    axes.legend()
    figure.savefig(path)
    click.echo(f"  curve: {path}")


if __name__ == "__main__":
    main()
