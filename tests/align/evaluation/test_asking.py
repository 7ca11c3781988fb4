"""Asking: a judge that crashes, a model that says nothing, prompts that training saw: named, counted, in no average."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from align.data.dataset import Dataset, open_dataset
from align.data.figures import Agreement, Crash
from align.evaluation.answers import Answer, tally
from align.evaluation.asking import Prompt, ask
from align.evaluation.judges import Verdict, panel, verdicts_of
from align.evaluation.refusals import refuses
from align.evaluation.suites import Subject
from align.evaluation.suites.heldout import heldout_prompts
from align.models.generate import Sampling
from align.models.tiny import Tiny
from align.statistics import Share
from curate.core.errors import DataError, RecipeError
from curate.labelers.lexicon.lexicon import Lexicon


@dataclasses.dataclass(frozen=True)
class Fussy:
    """A judge that cannot read texts with a given word."""

    word: str
    error: type[Exception] = ValueError
    threshold: float = 0.5
    models: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises where a text holds the word."""
        if any(self.word in text for text in texts):
            raise self.error("cannot read this")
        return np.array([1.0 if "fool" in text else 0.0 for text in texts], np.float32)


@pytest.fixture(scope="module")
def dataset(pairs: Path) -> Dataset:
    return open_dataset(pairs)


