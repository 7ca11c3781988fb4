"""The lexicon that ships: weights, categories, and words written so as not to be read."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
import pytest

from curate.core.errors import StorageError
from curate.core.policy import load_policy
from curate.labelers import Lexicon
from curate.labelers.lexicon import terms
from curate.labelers.lexicon.obfuscation import readings
from curate.labelers.lexicon.terms import WORDLISTS, Term, bundled_terms, encode

PLAIN = "you stupid clown"
WRITTEN_OTHERWISE = (
    "you STUPID clown!",
    "you stup1d clown",
    "you $tupid cl0wn",
    "you st*pid clown",
    "you s t u p i d, c.l.o.w.n",
    "you stuuuupid clowwwwn",
    "you stu\u0440id cl\u043ewn",  # Cyrillic er and o
    "you \uff53\uff54\uff55\uff50\uff49\uff44 clown",  # full width
    "you st\u00fap\u00edd clown",
    "you s-t-u-p-i-d, c l o w n",
)
HARMLESS = (
    "Thanks for sharing, very useful for newbies like me.",
    "I paid $5 for 2 kopi at 7.30am, level 3, not 100% sure.",
    "She'll pass the class, he'll assist; the cocktail is from Scunthorpe.",
    "*really* **nice** view, a i r y, e.g. the M.R.T. or A B C",
    "wow!!! sooooo good, hahahaha 1st time",
    "Ok lor, see you at the void deck at 7pm lah.",
    "caf\u00e9 na\u00efve \u4eca\u5929 \u0434\u043e\u043c \u03b1\u03b2",
)


@pytest.mark.parametrize("text", WRITTEN_OTHERWISE)
def test_a_word_counts_however_it_is_written(text: str) -> None:
    assert Lexicon().score([text]) == pytest.approx(Lexicon().score([PLAIN]), abs=1e-6)


def test_harmless_text_scores_nothing() -> None:
    assert Lexicon().score(HARMLESS).tolist() == [0.0] * len(HARMLESS)
    assert Lexicon().score(["", "   "]).tolist() == [0.0, 0.0] and Lexicon().score([]).shape == (0,)


def test_terms_add_up_and_each_counts_once() -> None:
    once, twice, both = Lexicon().score(["stupid", "stupid stupid STUPID", "stupid clown"])
    assert once == twice < both < 1
    weight = {term.text: term.weight for term in bundled_terms()}
    assert both == pytest.approx(1 - (1 - weight["stupid"]) * (1 - weight["clown"]))


def test_mild_words_alone_stay_below_the_threshold_and_threats_do_not() -> None:
    mild, threat = Lexicon().score(["this lousy bus", "i hope you die"])
    assert 0 < mild < Lexicon().threshold <= threat


def test_a_term_within_a_longer_one_counts_with_it() -> None:
    weight = {term.text: term.weight for term in bundled_terms()}
    assert "brain damage" in weight and Lexicon().score(["brain damage"])[0] == pytest.approx(weight["brain damage"])


def test_categories_come_from_the_terms_that_are_there() -> None:
    one = Lexicon()
    assert set(one.categories) == set(load_policy().categories)
    rows = one(pl.DataFrame({"completion": ["hope you die", "stupid", None]}))
    assert dict(rows.schema) == one.writes
    assert rows["score_lexicon_physical_violence"].to_list()[0] >= 0.5 and rows["score_lexicon_physical_violence"][1] == 0
    assert rows["score_lexicon_insults"][1] == rows["score_lexicon"][1] > 0 and rows["score_lexicon"][2] == 0


def test_terms_of_ones_own_are_read_through_disguise_too(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("blur sotong\nkayu\n")
    one = Lexicon(terms=tmp_path / "terms.txt")
    assert one.categories == () and dict(one.writes) == {"score_lexicon": pl.Float32}
    assert one.score(["so bl\u00fcr s0tong", "k a y u referee", "kayaking"]).tolist() == [1, 1, 0]


def test_the_lists_that_ship_are_sound_and_cannot_be_read_by_accident() -> None:
    found = bundled_terms()
    assert len(found) == len({term.text for term in found}) > 2000
    assert all(0 < term.weight <= 0.95 and term.category in {None, *load_policy().categories} for term in found)
    for path in WORDLISTS.glob("*.terms"):
        data = path.read_bytes()
        assert not any(term.text.encode() in data for term in found if len(term.text) > 4)
        assert path.name in (WORDLISTS / "LICENCES.md").read_text("utf-8")
    assert sum(path.stat().st_size for path in WORDLISTS.iterdir()) < 20_000


def test_a_damaged_list_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in WORDLISTS.glob("*.terms"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-9])
    monkeypatch.setattr(terms, "WORDLISTS", tmp_path)
    with pytest.raises(StorageError, match=r"own\.terms: cannot be read"):
        bundled_terms.__wrapped__()


def test_a_list_is_the_same_bytes_in_any_order() -> None:
    some = [Term("b", 0.5, None), Term("a", 0.25, "insults")]
    assert encode(some) == encode(some[::-1])


def test_order_and_batch_do_not_matter() -> None:
    texts = [*WRITTEN_OTHERWISE, *HARMLESS, PLAIN]
    together = Lexicon().scores(texts)
    np.testing.assert_array_equal(np.concatenate([Lexicon().scores([text]) for text in texts]), together)
    np.testing.assert_array_equal(Lexicon().scores(texts[::-1]), together[::-1])


def test_hostile_spelling_takes_no_time() -> None:
    started = process_time()
    for text in ("a " * 20_000, "a*" * 20_000, "!" * 40_000, "s.t." * 10_000, "$a" * 20_000, "\u0430" * 40_000):
        readings(text)
        Lexicon().score([text])
    assert process_time() - started < 5.0
