"""How good labels are: the figures of the labelers, each printed beside what was asked of it.

    python benchmarks/labels.py --data ../shared/data
    python benchmarks/labels.py --only surge

The built-ins as they ship, and throw-away models of the same training script that never saw HateCheck, or Surge; every test is
disjoint from training by template or group. HateCheck's functions and SGHateCheck's are tested by the models without HateCheck.
"cheap" is the consensus of `head` and `ngram`, "consensus" that of these, `reply` and `tuned`, each asked about every text,
"first" the same with `tuned` asked only about what the cheap two leave in doubt, as the recipe does; `reply` and `tuned` read the
prompts of sets that have them. "weighed" is the consensus whose weights and shift are fitted to the set itself, as `curate label
weigh --by-source` does, on four fifths of its unseen groups and applied to the last, by turns. The models without Surge do
without `tuned`, which takes half an hour to train. Of `research_only` sets only numbers are kept. Vectors and scores of public
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

from labels_dialect import fairness  # noqa: E402 - the path comes first
from labels_page import Page  # noqa: E402
from labels_pairs import preferred  # noqa: E402
from labels_seen import in_domain  # noqa: E402
from throwaway import CHEAP, MEMBERS, Builtins, train  # noqa: E402
from train_builtin import cached  # noqa: E402
from training_data import load, load_people  # noqa: E402

from curate.core.cache import caching  # noqa: E402
from curate.core.schema import digest  # noqa: E402
from curate.labelers import Consensus, Head, Ngram, Reply  # noqa: E402
from curate.labelers.builtin.head import ENCODER, features  # noqa: E402
from curate.labelers.builtin.shipped import load_shipped  # noqa: E402
from curate.labelers.builtin.tuned import Tuned  # noqa: E402
from curate.labelers.reliability import load_reliability  # noqa: E402
from curate.labelers.scoring import log_odds  # noqa: E402
from curate.labelers.study.fit import Examples, curve  # noqa: E402
from curate.labelers.study.measures import interval, roc_auc  # noqa: E402
from curate.stages.undecided import Undecided  # noqa: E402
from curate.text.encoders import encoder  # noqa: E402

Floats = NDArray[np.float64]

KINDS: dict[str, Any] = {"head": Head, "ngram": Ngram, "reply": Reply, "tuned": Tuned}
SIZES = (0, 50, 200, 800, 10_000)
REQUIRED = {50: 0.65, 200: 0.74, 800: 0.80}
AIMED = {50: 0.70, 200: 0.80, 800: 0.85}
SEEDS = 5
PARTS = ("shipped", "preferred", "fairness", "surge", "hatecheck", "speed")
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
    weights = {name: load_shipped(name, kind.VERSION) for name, kind in KINDS.items()}
    shipped = Builtins(*(weights[name] for name in MEMBERS), load_reliability(), encode)
    with caching(cache / "scores"):
        if "shipped" in wanted:
            in_domain(page, shipped, rows)
        if "preferred" in wanted:
            preferred(page, shipped, data)
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
    known = replace(builtins, encode=_lookup(texts, vectors))
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
    asked = np.roll(bare.encode(texts), 1, axis=0)  # stands for the prompts' vectors, which are made anyway
    _label(texts[:50], bare.encode(texts[:50]), asked[:50])  # what is loaded once is loaded
    Tuned().score(texts[:50])
    ratios, doubtful = [], []
    for _ in range(3):
        started = process_time()
        vectors = bare.encode(texts)
        middle = process_time()
        labelled = _label(texts, vectors, asked)
        ended = process_time()
        doubted = [texts[at] for at in np.flatnonzero(labelled["mean"].is_between(*Undecided().band).to_numpy())]
        Tuned().score(doubted)
        ratios.append((middle - started) / (ended - started))
        doubtful.append((middle - started) / (process_time() - started))
    page.least("labelling pass, share of the bare encoder's texts/s", float(np.median(ratios)), 0.90)
    page.say("  with `tuned` about the doubtful, share of the bare encoder's texts/s", float(np.median(doubtful)))
    page.say(
        f"  the doubtful of these {len(texts)} texts, which come from the sets and not from raw text", len(doubted) / len(texts)
    )
    again = _label(texts, bare.encode(texts), asked)
    order = np.random.default_rng(0).permutation(len(texts))
    some = [texts[at] for at in order[:200]]
    turned = _label(some, bare.encode(some), asked[order[:200]])
    same = labelled.equals(again) and labelled[[int(at) for at in order[:200]]].equals(turned)
    page.say("two runs, another batch and another order give the same labels (1 = yes)", float(same), "1", ok=same)


def _label(texts: Sequence[str], vectors: NDArray[np.float32], prompts: NDArray[np.float32]) -> pl.DataFrame:
    kind = pl.Array(pl.Float32, vectors.shape[1])
    rows = pl.DataFrame(
        {"completion": list(texts), "vector": pl.Series(vectors, dtype=kind), "prompt_vector": pl.Series(prompts, dtype=kind)}
    ).with_columns(evidence=pl.lit(None, pl.String), score_column=pl.lit(None, pl.Float32))
    rows = rows.hstack(Head()(rows)).hstack(Ngram()(rows)).hstack(Reply()(rows))
    return Consensus(labelers=("column", *CHEAP, "reply"))(rows).with_columns(
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
