"""`tuned`: what its training script learns is what it scores, behind a prompt or not, and texts of both kinds come apart."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from curate.labelers.builtin.features import without_final
from curate.labelers.builtin.shipped import ShippedWeights
from curate.labelers.builtin.tuned import PROMPT_TOKENS, tokens, tuned_logits, updated
from curate.labelers.scoring import MARK, joined
from curate.labelers.study.measures import roc_auc
from curate.text.encoders.minilm import builtin_weights

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
KIND = [
    f"Thank you for the {thing}, so kind of you" for thing in ("kopi", "lift", "book", "umbrella", "notes", "cake", "map", "tip")
]
RUDE = [
    f"You are a useless clown with your {thing}" for thing in ("kopi", "lift", "book", "umbrella", "notes", "cake", "map", "tip")
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("fit_tuned")


@pytest.mark.parametrize("prompt", [None, "Anybody going to Bedok later?"])
def test_what_the_script_learns_is_what_the_labeler_scores(
    prompt: str | None, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(script, "DROPOUT", 0.0)
    generator = torch.Generator().manual_seed(0)
    frozen = builtin_weights()
    learnt = {name: one.detach() for name, one in script._starting_point(frozen).items()}
    for name in ("out.weight", *(f"{one}.up" for one in updated())):  # as if it had learnt something
        size = 1.0 if name == "out.weight" else 0.05
        learnt[name] = (torch.randn(learnt[name].shape, generator=generator) * size).half().float()
    both = joined([KIND[0]], [prompt])
    ids, start = tokens(script.builtin_tokenizer(), both[0])
    with torch.no_grad():
        lower = script._lower(frozen, [(ids, start)])[0][None].float()
        trained_on = script._upper(frozen, learnt, lower, torch.tensor([start]))
    tensors = {name: one.numpy().astype(np.float16) for name, one in learnt.items() if name != "bias"}
    scored = tuned_logits(ShippedWeights("", tensors, {"bias": 0.0}), both)
    unbent = {name: one if name == "out.weight" else one * 0 for name, one in tensors.items()}
    assert scored[0] == pytest.approx(float(trained_on[0]), abs=0.02)
    assert abs(scored[0] - tuned_logits(ShippedWeights("", unbent, {"bias": 0.0}), both)[0]) > 0.2


def test_a_few_steps_tell_two_kinds_of_texts_apart(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "BATCH", 4)
    texts, toxic = [*KIND[:6], *RUDE[:6]], np.array([False] * 6 + [True] * 6)
    tensors, bias = script.fit_tuned(texts, toxic, np.ones(12), [None] * 12)
    unseen = [*KIND[6:], *RUDE[6:]]
    logits = tuned_logits(ShippedWeights("", tensors, {"bias": bias}), unseen)
    assert roc_auc(logits, np.array([False, False, True, True])) == 1.0


def test_the_same_answer_is_judged_by_what_it_answers(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "BATCH", 4)
    monkeypatch.setattr(script, "EPOCHS", 8)
    monkeypatch.setattr(script, "ASKED", 1.0)
    answers = ("Yes lah, true", "Totally agree", "You are right", "Confirm one", "Ya, same here", "Sure, I think so too")
    texts, prompts = [*answers, *answers], [*KIND[:6], *RUDE[:6]]
    tensors, bias = script.fit_tuned(texts, np.array([False] * 6 + [True] * 6), np.ones(12), prompts)
    asked = joined(["I also think so"] * 4, [*KIND[6:], *RUDE[6:]])
    logits = tuned_logits(ShippedWeights("", tensors, {"bias": bias}), asked)
    assert roc_auc(logits, np.array([False, False, True, True])) == 1.0


def test_a_prompts_end_stands_before_the_text(script: ModuleType) -> None:
    tokenizer = script.builtin_tokenizer()
    alone, none = tokens(tokenizer, "Can meet at six lah!")
    ids, start = tokens(tokenizer, joined(["Can meet at six lah!"], [f"{'blah ' * 99}when ah?"])[0])
    assert none == 0 and start == PROMPT_TOKENS and ids[0] == alone[0] and ids[start:] == alone[1:]
    assert tokenizer.decode(ids[1:start]).endswith("when ah?")
    cut, _ = tokens(tokenizer, "one two three four five six", most=5)
    assert len(cut) == 5 and cut[-1] == alone[-1]


def test_only_a_prompt_that_says_something_is_put_before_a_text() -> None:
    assert joined(["a", "b", "c", " "], ["p", " ", None, "p"]) == [f"p{MARK}a", "b", "c", " "]
    assert joined([f"a{MARK}b"], [f"p{MARK}q"]) == [f"p q{MARK}a b"]
    assert joined(["a"]) == ["a"]


def test_stray_prompts_come_from_replies_and_the_same_ones_every_time(script: ModuleType) -> None:
    texts, own = [*KIND, *RUDE], [*(f"prompt {at}" for at in range(8)), *[None] * 8]
    drawn = [script._prompts(texts, own, turn) for turn in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(there in {None, prompt} for there, prompt in zip(drawn[0][:8], own, strict=False))
    assert {there for one in drawn for there in one[8:]} - {None} <= set(own)
    assert script._prompts(texts, [None] * 16, 0) == [None] * 16


def test_only_what_closes_a_text_is_left_out() -> None:
    assert without_final("So late already lah!") == "So late!"
    kept = ["lah", "One", "Can or not", "what a day"]
    assert [without_final(text) for text in ("lah", "One lah", "Can or not", "what a day")] == kept
