"""Measures worked by hand, labelers weighed with and without truth, a head adapted to a variety, and an audit of a build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.core.command import LazyGroup
from curate.core.errors import DataError, StorageError
from curate.dataset.look.audit import describe, draw, estimate, suspect_labels
from curate.labelers import Consensus, Head, Tuned
from curate.labelers.reliability import LabelerReliability, Reliability, load_reliability
from curate.labelers.study.fit import Examples, curve, folds
from curate.labelers.study.labelled import read_labelled
from curate.labelers.study.measures import calibration_error, roc_auc
from curate.labelers.study.weigh import dawid_skene, weigh


def test_no_group_stands_on_both_sides_of_a_fold() -> None:
    groups = [f"g{at % 17}" for at in range(200)]
    seen = []
    for train, test in folds(groups, seed=3):
        assert not {groups[at] for at in train} & {groups[at] for at in test}
        seen += test.tolist()
    assert sorted(seen) == list(range(200))


def _votes(rng: np.random.Generator, truth: np.ndarray, right: float) -> np.ndarray:
    return np.where(rng.random(len(truth)) < right, truth, ~truth).astype(float)


def test_dawid_skene_finds_who_is_right_without_knowing_the_truth() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(3000) < 0.3
    votes = np.stack([_votes(rng, truth, right) for right in (0.9, 0.8, 0.6)], axis=1)
    votes[rng.random(votes.shape) < 0.2] = np.nan
    share, hits, alarms, toxic = dawid_skene(votes)
    assert share == pytest.approx(0.3, abs=0.05)
    assert hits == pytest.approx([0.9, 0.8, 0.6], abs=0.06)
    assert alarms == pytest.approx([0.1, 0.2, 0.4], abs=0.06)
    assert ((toxic > 0.5) == truth).mean() > 0.87


def test_a_better_labeler_weighs_more_by_labels_and_by_agreement() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(2000) < 0.5
    scores = {name: np.clip(_votes(rng, truth, right) * 0.8 + 0.1, 0, 1) for name, right in (("a", 0.95), ("b", 0.8), ("c", 0.6))}
    by_labels = weigh(scores, truth.astype(float))
    by_agreement = weigh(scores, np.full(2000, np.nan))
    assert (by_labels.basis, by_agreement.basis) == ("labels", "agreement")
    for found in (by_labels, by_agreement):
        voices = [found.labelers[name].slope * found.labelers[name].weight for name in "abc"]
        assert voices == sorted(voices, reverse=True) and voices[0] > 2 * voices[2]
    with pytest.raises(DataError, match="too few"):
        weigh({"a": scores["a"]}, np.full(2000, np.nan))


def test_a_pool_adds_up_log_odds_by_weight_and_takes_who_speaks_alone_at_their_word() -> None:
    known = Reliability({"a": LabelerReliability(weight=1.0), "b": LabelerReliability(weight=0.5)}, "labels", 100)
    pooled = known.pool({"a": pl.Series([0.9, None, None, 0.9]), "b": pl.Series([0.5, 0.2, None, 0.9])}, 4)
    assert pooled.to_list()[2] is None
    assert [pooled[0], pooled[1], pooled[3]] == pytest.approx([0.9, 0.2, 1 / (1 + 9**-1.5)], abs=1e-4)


def test_what_a_labeler_counts_depends_on_who_else_speaks(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    truth = rng.random(1500) < 0.5
    one, other = (np.clip(_votes(rng, truth, right) * 0.8 + 0.1, 0, 1) for right in (0.7, 0.85))
    best = np.clip(0.7 * one + 0.3 * _votes(rng, truth, 0.95), 0.05, 0.95)  # knows what the first one says, and more
    found = weigh({"one": one, "other": other, "best": best}, truth.astype(float))
    assert found.labelers["one"].weight < 0.1 < found.subsets[frozenset({"one", "other"})]["one"]
    assert set(found.subsets) == {frozenset(names) for names in (("one", "other"), ("one", "best"), ("other", "best"))}
    pair = found.pool({"one": pl.Series([0.9]), "other": pl.Series([0.1]), "best": pl.Series([None], dtype=pl.Float64)}, 1)
    assert pair[0] != found.pool({"one": pl.Series([0.9]), "other": pl.Series([0.1]), "best": pl.Series([0.1])}, 1)[0]
    (tmp_path / "r.json").write_text(found.to_json(), encoding="utf-8")
    assert load_reliability(tmp_path / "r.json") == found


def _two_sources(rows: int) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """A forum where one labeler guesses and a tenth is toxic, and a chat where the other does and nine tenths are."""
    rng = np.random.default_rng(9)
    sources = np.repeat(["forum", "chat"], rows)
    truth = rng.random(2 * rows) < np.where(sources == "forum", 0.1, 0.9)
    scores = {}
    for name, good in (("a", "chat"), ("b", "forum")):
        right = np.where(sources == good, 0.9, 0.5)
        scores[name] = np.where(rng.random(2 * rows) < right, truth, ~truth) * 0.8 + 0.1
    return scores, truth.astype(float), sources.tolist()


def test_a_source_is_weighed_by_its_own_labelled_rows(tmp_path: Path) -> None:
    scores, truth, sources = _two_sources(1500)
    found = weigh(scores, truth, sources)
    assert weigh(scores, truth).sources == {} and set(found.sources) == {"forum", "chat"}
    forum, chat = found.sources["forum"], found.sources["chat"]
    assert forum.shift < -0.5 < 0.5 < chat.shift
    assert forum.weights["a"] < 0 < forum.weights["b"] and chat.weights["b"] < 0 < chat.weights["a"]
    columns = {name: pl.Series(one) for name, one in scores.items()}
    own = found.pool(columns, len(truth), pl.Series(sources)).to_numpy()
    general = found.pool(columns, len(truth)).to_numpy()
    assert ((own >= 0.5) != truth).mean() < 0.6 * ((general >= 0.5) != truth).mean()
    assert calibration_error(own, truth == 1) < 0.03 < calibration_error(general, truth == 1)
    (tmp_path / "r.json").write_text(found.to_json(), encoding="utf-8")
    assert load_reliability(tmp_path / "r.json") == found


def test_a_source_silences_a_labeler_that_is_wrong_there_but_does_not_believe_its_opposite() -> None:
    rng = np.random.default_rng(2)
    sources, truth = np.repeat(["forum", "chat"], (2000, 1000)), rng.random(3000) < 0.5
    turned = np.where(sources == "chat", ~truth, truth)  # what `b` hears
    heard = {"a": truth, "b": turned, "c": truth}
    scores = {name: np.where(rng.random(3000) < 0.8, one, ~one) * 0.6 + 0.2 for name, one in heard.items()}
    scores["c"][rng.random(3000) < 0.5] = np.nan  # as `tuned`, speaks of some rows: two companies, each with its own weights
    found = weigh(scores, truth.astype(float), sources.tolist())
    chat = found.pool(
        {name: pl.Series(one[2000:]).fill_nan(None) for name, one in scores.items()}, 1000, pl.Series(sources[2000:])
    )
    without = {name: pl.Series(scores[name][2000:]).fill_nan(None) for name in ("a", "c")}
    assert roc_auc(chat.to_numpy().astype(float), truth[2000:]) > 0.97 * roc_auc(
        found.pool(without, 1000).to_numpy().astype(float), truth[2000:]
    )
    alone = [found.pool({"a": pl.Series([0.5]), "b": pl.Series([one])}, 1, pl.Series(["chat"]))[0] for one in (0.2, 0.8)]
    assert alone[0] <= alone[1]


def test_an_unknown_source_is_pooled_as_rows_at_large_and_few_labels_move_little() -> None:
    scores, truth, sources = _two_sources(1500)
    found, some = weigh(scores, truth, sources), {name: pl.Series(one[:5]) for name, one in scores.items()}
    assert found.pool(some, 5, pl.Series(["blog"] * 5)).equals(found.pool(some, 5))
    assert found.pool(some, 5, pl.Series([None] * 5, dtype=pl.String)).equals(found.pool(some, 5))
    known = np.array(sources) == "chat"  # of the forum, 15 rows of either kind: too few to say
    for side in (0.0, 1.0):
        known |= np.isin(np.arange(len(truth)), np.flatnonzero((np.array(sources) == "forum") & (truth == side))[:15])
    assert set(weigh(scores, np.where(known, truth, np.nan), sources).sources) == {"chat"}


def test_the_consensus_reads_the_source_only_where_sources_were_weighed(tmp_path: Path) -> None:
    scores, truth, sources = _two_sources(1500)
    (tmp_path / "r.json").write_text(weigh(scores, truth, sources).to_json(), encoding="utf-8")
    consensus = Consensus(labelers=("a", "b"), reliability=tmp_path / "r.json")
    rows = pl.DataFrame({"evidence": [None, None], "source": ["forum", "chat"], "score_a": [0.9, 0.9], "score_b": [0.1, 0.1]})
    rows = rows.with_columns(pl.col("evidence").cast(pl.String))
    assert "source" in consensus.reads and "source" not in Consensus().reads
    assert consensus(rows)["toxic"].to_list() == [False, True]


def test_the_consensus_says_why_and_marks_the_unmeasured() -> None:
    rows = pl.DataFrame(
        {"evidence": ["human", None, None, None], "score_column": [1.0, None, None, 0.5], "score_other": [0.1, 0.9, None, 0.9]},
        schema={"evidence": pl.String, "score_column": pl.Float32, "score_other": pl.Float32},
    )
    why = Consensus(labelers=("column", "other"))(rows)["why"].to_list()
    assert why == ["people said 1.0", "other (unmeasured) 0.9", "no labeler has a score", "votes are tied"]


def test_reliabilities_survive_their_file(tmp_path: Path) -> None:
    found = Reliability({"a": LabelerReliability(1.5, -0.25, 1.0)}, "labels", 321)
    (tmp_path / "r.json").write_text(found.to_json(), encoding="utf-8")
    assert load_reliability(tmp_path / "r.json") == found
    assert Consensus(reliability=tmp_path / "r.json").models == (found.hash,)
    (tmp_path / "no.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StorageError, match="curate label weigh"):
        load_reliability(tmp_path / "no.json")


GOOD = ("The {} at the corner is nice", "Thanks for the {} yesterday", "Where can I buy a {} here", "My {} came late again")
BAD = ("You are a useless {}", "Nobody likes your stupid {}", "What an idiot with a {}", "Shut up about your {}, fool")
THINGS = ("kopi", "bus", "phone", "durian", "laptop", "lift", "form", "ticket")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labelled") / "texts.csv"
    lines = [(line.format(thing), side, line) for side, some in (("yes", BAD), ("no", GOOD)) for line in some for thing in THINGS]
    pl.DataFrame(lines, schema=["text", "toxic", "template"], orient="row").write_csv(path)
    return path


def test_labels_are_read_by_the_policy_and_one_sided_files_are_refused(labelled: Path, tmp_path: Path) -> None:
    rows = read_labelled(labelled, "text", "toxic")
    assert (rows.height, rows["toxic"].sum(), rows["group"].n_unique()) == (64, 32, 8)
    with pytest.raises(DataError, match="no column 'words'"):
        read_labelled(labelled, "words", "toxic")
    one = tmp_path / "one.jsonl"
    rows.filter("toxic").select("text", "toxic").write_ndjson(one)
    with pytest.raises(DataError, match="texts of both are needed"):
        read_labelled(one, "text", "toxic")


def test_a_head_fitted_for_a_variety_is_used_by_name_of_its_file(labelled: Path, tmp_path: Path) -> None:
    from curate.labelers.study.adapt import adapt

    out = tmp_path / "mine.safetensors"
    lines = list(adapt(read_labelled(labelled, "text", "toxic"), "singlish", out, (20,), seeds=1))
    assert "64 texts in 8 groups" in lines[0] and any(line.strip().startswith("20:") for line in lines)
    assert "# Head for singlish" in out.with_suffix(".md").read_text(encoding="utf-8")
    mine = Head(weights=out)
    texts = read_labelled(labelled, "text", "toxic")
    scores = mine.score(texts["text"].to_list())
    assert roc_auc(scores.astype(float), texts["toxic"].to_numpy()) > 0.95
    assert mine.models[:-1] == Head().models and mine.threshold == 0.5
    np.testing.assert_array_equal(mine.score(texts["text"].to_list()[:3]), scores[:3])
    with pytest.raises(StorageError, match="curate label fit"):
        Head(weights=labelled).score(["a b"])


def test_a_head_fitted_on_tuned_asks_it_about_every_text(labelled: Path, tmp_path: Path) -> None:
    from curate.labelers.study.adapt import adapt

    out, rows = tmp_path / "mine.safetensors", read_labelled(labelled, "text", "toxic")
    list(adapt(rows, "singlish", out, (), seeds=1, on_tuned=True))
    mine, texts = Head(weights=out), rows["text"].to_list()
    assert mine.models == (*Head().models, Tuned().models[0], mine.models[-1])
    assert roc_auc(mine.score(texts).astype(float), rows["toxic"].to_numpy()) > 0.95
    assert "the logit of `tuned`" in out.with_suffix(".md").read_text(encoding="utf-8")
    assert np.isnan(mine.score(["  "])).all()


def test_a_head_goes_into_a_safetensors_file_and_nowhere_else(labelled: Path, tmp_path: Path) -> None:
    from curate.labelers.study.adapt import adapt

    with pytest.raises(DataError, match="name one"):
        next(adapt(read_labelled(labelled, "text", "toxic"), "singlish", tmp_path / "mine.md", (20,), seeds=1))


def test_a_learning_curve_leaves_out_folds_with_one_kind_of_text() -> None:
    texts = [f"text {at}" for at in range(40)]
    toxic = np.arange(40) < 8  # ten groups of four, two of them toxic: most folds test harmless texts alone
    general = np.where(toxic, 1.0, -1.0)
    examples = Examples(texts, np.zeros((40, 1)), general, toxic, [str(at // 4) for at in range(40)])
    found = curve(examples, (0, 2, 40), seeds=2)
    assert found[0] == [1.0, 1.0] and all(np.isfinite(found[2])), "of two texts of one kind the general head's word is left"


def _corpus() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    truth = rng.random(400) < 0.5
    score = np.clip(np.where(truth, 0.85, 0.15) + rng.normal(0, 0.05, 400), 0, 1)
    toxic = [None if 0.4 < one < 0.6 else bool(one > 0.5) for one in score]
    human = np.arange(400) < 60
    label = [bool(one) for one in truth]
    label[3] = not label[3]  # the one wrong label that people gave
    return pl.DataFrame(
        {
            "id": [f"{at:04d}" for at in range(400)],
            "toxic": [label[at] if human[at] else toxic[at] for at in range(400)],
            "toxicity": score,
            "disagreement": np.abs(rng.normal(0, 0.1, 400)),
            "evidence": ["human" if one else "machine" for one in human],
            "stage": pl.Series([None if one is not None else "compose" for one in toxic], dtype=pl.String),
            "reason": pl.Series([None if one is not None else "abstained" for one in toxic], dtype=pl.String),
            "score_head": score,
        }
    )


def test_a_wrong_label_is_suspected() -> None:
    assert suspect_labels(_corpus())["id"][0] == "0003"


def test_an_audit_draws_each_row_once_and_estimates_from_the_random_queue_alone() -> None:
    rows = _corpus()
    drawn = draw(rows, 50, seed=1)
    assert drawn["id"].n_unique() == drawn.height
    assert drawn.equals(draw(rows.sample(fraction=1, shuffle=True, seed=0), 50, seed=1))
    random = drawn.filter(pl.col("queue") == "random").join(rows.select("id", "toxic"), on="id")
    truth = random.select("id", toxic=pl.when(pl.int_range(pl.len()) < 5).then(~pl.col("toxic")).otherwise("toxic"))
    others = drawn.filter(pl.col("queue") != "random").select("id", toxic=pl.lit(True))
    found = estimate(rows, drawn, pl.concat([truth, others]))
    assert found.rows == 50 and found.accuracy[0] == pytest.approx(0.9)
    low, high = found.accuracy[1:]
    assert low < 0.9 < high and len(describe(found)) == 4
    with pytest.raises(DataError, match="random queue"):
        estimate(rows, drawn, others)


def test_the_group_lists_its_commands() -> None:
    from curate.commands.label import label

    assert isinstance(label, LazyGroup)
    assert set(label.lazy) == {"fit", "eval", "weigh", "audit"}
