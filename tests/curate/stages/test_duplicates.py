"""The three duplicate stages: what they drop, against brute force, and that parts, buckets and order change nothing."""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.compose.review import suspects
from curate.core.contracts import CorpusStage
from curate.core.schema import MESSAGE
from curate.stages.duplicates.exact_duplicates import ExactDuplicates
from curate.stages.duplicates.near_duplicates import NearDuplicates
from curate.stages.duplicates.repeated_completions import RepeatedCompletions
from curate.stages.duplicates.semantic_duplicates import SemanticDuplicates
from curate.text.normalise import normalise

SMS = Path(__file__).parents[4] / "shared/data/nus_sms_dev/nus_sms_en_dev.jsonl.gz"
MESSY = SMS.parents[1] / "messy_dump_dev/MANIFEST_gold.jsonl.gz"
Row = tuple[str, str] | tuple[str, str, bool | None]  # prompt, completion, toxic


FACTS = ("id", "rank", "toxic", "kind", "given", "votes")
Result = tuple[pl.DataFrame, pl.DataFrame]  # edges, verdicts


def table(*given: Row) -> pl.DataFrame:
    """Rows in order of rank; an empty prompt is none."""
    prompts = [[{"role": "user", "content": row[0]}] if row[0] else [] for row in given]
    return pl.DataFrame(
        {
            "id": [f"row{index:06d}" for index in range(len(given))],
            "prompt": pl.Series(prompts, dtype=pl.List(MESSAGE)),
            "completion": pl.Series([row[1] for row in given], dtype=pl.String),
            "toxic": pl.Series([row[2] if len(row) == 3 else None for row in given], dtype=pl.Boolean),
            "rank": pl.Series(range(len(given)), dtype=pl.UInt32),
            "kind": pl.Series([0] * len(given), dtype=pl.UInt8),
            "given": pl.Series([None if len(row) == 2 or row[2] is None else float(row[2]) for row in given], dtype=pl.Float32),
            "votes": pl.Series([1] * len(given), dtype=pl.UInt16),
            "side": pl.Series([None] * len(given), dtype=pl.String),
        }
    )


def alone(*completions: str) -> pl.DataFrame:
    return table(*(("", text) for text in completions))


