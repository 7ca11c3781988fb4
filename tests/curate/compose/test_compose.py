"""Composing: every kept row ends in an output or under one reason, and no pair, split or label is what it must not be."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.compose.compose import Composed, DatasetOptions, compose
from curate.compose.fates import REASONS
from curate.compose.splits import Splits
from curate.core.errors import DataError
from curate.core.manifest.counts import StrategyCounts
from curate.pairing import PAIRERS

Rows = Callable[..., pl.DataFrame]
ALL = [make() for make in PAIRERS.values() if not make.reads]
EVERY = [make() for make in PAIRERS.values()]


def vectors(ids: pl.Series) -> Any:
    """A vector in three dimensions for each id, so that some are near each other."""
    draws = [np.random.default_rng(int(str(name)[:8], 16)).normal(size=3) for name in ids]
    made = np.stack(draws) if draws else np.zeros((0, 3))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float16).astype(np.float32)


def everywhere(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([frame.with_columns(split=pl.lit(split)) for split, frame in frames.items()])


def one_split(**options: Any) -> DatasetOptions:
    return DatasetOptions(splits=Splits(validation=0, test=0), **options)


def test_a_toxic_reply_is_undesirable_and_rejected_and_a_mild_one_desirable_and_chosen(rows: Rows) -> None:
    made = compose(
        rows(
            {"prompt": "how was lunch", "text": "you fool", "toxicity": 0.95},
            {"prompt": "how was lunch", "text": "not bad lah", "toxicity": 0.02},
        ),
        one_split(),
        ALL,
        seed=0,
    )
    labels = {line["completion"][0]["content"]: line["label"] for line in made.unpaired["train"].iter_rows(named=True)}
    assert labels == {"you fool": False, "not bad lah": True}
    (pair,) = made.paired["train"].iter_rows(named=True)
    assert pair["chosen"] == [{"role": "assistant", "content": "not bad lah"}]
    assert pair["rejected"] == [{"role": "assistant", "content": "you fool"}]
    assert pair["prompt"] == [{"role": "user", "content": "how was lunch"}]
    assert pair["margin"] == pytest.approx(0.93)
    assert made.sft["train"]["completion"].to_list() == [[{"role": "assistant", "content": "not bad lah"}]]


def test_a_row_without_a_prompt_takes_the_template(rows: Rows) -> None:
    made = compose(
        rows({"text": "hello", "toxicity": 0.1}, {"text": "you fool", "toxicity": 0.9}),
        one_split(prompt_template="Say it."),
        ALL,
        0,
    )
    assert all(prompt == [{"role": "user", "content": "Say it."}] for prompt in made.unpaired["train"]["prompt"].to_list())
    assert made.paired["train"].height == 0, "rows that share nothing but the template are no pair"
    assert made.warnings[0].startswith("no row has a prompt of its own: nothing can be asked of a model")


def test_one_prompt_is_enough_to_ask(rows: Rows) -> None:
    made = compose(rows({"text": "hello", "toxicity": 0.1}, {"prompt": "a", "text": "bye", "toxicity": 0.1}), one_split(), ALL, 0)
    assert not any("prompt of its own" in line for line in made.warnings)


def test_a_text_with_both_labels_abstains_everywhere(rows: Rows) -> None:
    made = compose(
        rows(
            {"prompt": "a", "text": "Walao  eh", "toxicity": 0.9},
            {"prompt": "b", "text": "walao eh", "toxicity": 0.1},
            {"prompt": "b", "text": "you fool", "toxicity": 0.9},
        ),
        one_split(),
        ALL,
        0,
    )
    assert made.counts.dropped == {"conflict": 2}
    assert made.unpaired["train"]["label"].to_list() == [False]
    assert made.paired["train"].height == 0


def test_pairs_under_the_least_margin_are_counted_not_written(rows: Rows) -> None:
    made = compose(
        rows({"prompt": "a", "text": "x", "toxicity": 0.6}, {"prompt": "a", "text": "y", "toxicity": 0.4}),
        one_split(min_margin=0.3),
        ALL,
        0,
    )
    assert made.paired["train"].height == 0
    assert made.counts.strategies["same_prompt"] == StrategyCounts(pairs=0, refused={"thin_margin": 1})


def test_a_pair_that_two_pairers_propose_is_the_first_ones(rows: Rows) -> None:
    sides = rows(
        {"record": "r", "side": "chosen", "prompt": "a", "text": "x", "toxicity": 0.1},
        {"record": "r", "side": "rejected", "prompt": "a", "text": "y", "toxicity": 0.9},
    )
    made = compose(sides, one_split(), ALL, 0)
    assert made.paired["train"]["strategy"].to_list() == ["given"]
    assert made.counts.strategies["same_prompt"].refused == {"proposed_before": 1}


def test_sides_that_labels_do_not_separate_are_a_preferred_pair_and_no_unpaired_rows(rows: Rows) -> None:
    asked = {"record": "r", "prompt": "how to go"}
    built = rows(
        asked | {"side": "chosen", "text": "take the bus", "toxicity": 0.05},
        asked | {"side": "rejected", "text": "walk there lah", "toxicity": 0.1},
        {"prompt": "why", "text": "you fool", "toxicity": 0.9},
    )
    made = compose(built, one_split(benign_share=1), ALL, 0)
    chosen, rejected, toxic = built["id"]
    assert made.paired["train"].select("chosen_id", "rejected_id", "relation").rows() == [(chosen, rejected, "preferred")]
    assert made.unpaired["train"]["id"].to_list() == [toxic]
    assert made.sft["train"]["id"].to_list() == [chosen], "what people chose may be learnt; what they rejected may not"
    assert made.counts.dropped == {} and made.counts.relations == {"preferred": 1}
    alone = compose(built, one_split(benign_share=1), [PAIRERS["given"](preferred=False)], 0)
    assert alone.counts.dropped == {"preferred": 1} and alone.paired["train"].height == 0


def test_records_that_rewrite_one_text_are_in_one_split(rows: Rows) -> None:
    lines = [
        line
        for at in range(40)
        for line in (
            {"record": f"r{at}", "side": "original", "text": f"You fool number {at % 4}", "toxicity": 0.9},
            {"record": f"r{at}", "side": "rewrite", "text": f"you are number {at} to me", "toxicity": 0.1},
        )
    ]
    built = rows(*lines).with_columns(derived_from=pl.when(pl.col("side") == "rewrite").then(pl.col("id").shift(1)))
    corpus = compose(built, DatasetOptions(splits=Splits(validation=0.2, test=0.4)), [], 0).corpus
    told = dict(zip(built["id"], [line["text"] for line in lines], strict=True))
    splits = defaultdict(set)
    for name, origin, split in corpus.select("id", "derived_from", "split").iter_rows():
        splits[told[origin or name]].add(split)
    assert len(splits) == 4 and all(len(some) == 1 for some in splits.values())
    assert corpus["split"].n_unique() > 1


def test_personal_data_that_pii_left_keeps_a_row_out(rows: Rows) -> None:
    built = rows(
        {"prompt": "a", "text": "mail tan.ah.kow@example.com lah", "toxicity": 0.1},
        {"prompt": "a", "text": "you fool", "toxicity": 0.9},
        {"prompt": "ask tan.ah.kow@example.com", "text": "can", "toxicity": 0.1},
    )
    made = compose(built, one_split(), ALL, 0)
    assert made.counts.dropped == {"personal_data": 2} and made.paired["train"].height == 0


def test_refused_candidates_say_why(rows: Rows) -> None:
    built = rows({"prompt": "a", "text": "x", "toxicity": 0.9}, {"prompt": "a", "text": "y" * 40, "toxicity": 0.1})
    refused = compose(built, one_split(), ALL, 0).refused
    assert refused.select("chosen_id", "rejected_id", "reason").rows() == [(built["id"][1], built["id"][0], "length_ratio")]


def test_benign_rows_are_held_to_their_share_in_train_only(rows: Rows) -> None:
    lines = [{"prompt": f"bad {n}", "text": f"fool {n}", "toxicity": 0.9} for n in range(30)]
    lines += [{"prompt": f"bad {n}", "text": f"calm {n}", "toxicity": 0.1} for n in range(30)]
    lines += [{"prompt": f"fine {n}", "text": f"sure {n}", "toxicity": 0.1} for n in range(100)]
    made = compose(rows(*lines), one_split(benign_share=0.25, sft_benign_share=0.25), ALL, 0)
    assert made.unpaired["train"]["benign"].sum() == 20
    assert made.sft["train"]["benign"].sum() == 10
    assert any("90 of 130 desirable rows are not in sft train: at most 25%" in line for line in made.warnings)
    assert set(made.sft["train"]["id"]) <= set(made.unpaired["train"]["id"])
    assert made.counts.dropped == {"benign_share": 80}
    assert made.counts.benign.unpaired_train_share == 0.25
    held_out = compose(rows(*lines), DatasetOptions(splits=Splits(validation=0, test=0.99)), ALL, 0)
    assert held_out.unpaired["test"]["benign"].sum() > 90


def test_a_known_toxic_reply_makes_its_prompt_not_benign_even_when_it_was_dropped(rows: Rows) -> None:
    made = compose(
        rows(
            {"prompt": "a", "text": "x", "toxicity": 0.9, "stage": "length", "reason": "short"},
            {"prompt": "a", "text": "y", "toxicity": 0.1},
            {"prompt": "b", "text": "z", "toxicity": 0.1},
        ),
        one_split(benign_share=1),
        ALL,
        0,
    )
    assert dict(zip(made.corpus["completion"], made.corpus["reason"], strict=True)) == {"x": "short", "y": None, "z": None}
    assert {line["completion"][0]["content"]: line["benign"] for line in made.unpaired["train"].iter_rows(named=True)} == {
        "y": False,
        "z": True,
    }


def test_too_few_benign_rows_are_all_taken_and_the_real_share_is_said(rows: Rows) -> None:
    lines = [{"prompt": f"bad {n}", "text": f"fool {n}", "toxicity": 0.9} for n in range(19)]
    made = compose(rows(*lines, {"prompt": "fine", "text": "sure", "toxicity": 0.1}), one_split(), ALL, 0)
    assert made.counts.benign.unpaired_train_share == 0.05
    assert any("benign rows are 5.0% of unpaired train, 25% was asked" in line for line in made.warnings)


def test_sft_takes_every_desirable_row_of_data_with_one_completion_per_prompt(rows: Rows) -> None:
    lines = [{"prompt": f"bad {n}", "text": f"fool {n}", "toxicity": 0.9} for n in range(4)]
    lines += [{"prompt": f"other {n}", "text": f"sure {n}", "toxicity": 0.1} for n in range(60)]
    made = compose(rows(*lines), one_split(), ALL, 0)
    assert made.sft["train"].height == 60 and made.counts.dropped == {}
    assert made.unpaired["train"]["label"].to_list().count(True) == 4, "as many as balance the toxic ones"
    (line,) = (line for line in made.warnings if "benign" in line)
    assert line.startswith("56 of 60 desirable rows are not in unpaired train") and "were taken" not in "".join(made.warnings)
    assert compose(rows(*lines), one_split(benign_share=1), ALL, 0).unpaired["train"].height == 64


def test_a_class_that_is_missing_is_said(rows: Rows) -> None:
    made = compose(rows({"prompt": "a", "text": "x", "toxicity": 0.1}), one_split(), ALL, 0)
    assert any("no toxic row" in line for line in made.warnings)
    assert made.counts.kto is None


def test_held_out_rows_that_train_shows_are_purged_counted_and_warned_of(rows: Rows) -> None:
    lines = [{"prompt": "the one question", "text": f"reply {n}", "toxicity": 0.1, "thread": f"thread {n}"} for n in range(40)]
    made = compose(rows(*lines), DatasetOptions(), ALL, 0)
    gone = made.corpus.filter(pl.col("reason") == "purged")
    assert gone.height > 5 and set(gone["split"]) <= {"validation", "test"}
    assert set(gone["twin"]) <= set(made.unpaired["train"]["id"])
    assert not made.unpaired["test"].height and not made.unpaired["validation"].height
    assert made.counts.purged.held_out == gone.height and made.counts.purged.share == 1.0
    assert sum(reasons.get("prompt", 0) for reasons in made.counts.purged.by_split().values()) == gone.height
    assert any("100% of the held-out rows" in line for line in made.warnings)


def test_nothing_labelled_is_refused_with_the_reasons(rows: Rows) -> None:
    with pytest.raises(DataError, match="no row is left to write: abstained 2"):
        compose(rows({"text": "x"}, {"text": "y"}), one_split(), ALL, 0)


def test_rows_dropped_before_pii_stay_in_the_corpus_without_text(rows: Rows) -> None:
    gone = rows({"text": None, "stage": "repair", "reason": "empty"}, {"prompt": "a", "text": "x", "toxicity": 0.9}).with_columns(
        prompt=pl.when(pl.col("stage").is_null()).then("prompt")
    )
    corpus = compose(gone, one_split(), ALL, 0).corpus
    assert corpus.filter(pl.col("stage") == "repair").select("prompt", "completion", "split").row(0) == (None, None, "train")


SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "prompt": st.sampled_from([None, "a", "b", "c", "d", "e", "f"]),
                "toxicity": st.sampled_from([None, 0.1, 0.1, 0.1, 0.9]),
                "thread": st.sampled_from([None, None, "t1", "t2"]),
            }
        ),
        min_size=1,
        max_size=40,
    ),
    SHARES,
    SHARES,
    st.sampled_from([0.0, 1.0, 2.0]),
)
@settings(deadline=None, max_examples=int(os.environ.get("MARGINS_EXAMPLES", "100")))
def test_every_warning_about_shares_is_true_of_this_runs_counts(
    rows: Rows, lines: list[dict[str, Any]], share: float, sft_share: float, balance: float
) -> None:
    built = rows(*({"text": f"text {at}"} | line for at, line in enumerate(lines)))
    options = one_split(benign_share=share, sft_benign_share=sft_share, balance=balance)
    try:
        made = compose(built, options, ALL, 0)
    except DataError:
        return  # nothing is labelled
    desirable = sum(line["toxicity"] == 0.1 for line in lines)
    unpaired, sft = made.unpaired["train"], made.sft["train"]
    taken, in_sft = unpaired.filter("label").height, sft.height
    said = "\n".join(line for line in made.warnings if "benign" in line)
    assert ("were taken" in said) == (taken == desirable and unpaired["benign"].sum() / unpaired.height < share - 0.01)
    if "were taken" in said:
        assert f"benign rows are {unpaired['benign'].mean():.1%} of unpaired train" in said
    assert ("not in unpaired train" in said) == (desirable - taken > desirable / 2)
    if "not in unpaired train" in said:
        assert f"{desirable - taken} of {desirable} desirable rows are not in unpaired train" in said
    assert ("not in sft train" in said) == (in_sft < desirable)
    if in_sft < desirable:
        assert f"{desirable - in_sft} of {desirable} desirable rows are not in sft train" in said and sft_share < 1


LINE = st.fixed_dictionaries(
    {
        "text": st.sampled_from(
            ["ok", "OK ", "can", "cannot", "fool", "go away", "later", "never", "I cannot help", "so long " * 9]
        ),
        "prompt": st.sampled_from([None, "a", "A", "b", "c"]),
        "toxicity": st.sampled_from([None, 0.0, 0.1, 0.45, 0.55, 0.9, 1.0]),
        "thread": st.sampled_from([None, None, "t1", "t2", "t3"]),
        "record": st.sampled_from(["r1", "r2", "r3", "r4", "r5", "r6"]),
        "side": st.sampled_from([None, None, "chosen", "rejected", "original", "rewrite", "sample"]),
        "origin": st.sampled_from([None, 0, 1, 2]),
        "variety": st.sampled_from([None, None, "singlish"]),
        "source": st.sampled_from(["a.jsonl", "held_out/b.jsonl"]),
        "near_cluster": st.sampled_from([None, None, None, "n1", "n2"]),
        "reason": st.sampled_from([None, None, None, None, "short", "exact_duplicate"]),
        "evidence": st.sampled_from(["human", "votes", "machine"]),
    }
)


def check(built: pl.DataFrame, made: Composed, dataset: DatasetOptions) -> None:  # noqa: C901 - one law after another
    """What must hold, said again in plain Python from the input rows alone."""
    told = {line["id"]: line for line in built.iter_rows(named=True)}
    split = dict(made.corpus.select("id", "split").iter_rows())
    same = {text: " ".join(text.lower().split()) for text in {line["completion"] for line in told.values()}}

    def key(line: dict[str, Any]) -> str | None:
        return line["prompt"][0]["content"].lower() if line["prompt"] else None

    assert sorted(made.corpus["id"]) == sorted(told), "the corpus holds every row once"
    paired = everywhere(made.paired)
    used = (
        set(everywhere(made.unpaired)["id"])
        | set(everywhere(made.sft)["id"])
        | set(paired["chosen_id"])
        | set(paired["rejected_id"])
    )
    fate = dict(made.corpus.select("id", "reason").iter_rows())
    for name, line in told.items():
        if line["reason"]:
            assert fate[name] == line["reason"] and name not in used
        else:
            assert (fate[name] is None) == (name in used)
            assert fate[name] is None or fate[name] in REASONS
    dropped = Counter(fate[name] for name, line in told.items() if not line["reason"] and fate[name])
    assert made.counts.dropped == dict(dropped)
    assert made.counts.rows_in == made.counts.kept + sum(dropped.values())

    texts = defaultdict(set)
    for line in everywhere(made.unpaired).iter_rows(named=True):
        row = told[line["id"]]
        assert line["label"] is (row["toxicity"] < 0.5), "true is desirable, that is non_toxic"
        assert line["completion"] == [{"role": "assistant", "content": row["completion"]}]
        assert line["split"] == split[line["id"]] in {"train", "validation", "test"}
        texts[same[row["completion"]]].add(line["label"])
    assert all(len(labels) == 1 for labels in texts.values()), "no text has both labels"
    assert not everywhere(made.unpaired)["id"].is_duplicated().any()
    assert set(everywhere(made.sft)["id"]) <= {name for name, line in told.items() if (line["toxicity"] or 0) < 0.5}

    per_prompt: Counter[Any] = Counter()
    refusals: dict[str, list[bool]] = defaultdict(list)
    for pair in paired.iter_rows(named=True):
        chosen, rejected = told[pair["chosen_id"]], told[pair["rejected_id"]]
        assert chosen["toxicity"] < 0.5
        if pair["relation"] == "preferred":
            assert pair["strategy"] == "given" and rejected["toxicity"] < 0.5
            assert not {pair["chosen_id"], pair["rejected_id"]} & set(everywhere(made.unpaired)["id"])
        else:
            assert pair["relation"] == "toxicity" and rejected["toxicity"] > 0.5
            assert rejected["toxicity"] - chosen["toxicity"] >= dataset.min_margin - 1e-6
        assert pair["margin"] == pytest.approx(rejected["toxicity"] - chosen["toxicity"], abs=1e-6)
        assert same[chosen["completion"]] != same[rejected["completion"]]
        sizes = sorted(len(side["completion"]) for side in (chosen, rejected))
        assert sizes[1] <= dataset.max_length_ratio * sizes[0]
        assert pair["strategy"] == "nearest_neighbour" or key(chosen) == key(rejected)
        assert pair["prompt"][0]["content"] == (
            rejected["prompt"][0]["content"] if rejected["prompt"] else dataset.prompt_template
        )
        assert split[pair["chosen_id"]] == split[pair["rejected_id"]] == pair["split"]
        assert pair["chosen"][0]["content"] == chosen["completion"] and pair["rejected"][0]["content"] == rejected["completion"]
        refusals[pair["split"]].append("cannot help" in chosen["completion"])
        if pair["strategy"] in ("rewrite", "nearest_neighbour"):
            cosine = float((vectors(pl.Series([chosen["id"]])) @ vectors(pl.Series([rejected["id"]])).T).item())
            assert pair["similarity"] == pytest.approx(cosine, abs=2e-3) and cosine >= 0.4 - 2e-3
        if pair["strategy"] == "same_prompt":
            assert key(chosen) is not None
            per_prompt[key(chosen), pair["split"]] += 1
        if pair["strategy"] == "nearest_neighbour":
            assert chosen["variety"] == rejected["variety"]
    assert all(sum(some) <= dataset.refusal_share * len(some) for some in refusals.values())
    assert (
        not set(paired["chosen_id"]) & set(paired["rejected_id"])
        and not paired.select("chosen_id", "rejected_id").is_duplicated().any()
    )
    for frames in (made.paired, made.unpaired, made.sft):
        assert all(sorted(frame["subset_rank"]) == list(range(frame.height)) for frame in frames.values())
    assert max(per_prompt.values(), default=0) <= 4

    shown: dict[str, set[Any]] = {"train": set(), "test": set()}
    for name in used:
        if split[name] in shown:
            shown[split[name]] |= {("prompt", key(told[name])), ("near", told[name]["near_cluster"])}
    for name in used:
        marks = {mark for mark in (("prompt", key(told[name])), ("near", told[name]["near_cluster"])) if mark[1]}
        assert split[name] == "train" or not marks & shown["train"], "training shows no held-out prompt or near copy"
        assert split[name] != "validation" or not marks & shown["test"]
        assert split[name] == "test" or not told[name]["source"].startswith("held_out/")


@settings(max_examples=int(os.environ.get("MARGINS_EXAMPLES", "25")), deadline=None)
@given(st.lists(LINE, min_size=1, max_size=25), st.integers(0, 5), st.sampled_from([0.0, 0.25, 1.0]))
def test_what_must_hold_holds_on_random_corpora(rows: Rows, lines: list[dict[str, Any]], seed: int, share: float) -> None:
    names = rows(*lines)["id"]
    origins = [line["origin"] for line in lines]
    built = rows(*({name: value for name, value in line.items() if name != "origin"} for line in lines)).with_columns(
        derived_from=pl.Series([names[at] if at is not None and at < len(names) else None for at in origins], dtype=pl.String),
        twin=pl.Series([names[0] if line["reason"] == "exact_duplicate" else None for line in lines], dtype=pl.String),
    )
    dataset = DatasetOptions(splits=Splits(validation=0.2, test=0.3), benign_share=share)
    try:
        made = compose(built, dataset, EVERY, seed, vectors=vectors)
    except DataError:
        labelled = {line["text"].strip().lower() for line in lines if line["toxicity"] is not None and not line["reason"]}
        assert all(
            len(
                {
                    x["toxicity"] > 0.5
                    for x in lines
                    if x["toxicity"] is not None and not x["reason"] and x["text"].strip().lower() == text
                }
            )
            == 2
            or all(
                x["source"].startswith("held")
                for x in lines
                if x["text"].strip().lower() == text and x["toxicity"] is not None and not x["reason"]
            )
            for text in labelled
        )
        return
    check(built, made, dataset)
    again = compose(built.sample(fraction=1, shuffle=True, seed=seed), dataset, EVERY, seed, vectors=vectors)
    for output in ("paired", "unpaired", "sft"):
        for split, frame in getattr(made, output).items():
            assert frame.equals(getattr(again, output)[split]), "the order of the rows changes nothing"
    assert made.corpus.equals(again.corpus) and made.counts == again.counts
