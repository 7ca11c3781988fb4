"""`tuned`: what its training script learns is what it scores, and texts of both kinds come apart."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from curate.encoders.minilm import builtin_weights
from curate.labelers.features import without_final
from curate.labelers.trained import Trained
from curate.labelers.tuned import tuned_logits, updated
from curate.labeling.measures import roc_auc

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


def test_what_the_script_learns_is_what_the_labeler_scores(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(script, "DROPOUT", 0.0)
    generator = torch.Generator().manual_seed(0)
    frozen = builtin_weights()
    learnt = {name: one.detach() for name, one in script._starting_point(frozen).items()}
    for name in ("out.weight", *(f"{one}.up" for one in updated())):  # as if it had learnt something
        size = 1.0 if name == "out.weight" else 0.05
        learnt[name] = (torch.randn(learnt[name].shape, generator=generator) * size).half().float()
    ids = script.builtin_tokenizer().encode(KIND[0]).ids
    with torch.no_grad():
        trained_on = script._upper(frozen, learnt, script._lower(frozen, [ids])[0][None].float())
    tensors = {name: one.numpy().astype(np.float16) for name, one in learnt.items() if name != "bias"}
    scored = tuned_logits(Trained("", tensors, {"bias": 0.0}), [KIND[0]])
    unbent = {name: one if name == "out.weight" else one * 0 for name, one in tensors.items()}
    assert scored[0] == pytest.approx(float(trained_on[0]), abs=0.02)
    assert abs(scored[0] - tuned_logits(Trained("", unbent, {"bias": 0.0}), [KIND[0]])[0]) > 0.2


def test_a_few_steps_tell_two_kinds_of_texts_apart(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "BATCH", 4)
    texts, toxic = [*KIND[:6], *RUDE[:6]], np.array([False] * 6 + [True] * 6)
    tensors, bias = script.fit_tuned(texts, toxic, np.ones(12))
    unseen = [*KIND[6:], *RUDE[6:]]
    logits = tuned_logits(Trained("", tensors, {"bias": bias}), unseen)
    assert roc_auc(logits, np.array([False, False, True, True])) == 1.0


def test_only_what_closes_a_text_is_left_out() -> None:
    assert without_final("So late already lah!") == "So late!"
    kept = ["lah", "One", "Can or not", "what a day"]
    assert [without_final(text) for text in ("lah", "One lah", "Can or not", "what a day")] == kept