def run(
    stage: CorpusStage, rows: pl.DataFrame, parts: int = 1, calls: int = 1, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Edges and verdicts: keys per part, whole buckets dealt out to calls of `edges`, then `decide`."""
    buckets, payload, start = [], [], 0
    for part in range(parts):
        piece = rows.slice(start, (rows.height * (part + 1)) // parts - start)
        keys = stage.keys(piece.select(stage.reads))
        assert keys.payload.height == piece.height
        buckets.append(keys.buckets.with_columns(pl.col("row") + pl.lit(start, pl.UInt32)))
        payload.append(keys.payload)
        start += piece.height
    everything, load = pl.concat(buckets), pl.concat(payload).with_columns(rows["rank"], rows["toxic"])
    call = pl.col("bucket").hash(seed) % calls
    edges = pl.concat([stage.edges(everything.filter(call == index), load) for index in range(calls)]).unique()
    verdicts = stage.decide(edges.sample(fraction=1, shuffle=True, seed=seed), rows.select(FACTS))
    assert verdicts.height == rows.height
    assert set(verdicts.columns) == {"reason", "score", "twin", *stage.writes}
    return edges.sort("a", "b"), verdicts


def dropped(stage: CorpusStage, rows: pl.DataFrame) -> list[int]:
    return run(stage, rows)[1].with_row_index("row").filter(pl.col("reason").is_not_null())["row"].to_list()


def words(count: int, seed: int) -> list[str]:
    """Texts of a small vocabulary, a third of them edits of earlier ones, some of them very short."""
    dice = random.Random(seed)
    vocabulary = ["".join(dice.choices("abcdefghijklmno", k=dice.randint(1, 8))) for _ in range(300)]
    texts: list[str] = []
    for _ in range(count):
        if texts and dice.random() < 0.4:
            letters = list(dice.choice(texts))
            for _ in range(dice.randint(0, 1 + len(letters) // 12)):
                if letters:
                    letters[dice.randrange(len(letters))] = dice.choice("xyz ")
            texts.append("".join(letters))
        else:
            texts.append(" ".join(dice.choices(vocabulary, k=max(0, int(dice.lognormvariate(2, 0.8))))))
    return texts


def brute_jaccard(texts: list[str], floor: float) -> dict[tuple[int, int], float]:
    sets = []
    for text in map(normalise, texts):
        sets.append({text[i : i + 5] for i in range(max(1, len(text) - 4))} if text else set())
    found = {}
    for j, one in enumerate(sets):
        for i, other in enumerate(sets[:j]):
            if min(len(one), len(other)) >= floor * max(len(one), len(other)):
                common = len(one & other)
                union = len(one) + len(other) - common
                if common >= floor * union:
                    found[i, j] = common / union if union else 1.0
    return found


def spread_ones(edges: pl.DataFrame) -> dict[tuple[int, int], float]:
    """All pairs that edges stand for: equal rows are tied to the first of them only."""
    groups: dict[int, list[int]] = {}
    for a, b in edges.filter(pl.col("score") == 1.0).select("a", "b").iter_rows():
        groups.setdefault(a, [a]).append(b)
    found = {}
    for a, b, score in edges.iter_rows():
        if score < 1:
            found.update({tuple(sorted((x, y))): score for x in groups.get(a, [a]) for y in groups.get(b, [b])})
    for members in groups.values():
        found.update({(x, y): 1.0 for x in members for y in members if x < y})
    return found


def same_pairs(found: dict[tuple[int, int], float], wanted: dict[tuple[int, int], float], least: float) -> None:
    assert {pair for pair, score in found.items() if score >= np.float32(least)} == {p for p, s in wanted.items() if s >= least}
    assert all(wanted[pair] == pytest.approx(score, abs=1e-6) for pair, score in found.items())


@pytest.mark.parametrize("threshold", [0.8, 0.5])
def test_near_copies_are_those_that_brute_force_finds(threshold: float) -> None:
    texts = words(700, seed=3)
    wanted = brute_jaccard(texts, min(threshold, 0.65))
    assert sum(score >= threshold for score in wanted.values()) > 100
    edges, verdicts = run(NearDuplicates(threshold=threshold), alone(*texts))
    same_pairs(spread_ones(edges), wanted, threshold)
    check_leaders(verdicts, wanted, threshold)


def test_near_copies_of_real_messages_are_those_that_brute_force_finds() -> None:
    if not SMS.is_file():
        pytest.skip("the messages of nus_sms_dev are not here")
    with gzip.open(SMS, "rt") as file:
        every = [json.loads(line)["text"] for line in file]
    texts = sorted(every, key=normalise)[12_000:14_000]  # neighbours in the alphabet: many near copies
    wanted = brute_jaccard(texts, 0.65)
    edges, verdicts = run(NearDuplicates(), alone(*texts))
    same_pairs(spread_ones(edges), wanted, 0.8)
    assert len(spread_ones(edges)) >= 0.98 * len(wanted)
    check_leaders(verdicts, wanted, 0.8)


def test_planted_copies_of_a_messy_dump_are_found() -> None:
    if not MESSY.is_file():
        pytest.skip("the records of messy_dump_dev are not here")
    with gzip.open(MESSY, "rt") as file:
        records = [json.loads(line) for line in file]
    place = {record["uid"]: at for at, record in enumerate(records)}
    rows = alone(*(record["raw_text"] for record in records))
    links = {(place[record["dup_of"]], at): record["injected"] for at, record in enumerate(records) if record["dup_of"]}
    equal = {link for link, kinds in links.items() if {"exact_dup", "case_ws_dup"} & set(kinds)}
    found = spread_ones(run(ExactDuplicates(), rows)[0])
    assert len(equal) >= 30 and {tuple(sorted(link)) for link in equal} <= set(found)
    likeness = spread_ones(run(NearDuplicates(threshold=0.65), rows)[0])
    reached = [likeness.get(tuple(sorted(link)), 0.0) for link in links]
    assert (len(links), sum(score >= np.float32(0.8) for score in reached)) == (55, 48)
    assert sum(score > 0 for score in reached) >= 54
    kept = run(NearDuplicates(), rows)[1]["reason"].is_null()
    assert not any(kept[a] and kept[b] for (a, b), score in zip(links, reached, strict=True) if score >= np.float32(0.8))


def check_leaders(verdicts: pl.DataFrame, wanted: dict[tuple[int, int], float], threshold: float) -> None:
    """Rows come in order of rank and without labels: each has a kept like row before it, or stays."""
    kept: list[int] = []
    for row, (reason, twin, score) in enumerate(verdicts.select("reason", "twin", "score").iter_rows()):
        likest = max(((wanted[k, row], -k) for k in kept if wanted.get((k, row), 0) >= threshold), default=None)
        assert (reason is None) == (likest is None)
        if likest:
            assert (twin, score) == (-likest[1], pytest.approx(likest[0]))
        else:
            kept.append(row)


def test_equal_rows_lose_all_but_the_first_by_rank() -> None:
    rows = table(
        ("Eh where?", "At the MRT  lah"), ("eh where?", "at the mrt lah"), ("eh where?", "At home"), ("Hi", "at the mrt lah")
    )
    edges, verdicts = run(ExactDuplicates(), rows)
    assert edges.rows() == [(0, 1, 1.0)]
    assert verdicts.select("reason", "score", "twin", "exact_cluster").rows() == [
        (None, None, None, "row000000"),
        ("exact_duplicate", 1.0, 0, "row000000"),
        (None, None, None, "row000002"),
        (None, None, None, "row000003"),
    ]
    later_first = rows.with_columns(rank=pl.Series([1, 0, 2, 3], dtype=pl.UInt32))
    assert run(ExactDuplicates(), later_first)[1]["twin"].to_list() == [1, None, None, None]


def test_the_same_words_spread_otherwise_over_prompt_and_completion_are_other_rows() -> None:
    messages = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a b"}],
        [{"role": "user", "content": "a\x1fassistant\x1fb"}],
        [],
    ]
    rows = alone(*["c"] * 5).with_columns(prompt=pl.Series(messages, dtype=pl.List(MESSAGE)))
    assert dropped(ExactDuplicates(), rows) == []


def test_near_copies_with_opposite_labels_share_a_cluster_and_both_stay() -> None:
    rows = table(*(("", "that driver cut my lane again", toxic) for toxic in (True, False, True, False, None)))
    _, verdicts = run(NearDuplicates(), rows)
    assert verdicts["twin"].to_list() == [None, None, 0, 1, 0]
    assert verdicts["near_cluster"].to_list() == ["row000000"] * 5


def test_exact_copies_become_one_row_that_pools_their_votes() -> None:
    said = table(*(("", "that driver cut my lane again", toxic) for toxic in (True, False, True, None)), ("", "other", True))
    said = said.with_columns(votes=pl.Series([5, 3, 1, 0, 1], dtype=pl.UInt16))
    _, verdicts = run(ExactDuplicates(), said)
    assert verdicts["twin"].to_list() == [None, 0, 0, 0, None]
    assert verdicts["given"].to_list() == [pytest.approx(6 / 9), 0, 1, None, 1] and verdicts["votes"][0] == 9


def test_two_equal_rows_that_contradict_each_other_are_undecided() -> None:
    _, verdicts = run(ExactDuplicates(), table(("", "so blur one", True), ("", "So blur one", False)))
    assert verdicts.select("given", "votes", "twin").rows() == [(0.5, 2, None), (0.0, 1, 0)]


def test_what_a_machine_said_does_not_weigh_against_people() -> None:
    rows = table(*(("", "so blur one", toxic) for toxic in (True, False, False))).with_columns(
        kind=pl.Series([0, 2, 2], dtype=pl.UInt8)
    )
    assert run(ExactDuplicates(), rows)[1].select("given", "votes").row(0) == (1.0, 1)


def test_one_completion_keeps_its_first_rows_by_rank_and_given_pairs_keep_both_sides() -> None:
    rows = table(*((f"question {at}", "Can lah" if at % 2 else "can  lah", None) for at in range(6)), ("question 9", "cannot"))
    rows = rows.with_columns(rank=pl.Series([5, 4, 3, 2, 1, 0, 6], dtype=pl.UInt32))
    _, verdicts = run(RepeatedCompletions(most=2), rows, parts=3, calls=2)
    assert verdicts.rows() == [("repeated_completion", float(5 - at), 5) for at in range(4)] + [(None, None, None)] * 3
    paired = rows.with_columns(side=pl.Series(["chosen"] * 5 + [None] * 2, dtype=pl.String))
    assert dropped(RepeatedCompletions(most=1), paired) == []


def test_an_empty_completion_is_not_capped() -> None:
    assert dropped(RepeatedCompletions(most=1), table(("a", ""), ("b", ""), ("c", " "))) == []


def test_near_copies_with_opposite_labels_are_suspect_unless_they_came_as_a_pair() -> None:
    rows = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "record": ["r", "r", "s", "t", "u"],
            "side": ["chosen", "rejected", None, None, None],
            "toxic": [False, True, True, False, None],
        }
    )
    pairs = [("a", "b", 0.9), ("a", "c", 0.85), ("c", "d", 0.95), ("a", "d", 0.9), ("c", "e", 1.0), ("b", "d", 0.7)]
    edges = pl.DataFrame(pairs, schema={"a": pl.String, "b": pl.String, "score": pl.Float32}, orient="row")
    assert suspects(edges, rows, 0.8).select("a", "b").rows() == [("c", "d"), ("a", "c")]


def test_a_chain_of_likenesses_loses_only_its_middle() -> None:
    a = "the bus was late so I walked all the way home in the rain"
    b = a.replace("rain", "sun")
    c = b.replace("the bus", "my bus")
    near = NearDuplicates()
    wanted = brute_jaccard([a, b, c], 0.5)
    assert wanted[0, 1] >= 0.8 <= wanted[1, 2] and wanted[0, 2] < 0.8
    assert dropped(near, alone(a, b, c)) == [1]
    assert dropped(near, alone(b, a, c)) == [1, 2]


def test_a_mild_rewrite_with_the_opposite_label_is_kept_and_its_copy_is_not() -> None:
    rude, mild = "why you so stupid one, park your car properly can", "why you so careless one, park your car properly can"
    assert dropped(NearDuplicates(threshold=0.6), table(("", rude, True), ("", mild, False), ("", mild + "!", False))) == [2]
    assert dropped(NearDuplicates(threshold=0.6), table(("", rude, True), ("", mild, True))) == [1]


def test_two_replies_to_one_long_prompt_are_no_copies() -> None:
    prompt = "my neighbour plays the piano until midnight and the walls are thin, what can I do about it " * 3
    assert dropped(
        NearDuplicates(), table((prompt, "talk to him"), (prompt, "call town council"), (prompt + "?", "talk to him"))
    ) == [2]


def test_one_reply_under_two_prompts_is_no_copy() -> None:
    reply = "can, no problem, I will settle it for you by tomorrow morning"
    assert (
        dropped(NearDuplicates(), table(("is the printer working", reply), ("could you water the plants", reply), ("", reply)))
        == []
    )


def test_short_and_empty_texts_are_compared_like_any_other() -> None:
    rows = alone("k", "K", "ok", "", "", "lah!", "lah", "hello", "hello ")
    assert dropped(NearDuplicates(), rows) == [1, 4, 8]
    assert dropped(ExactDuplicates(), rows) == [1, 4, 8]


@pytest.mark.parametrize("stage", [ExactDuplicates(), NearDuplicates(), SemanticDuplicates()])
def test_no_rows_and_one_row_pass(stage: CorpusStage) -> None:
    one = vectors(np.ones((1, 4)), np.zeros((1, 4)))
    for rows in (one, one.clear()):
        edges, verdicts = run(stage, rows)
        assert edges.height == 0 and verdicts["reason"].null_count() == rows.height


@pytest.mark.parametrize("stage", [ExactDuplicates(), NearDuplicates()])
def test_a_bucket_of_twenty_thousand_copies_costs_no_more_than_its_rows(stage: CorpusStage) -> None:
    rows = alone(*["please call me back when you are free"] * 20_000, *(f"message {index} about lunch" for index in range(1000)))
    started = time.process_time()
    edges, verdicts = run(stage, rows)
    assert time.process_time() - started < 10  # two hundred million pairs would take minutes
    assert edges.filter(pl.col("a") == 0).height == 19_999
    assert (verdicts["twin"][1:20_000] == 0).all()


def vectors(completion: np.ndarray, prompt: np.ndarray, toxic: bool | None = None) -> pl.DataFrame:
    columns = {}
    for name, raw in (("vector", completion), ("prompt_vector", prompt)):
        unit = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
        columns[name] = pl.Series(unit.astype(np.float16).astype(np.float32), dtype=pl.Array(pl.Float32, raw.shape[1]))
    return table(*(("", "", toxic) for _ in completion)).with_columns(**columns)


def crowd(count: int, seed: int) -> pl.DataFrame:
    """Vectors about a few centres, with some equal rows; half of the rows have a prompt."""
    dice = np.random.default_rng(seed)
    raw = dice.normal(size=(20, 48))[dice.integers(0, 20, count)] + 0.25 * dice.normal(size=(count, 48))
    prompts = dice.normal(size=(6, 48))[dice.integers(0, 6, count)] + 0.1 * dice.normal(size=(count, 48))
    prompts[dice.random(count) < 0.5] = 0
    raw[10:40], prompts[10:40] = raw[50], prompts[50]
    return vectors(raw, prompts)


def brute_cosine(rows: pl.DataFrame, floor: float) -> dict[tuple[int, int], float]:
    both = []
    for name in ("vector", "prompt_vector"):
        raw = rows[name].to_numpy().astype(np.float64)
        length = np.linalg.norm(raw, axis=1)
        likeness = raw @ raw.T / np.maximum(np.outer(length, length), 1e-12)
        likeness[np.outer(length == 0, length == 0)] = 1
        both.append(likeness)
    least = np.minimum(*both)
    a, b = np.nonzero(np.triu(least >= floor, 1))
    return {(int(i), int(j)): float(least[i, j]) for i, j in zip(a, b, strict=True)}


def test_rows_that_mean_the_same_are_those_that_brute_force_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.stages.duplicates.semantic_duplicates.SIDE", 128)
    rows = crowd(600, seed=1)
    wanted = brute_cosine(rows, 0.85)
    stage = SemanticDuplicates(threshold=0.93)
    edges, verdicts = run(stage, rows)
    assert sum(score >= 0.93 for score in wanted.values()) > 100
    same_pairs(spread_ones(edges), wanted, 0.85)
    check_leaders(verdicts, wanted, 0.93)


def test_replies_that_mean_the_same_to_other_prompts_are_kept() -> None:
    reply, prompts = np.ones((3, 4)), np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert dropped(SemanticDuplicates(), vectors(reply, prompts)) == []
    assert dropped(SemanticDuplicates(), vectors(reply, prompts * 0)) == [1, 2]


LAW = [
    (ExactDuplicates(), alone(*words(500, seed=5))),
    (NearDuplicates(), alone(*words(500, seed=6))),
    (SemanticDuplicates(threshold=0.93), crowd(300, seed=7)),
]


@pytest.mark.parametrize(("stage", "rows"), LAW, ids=lambda value: type(value).__name__)
def test_the_answer_is_the_same_however_rows_are_parted_and_buckets_grouped(stage: CorpusStage, rows: pl.DataFrame) -> None:
    edges, verdicts = run(stage, rows)
    assert verdicts["reason"].count() > 10
    for parts, calls in ((3, 1), (7, 5), (rows.height, 2)):
        again = run(stage, rows, parts, calls, seed=parts)
        assert again[0].equals(edges) and again[1].equals(verdicts)


@pytest.mark.parametrize(("stage", "rows"), LAW, ids=lambda value: type(value).__name__)
def test_another_order_of_rows_changes_nothing_but_the_order(stage: CorpusStage, rows: pl.DataFrame) -> None:
    labels = pl.Series("toxic", [(None, True, False)[index % 3] for index in range(rows.height)], dtype=pl.Boolean)
    rows = rows.with_columns(labels)

    def by_id(given: pl.DataFrame) -> pl.DataFrame:
        verdicts = run(stage, given)[1]
        twin = given["id"].gather(verdicts["twin"])
        return verdicts.with_columns(given["id"], twin=twin).sort("id")

    assert by_id(rows.sample(fraction=1, shuffle=True, seed=1)).equals(by_id(rows))


def crowded(seed: int) -> pl.DataFrame:
    """Families of different near copies, with prompts, labels and equal rows among them."""
    dice = random.Random(seed)
    stems = [" ".join(dice.choices(["code", "please", "share", "nobody", "today", "later", "number"], k=7)) for _ in range(6)]
    rows: list[Row] = []
    for _ in range(400):
        prompt = dice.choice(("", "what is my code for the bank today", "what is my code for the bank now", "who is it"))
        rows.append((prompt, f"{dice.choice(stems)} {dice.randrange(300):03d} ok", dice.choice((True, False, None, None))))
    return table(*rows).with_columns(rank=pl.Series(dice.sample(range(400), 400), dtype=pl.UInt32))


@pytest.mark.parametrize("seed", [1, 5])
def test_a_crowd_whose_pairs_are_too_many_loses_the_same_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = crowded(seed)
    edges, verdicts = run(NearDuplicates(threshold=0.7), rows)
    for size, many in ((7, 0), (50, 300)):
        monkeypatch.setattr("curate.text.similarity.crowds.many", lambda *_, many=many: many)
        monkeypatch.setattr("curate.text.similarity.crowds.FIRST", size)
        monkeypatch.setattr("curate.text.similarity.crowds.LEAST", 4)
        few, again = run(NearDuplicates(threshold=0.7), rows)
        assert again["reason"].equals(verdicts["reason"]) and few.height < edges.height
        assert verdicts["reason"].gather(again["twin"].drop_nulls()).null_count() == verdicts["twin"].count()
    assert 100 < verdicts["reason"].count() < 400


def test_twenty_thousand_different_near_copies_cost_no_more_than_their_rows() -> None:
    rows = alone(
        *(f"your parcel {index:06d} waits for you at the counter near the lift, bring your pass" for index in range(20_000))
    )
    started = time.process_time()
    edges, verdicts = run(NearDuplicates(threshold=0.7), rows)
    assert time.process_time() - started < 20  # two hundred million pairs would take minutes
    assert verdicts["reason"].count() == 19_999 and edges.height < 5 * rows.height
