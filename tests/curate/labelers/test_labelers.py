"""Labelers: what each reads and writes, when it abstains, and that neither batch nor order matters."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
import pytest

from curate.core.errors import RecipeError
from curate.core.schema import MESSAGE
from curate.labelers import Column, Head, Lexicon, Ngram, Reply, Tuned
from curate.labelers.builtin.features import BUCKETS, PARTICLES, char_features, skeleton, word_features, words
from curate.labelers.builtin.head import ENCODER
from curate.labelers.builtin.reply import whole
from curate.labelers.builtin.shipped import load_shipped
from curate.text.encoders import encoder

HARMLESS = (
    "Can lah, just tap your card and go in.",
    "Walao eh, the bus late again, I wait forty minutes already.",
    "This chicken rice shiok sia, must try.",
    "Ok lor, see you at the void deck at seven.",
    "Why you never tell me earlier, I could have helped what.",
    "Don't worry lah, everybody also fail driving test first time.",
    "Try the stall at level two, the auntie very nice one.",
    "I disagree, but I see where you are coming from.",
    "My Indian neighbour gave us snacks for Deepavali, so kind.",
    "Thanks for sharing, very useful for newbies like me.",
)
INSULTS = (
    "You are so stupid lah, go and read the rules first.",
    "What an idiot, cannot even read the menu.",
    "you this kind of loser better don't post here",
    "Only a moron would pay that price, like you.",
    "Pathetic sia, are you really so dumb?",
    "Shut up, you clown.",
)
MASKED = ("What a st*pid thing to say, you id1ot.",)
LABELERS = {"ngram": Ngram(), "head": Head(), "tuned": Tuned()}


@pytest.mark.parametrize(("name", "wrong"), [("ngram", 0), ("head", 1)])
def test_plain_singlish_is_not_flagged_and_mild_insults_are(name: str, wrong: int) -> None:
    labeler = LABELERS[name]
    assert (labeler.score(HARMLESS) > labeler.threshold).sum() <= wrong  # `head` knows particles less well: see the model card
    assert (labeler.score(INSULTS) > labeler.threshold).all()
    assert labeler.score(INSULTS).min() > labeler.score(HARMLESS).max()


def test_ngram_reads_masked_letters() -> None:
    assert (Ngram().score(MASKED) > Ngram().threshold).all()
    assert skeleton("stupid") == skeleton("st*pid") == skeleton("stup1d")


def test_a_particle_changes_nothing_for_ngram() -> None:
    texts = [*HARMLESS, *INSULTS]
    for particle in sorted(PARTICLES):
        longer = [f"{text} {particle}!" for text in texts]
        assert (Ngram().score(longer) == Ngram().score(texts)).all()


def test_a_particle_at_the_end_changes_nothing_for_tuned() -> None:
    texts = [*HARMLESS, *INSULTS]
    longer = [f"{text.rstrip('.!?')} {('lah', 'leh, bro', 'sia', 'one', 'already')[at % 5]}!" for at, text in enumerate(texts)]
    assert (Tuned().score(longer) == Tuned().score([f"{text.rstrip('.!?')}!" for text in texts])).all()


def test_tuned_tells_mild_insults_from_plain_singlish() -> None:
    insults, harmless = Tuned().score(INSULTS), Tuned().score(HARMLESS)
    assert (harmless < Tuned().threshold).all() and (insults > 0.5).all()  # a strict threshold: it advises the consensus
    assert (insults[:, None] > harmless[None, :]).mean() > 0.95


def test_tuned_hears_contempt_without_a_marked_word() -> None:
    contempt = ["People from that country should not be allowed to live here.", "Women are not fit to lead anybody."]
    respect = ["People from that country should be allowed to live here.", "Women are as fit to lead as anybody."]
    assert (Tuned().score(contempt) > Tuned().score(respect)).all()


def test_tuned_scores_only_the_rows_that_are_left_in_doubt() -> None:
    rows = pl.DataFrame({"completion": ["Thanks for the help", "You clown", "  "], "undecided": [False, True, True]})
    rows = rows.with_columns(prompt=pl.lit([], pl.List(MESSAGE)))
    asked = Tuned(only="undecided")
    assert asked.reads == ("prompt", "completion", "undecided")
    assert asked(rows)["score_tuned"].is_null().to_list() == [True, False, True]


def test_tuned_reads_the_last_message_of_the_prompt() -> None:
    said = ["Who parks like that?", "All the women here", "Should they be let in?"]
    turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), said, strict=True)]
    rows = pl.DataFrame(
        {"prompt": [turns, []], "completion": ["No, never", "No, never"]}, schema_overrides={"prompt": pl.List(MESSAGE)}
    )
    scores = Tuned()(rows)["score_tuned"].to_numpy()
    np.testing.assert_array_equal(scores, Tuned().score_replies(["No, never"] * 2, [said[-1], None]))
    assert scores[0] != scores[1] == Tuned().score(["No, never"])[0]


def test_reply_judges_an_answer_by_its_prompt_and_says_nothing_without_one() -> None:
    texts = ["You are the problem, nobody likes you.", "Sorry to hear that, hope it gets better.", INSULTS[0], ""]
    prompts = ["I feel so alone at school.", "I feel so alone at school.", "", "Hello"]
    rows = _vectors(texts, prompts)
    scores = Reply()(rows)
    assert dict(scores.schema) == Reply().writes and Reply()(rows.head(0)).height == 0
    assert scores["score_reply"].is_null().to_list() == [False, False, True, True]
    assert scores["score_reply"][0] > scores["score_reply"][1]
    backwards = Reply()(rows.reverse())["score_reply"].reverse()
    alone = pl.concat([Reply()(rows[at])["score_reply"] for at in range(4)])
    assert scores["score_reply"].equals(backwards) and scores["score_reply"].equals(alone)


def test_reply_says_what_is_usual_far_from_all_it_has_seen() -> None:
    far = np.zeros((1, 384), np.float32)
    far[0, 5] = 1.0
    kind = pl.Array(pl.Float32, 384)
    rows = pl.DataFrame({"vector": pl.Series(far, dtype=kind), "prompt_vector": pl.Series(-far, dtype=kind)})
    usual = 1 / (1 + np.exp(-load_shipped("reply", Reply.VERSION).facts["calibration"]["intercept"]))
    assert Reply()(rows)["score_reply"][0] == pytest.approx(usual, abs=0.01)
    assert Reply()(_vectors(["You are so useless"], ["I failed my exam again"]))["score_reply"][0] > usual + 0.1


def test_sums_of_whole_vectors_are_exact_in_any_order() -> None:
    rng = np.random.default_rng(0)
    vectors = whole((rng.standard_normal((2, 384)) / 6).astype(np.float32))
    order = rng.permutation(384)
    exact = int(vectors[0].astype(np.int64) @ vectors[1].astype(np.int64))
    assert np.abs(vectors).max() <= 127 and 384 * 127**2 < 2**24
    assert vectors[0] @ vectors[1] == vectors[0][order] @ vectors[1][order] == exact


@pytest.mark.parametrize("name", LABELERS)
def test_neither_batch_nor_order_changes_a_score(name: str) -> None:
    texts = [*HARMLESS, *INSULTS, "", "word " * 300]
    together = LABELERS[name].score(texts)
    alone = np.concatenate([LABELERS[name].score([text]) for text in texts])
    order = list(range(len(texts)))
    random.Random(3).shuffle(order)
    shuffled = np.empty_like(together)
    shuffled[order] = LABELERS[name].score([texts[at] for at in order])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, shuffled)


@pytest.mark.parametrize("name", LABELERS)
def test_scores_are_probabilities_and_nothing_to_read_abstains(name: str) -> None:
    scores = LABELERS[name].score([*HARMLESS, *INSULTS, "", "   "])
    assert scores.dtype == np.float32 and scores.shape == (18,)
    assert np.isnan(scores[-2:]).all() and ((scores[:-2] >= 0) & (scores[:-2] <= 1)).all()
    assert LABELERS[name].score([]).shape == (0,)


def _vectors(texts: Sequence[str], prompts: Sequence[str]) -> pl.DataFrame:
    made = {"vector": encoder(ENCODER).encode(texts), "prompt_vector": encoder(ENCODER).encode(prompts)}
    columns = {name: pl.Series(one, dtype=pl.Array(pl.Float32, one.shape[1])) for name, one in made.items()}
    return pl.DataFrame({"completion": list(texts)} | columns)


def test_head_as_a_stage_gives_what_it_gives_for_texts() -> None:
    texts = [*HARMLESS, *INSULTS, ""]
    scores = Head()(_vectors(texts, [""] * len(texts)))
    assert dict(scores.schema) == Head().writes
    np.testing.assert_array_equal(scores["score_head"].fill_null(float("nan")).to_numpy(), Head().score(texts))
    assert Head()(_vectors(texts, [""] * len(texts)).head(0)).height == 0


@pytest.mark.parametrize("labeler", [Head(), Reply()])
def test_vectors_of_another_encoder_are_refused(labeler: Head | Reply) -> None:
    vectors = pl.Series(np.ones((2, 8), np.float32), dtype=pl.Array(pl.Float32, 8))
    with pytest.raises(RecipeError, match="8"):
        labeler(pl.DataFrame({"completion": ["a", "b"], "vector": vectors, "prompt_vector": vectors}))


def test_ngram_as_a_stage_abstains_with_null() -> None:
    scores = Ngram()(pl.DataFrame({"completion": [INSULTS[0], "..."]}))
    assert dict(scores.schema) == Ngram().writes
    assert scores["score_ngram"].is_null().to_list() == [False, True]


def test_judge_and_labeler_share_neither_weights_nor_training_rows() -> None:
    assert not set(Head().models) & set(Ngram().models)
    assert not set(Head().trained_on) & set(Ngram().trained_on)


def test_ngram_scores_5000_fresh_texts_in_a_second() -> None:
    rng = random.Random(5)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(8000)]
    texts = [" ".join(vocabulary[int(8000 * rng.random() ** 3)] for _ in range(15)) for _ in range(5000)]
    Ngram().score(texts[:1])
    started = process_time()
    Ngram().score(texts)
    assert process_time() - started < 2.0  # 1 s where measured; twice that for slower machines


def test_features_are_the_same_on_every_machine() -> None:
    assert words("Sooooo  USEFUL lah @someone http://a.bc/d, thanks!") == ["soo", "useful", "thanks"]
    assert words("<PHONE_1> &amp; ＯＫ") == ["ok"]
    assert (word_features("kopi"), char_features("ok")) == ([104942, 54350], [142935, 34027, 34744])
    assert all(0 <= at < BUCKETS for at in char_features("uncle"))


def test_column_is_what_came_with_the_data() -> None:
    rows = pl.DataFrame({"given": [1.0, 0.0, 0.5, None]}, schema={"given": pl.Float32})
    assert Column()(rows)["score_column"].to_list() == [1.0, 0.0, 0.5, None]
    assert dict(Column()(rows).schema) == Column().writes


def _terms(folder: Path, *lines: str) -> Path:
    path = folder / "terms.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_lexicon_finds_whole_words_and_phrases_in_any_case(tmp_path: Path) -> None:
    lexicon = Lexicon(terms=_terms(tmp_path, "Blur", "get lost", "", "c++"))
    texts = [
        "so blur!",
        "BLUR",
        "blurred",
        "unblur",
        "Get  lost lah",
        "get lostly",
        "c++?",
        "c",
        "ｂｌｕｒ",
        "",
        "blurred but blur",
    ]
    assert lexicon.score(texts).tolist() == [1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1]
    assert dict(lexicon(pl.DataFrame({"completion": texts})).schema) == lexicon.writes


def test_a_lexicons_hash_follows_its_terms(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    first, again = _terms(one, "a", "b"), _terms(two, "B", "a", "")
    assert Lexicon(terms=first).models == Lexicon(terms=again).models
    other = _terms(two, "c")
    assert Lexicon(terms=first).models != Lexicon(terms=other).models


def test_a_lexicon_without_terms_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no term"):
        Lexicon(terms=_terms(tmp_path, "", " ")).score(["a"])
    with pytest.raises(RecipeError, match="cannot be read"):
        Lexicon(terms=tmp_path / "absent.txt").score(["a"])