@pytest.fixture(scope="module")
def subject(dataset: Dataset, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    tiny = Tiny(vocab_size=400, hidden_size=32, layers=1, epochs=2, batch_size=16)
    loaded = tiny.load(dataset, tmp_path_factory.mktemp("cache"), seed=0)
    return Subject(loaded.model, loaded.tokenizer, dataset, {"judge": Lexicon(terms=terms)}, Sampling(max_new_tokens=12), 0)


def item(completion: str, toxic: bool | None, *, name: str = "a", benign: bool = False, error: str | None = None) -> Answer:
    verdicts = {"judge": Verdict(None, toxic, error)}
    return Answer(name, 0, name, benign, completion, 3, True, refuses(completion), None, verdicts)


def test_a_judge_that_crashes_is_named_and_the_other_texts_keep_their_verdicts() -> None:
    texts = ["you fool", "cursed", "nice day", "so cursed", "ok"]
    found = verdicts_of(Fussy("cursed"), texts)
    assert [one.toxic for one in found] == [True, None, False, None, False]
    assert [one.error for one in found] == [None, "ValueError", None, "ValueError", None]


def test_a_judge_that_always_crashes_is_given_up_and_nothing_is_averaged() -> None:
    found = verdicts_of(Fussy(""), ["a"] * 300)
    assert {(one.toxic, one.error) for one in found} == {(None, "ValueError")}
    values = tally([item("hello", None, error="ValueError")] * 3, ["judge"])
    assert values.toxic == Share(hits=0, n=0, low=0.0, high=1.0) and values.unscored == 3
    assert values.crashed == {"judge": Crash(n=3, error="ValueError")}


def test_what_a_judge_says_is_wrong_with_it_stops_the_run() -> None:
    with pytest.raises(RecipeError, match="cannot read this"):
        verdicts_of(Fussy("a", RecipeError), ["a"])


def test_a_model_that_says_nothing_is_not_mild() -> None:
    values = tally([item("", None), item("  \n", None), item("what a fool", True)], ["judge"])
    assert (values.empty, values.unscored) == (2, 2) and values.toxic.hits == values.toxic.n == 1


def test_silence_is_not_shown_to_any_judge(subject: Subject) -> None:
    """Every token ends the turn: nothing is said, so nobody judges it, though a lexicon would call it mild."""
    model = subject.model
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = list(range(400))
    try:
        values, items = ask(subject, "heldout", heldout_prompts(subject.dataset, 4))
    finally:
        model.generation_config.eos_token_id = before
    assert values.empty == values.unscored == 4 and {one.toxic for one in items} == {None}


def test_prompts_that_training_saw_are_left_out_and_counted(subject: Subject) -> None:
    trained = subject.dataset.split("unpaired", "train")["prompt"].to_list()[:2]
    seen = [Prompt(f"seen {at}", prompt, "seen") for at, prompt in enumerate(trained)]
    fresh = heldout_prompts(subject.dataset, 3)
    values, items = ask(subject, "other", [*seen, *fresh])
    assert values.overlap == 2 and {one.id for one in items} == {prompt.id for prompt in fresh}
    with pytest.raises(DataError, match="suite other: nothing to ask.*all 2 prompts occur in training"):
        ask(subject, "other", seen)


def test_an_empty_suite_is_named(subject: Subject) -> None:
    with pytest.raises(DataError, match="suite other: nothing to ask.*it has no prompt"):
        ask(subject, "other", [])


def test_refusals_stand_apart_from_toxicity() -> None:
    values = tally(
        [
            item("Sorry, I can't help with that.", False, name="a", benign=True),
            item("the laksa at block 5 is nice", False, name="b", benign=True),
            item("what a fool", True, name="c"),
            item("I must decline, you fool", True, name="d"),
        ],
        ["judge"],
    )
    assert (values.toxic.hits, values.toxic.n) == (2, 4)
    assert (values.toxic_answered.hits, values.toxic_answered.n) == (1, 2)
    assert values.refused.hits == 2 and values.over_refused is not None
    assert (values.over_refused.hits, values.over_refused.n) == (1, 2)


@pytest.mark.parametrize(
    ("completion", "refusal"),
    [
        ("I'm sorry, but I can\u2019t help with that.", True),
        ("As an AI language model, I do not take sides.", True),
        ("I won't answer that one.", True),
        ("Paiseh, cannot help you with this one.", True),
        ("We are unable to comply.", True),
        ("Sorry lah, I late because the bus broke down.", False),
        ("I cannot find my keys, you seen them?", False),
        ("Cannot like that one, must queue.", False),
        ("He refused to pay, so I paid.", False),
        ("", False),
    ],
)
def test_a_refusal_is_told_from_an_answer(completion: str, refusal: bool) -> None:
    assert refuses(completion) is refusal


def test_further_judges_are_reported_with_their_agreement(subject: Subject, terms: Path) -> None:
    judges = panel(Lexicon(terms=terms), None, [Lexicon(terms=terms), Lexicon(terms=terms)])
    assert list(judges) == ["judge", "lexicon", "lexicon+"]
    values, items = ask(dataclasses.replace(subject, judges=judges), "heldout", heldout_prompts(subject.dataset, 6))
    assert values.others["lexicon"] == values.toxic and values.agreement["judge and lexicon"] == Agreement(6, 6)
    assert all(one.verdicts["lexicon"] == one.verdicts["judge"] for one in items)


def test_several_samples_of_a_prompt_differ_and_the_first_is_what_one_sample_gives(subject: Subject) -> None:
    prompts = heldout_prompts(subject.dataset, 5)
    _, once = ask(subject, "heldout", prompts)
    values, often = ask(dataclasses.replace(subject, sampling=Sampling(max_new_tokens=12, samples=3)), "heldout", prompts)
    assert often[:5] == once and values.n == 15 and values.prompts == 5
    assert len({one.completion for one in often}) > 5


def test_a_suite_that_was_interrupted_goes_on_where_it_was(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from align.evaluation import asking

    small = dataclasses.replace(subject, sampling=Sampling(max_new_tokens=12, batch_size=4))
    prompts = heldout_prompts(subject.dataset, 12)
    whole = ask(small, "heldout", prompts)
    made, calls = asking.generate, []

    def stop_at_the_third(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return made(*arguments, **options)

    kept = dataclasses.replace(small, folder=tmp_path)
    monkeypatch.setattr(asking, "generate", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ask(kept, "heldout", prompts)
    with (tmp_path / "heldout.sampled.jsonl").open("a") as file:
        file.write('["cut sho')  # a kill in the middle of a line
    assert ask(kept, "heldout", prompts) == whole and len(calls) == 4
    assert not list(tmp_path.iterdir())


def test_a_prompts_cluster_is_its_thread_or_itself(dataset: Dataset) -> None:
    table = dataset.split("unpaired", "test")
    threads = {thread for thread in table["thread"].to_list() if thread}
    for prompt in heldout_prompts(dataset):
        assert prompt.cluster == prompt.id or prompt.cluster in threads
