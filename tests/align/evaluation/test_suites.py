"""Suites: what they ask, what they leave out, and that their figures are what a slow way finds."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.dataset import Dataset, open_dataset
from align.evaluation.suites import Subject
from align.evaluation.suites.heldout import Heldout, heldout_prompts
from align.evaluation.suites.retention import Retention
from align.models.generate import Sampling
from align.models.likelihood import likelihoods
from align.models.tiny import Tiny
from curate.labelers.lexicon.lexicon import Lexicon

TinyLlama = Callable[..., Any]


@pytest.fixture(scope="module")
def dataset(pairs: Path) -> Dataset:
    return open_dataset(pairs)


@pytest.fixture(scope="module")
def subject(dataset: Dataset, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    tiny = Tiny(vocab_size=400, hidden_size=32, layers=1, epochs=3, batch_size=16)
    loaded = tiny.load(dataset, tmp_path_factory.mktemp("cache"), seed=0)
    lexicon = Lexicon(terms=terms)
    return Subject(loaded.model, loaded.tokenizer, dataset, {"judge": lexicon, "truth": lexicon}, Sampling(max_new_tokens=24), 0)


def test_every_distinct_test_prompt_is_asked_once_and_none_of_a_source_that_may_not_be_trained_on(dataset: Dataset) -> None:
    asked = [prompt.messages[0]["content"] for prompt in heldout_prompts(dataset)]
    table = dataset.split("unpaired", "test")
    there = {
        prompt[0]["content"]
        for prompt, source in zip(table["prompt"].to_list(), table["source"].to_list(), strict=True)
        if not source.startswith("held_out/")
    }
    trained = {prompt[0]["content"] for prompt in dataset.split("unpaired", "train")["prompt"].to_list()}
    assert set(asked) == there and len(asked) == len(there) and not there & trained
    assert not any("fern" in prompt for prompt in asked)


def test_a_limit_takes_the_same_prompts_every_time(dataset: Dataset) -> None:
    assert heldout_prompts(dataset, 5) == heldout_prompts(dataset)[:5]


def test_the_toxic_share_is_that_of_the_items(subject: Subject) -> None:
    measured = Heldout()(subject)
    toxic = [bool(re.search(r"(?<!\w)(fool|clown)(?!\w)", item["completion"], re.I)) for item in measured.items]
    assert [item["judge"]["toxic"] for item in measured.items] == toxic
    assert measured.values["toxic"]["hits"] == sum(toxic) and measured.values["toxic"]["n"] == measured.values["n"] == len(toxic)
    assert measured.values["truth"] == measured.values["toxic"]
    assert measured.values["ended"] == sum(item["ended"] for item in measured.items) / len(toxic)
    assert 1 <= measured.values["distinct"] <= len(toxic)


def test_retention_is_about_mild_replies_only(subject: Subject) -> None:
    measured = Retention()(subject)
    table = {row["id"]: row for row in subject.dataset.split("unpaired", "test").to_dicts()}
    for item in measured.items:
        row = table[item["id"]]
        assert row["label"] and (item["kind"] == "neutral") == row["source"].startswith("held_out/")
        assert item["kind"] == "neutral" or not row["benign"]
    for kind in ("neutral", "clean"):
        mine = [item for item in measured.items if item["kind"] == kind]
        perplexity = math.exp(-sum(item["log_prob"] for item in mine) / sum(item["tokens"] for item in mine))
        assert mine and measured.values[kind]["perplexity"] == pytest.approx(perplexity)


def some_rows(count: int = 17) -> tuple[list[list[int]], list[list[int]]]:
    draw = random.Random(0)
    prompts = [[draw.randrange(3, 60) for _ in range(draw.randint(1, 9))] for _ in range(count)]
    return prompts, [[draw.randrange(3, 60) for _ in range(draw.randint(1, 6))] for _ in range(count)]


def test_batched_likelihoods_and_divergences_are_those_of_one_row_at_a_time(tiny_llama: TinyLlama) -> None:
    """The divergence by torch's own kl_div, one token after the other."""
    model, base = tiny_llama(double=True).eval(), tiny_llama(seed=1, double=True).eval()
    prompts, completions = some_rows()
    found = likelihoods(model, prompts, completions, base)
    for prompt, completion, one in zip(prompts, completions, found, strict=True):
        with torch.no_grad():
            p, q = (each(torch.tensor([prompt + completion])).logits[0].log_softmax(-1) for each in (model, base))
        places = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
        log_prob = sum(float(p[at, token]) for at, token in zip(places, completion, strict=True))
        kl = sum(float(torch.nn.functional.kl_div(q[at], p[at], reduction="sum", log_target=True)) for at in places)
        assert one.log_prob == pytest.approx(log_prob, abs=1e-4)  # the batch is summed in fp32
        assert one.kl is not None and one.kl == pytest.approx(kl, abs=1e-4) and one.kl > 0.01


def test_a_model_is_no_way_from_itself_and_a_token_that_cannot_be_adds_nothing(tiny_llama: TinyLlama) -> None:
    from align.models.likelihood import _kl

    model, twin = tiny_llama().eval(), tiny_llama().eval()
    prompts, completions = some_rows()
    assert {one.kl for one in likelihoods(model, prompts, completions, model)} == {0.0}
    assert {one.kl for one in likelihoods(model, prompts, completions, twin)} == {0.0}
    half = torch.tensor([[[0.5, 0.5, 0.0]]]).log()
    assert float(_kl(half, torch.tensor([[[0.25, 0.25, 0.5]]]).log())) == pytest.approx(math.log(2))


def test_the_divergence_over_own_draws_is_the_distance_of_whole_completions(tiny_llama: TinyLlama) -> None:
    """Chain rule: summed over a drawn completion it is, in the mean, log p - log q of that completion."""
    from align.models.generate import generate

    model, base = tiny_llama().eval(), tiny_llama(seed=1).eval()
    prompts = [[7, 8, 9]] * 600
    drawn = generate(
        model, prompts, [str(at) for at in range(600)], ends=frozenset(), seed=0, sampling=Sampling(max_new_tokens=3)
    )
    texts = [one.tokens for one in drawn]
    ours, theirs = likelihoods(model, prompts, texts, base), likelihoods(base, prompts, texts)
    gaps = torch.tensor([one.log_prob - other.log_prob for one, other in zip(ours, theirs, strict=True)])
    exact = sum(one.kl or 0.0 for one in ours) / 600
    assert exact == pytest.approx(float(gaps.mean()), abs=4 * float(gaps.std()) / 600**0.5) and exact > 0.1


def test_the_base_is_as_it_was_and_shares_what_training_leaves_alone(tiny_llama: TinyLlama) -> None:
    from align.models.adapters import Lora, add_adapters
    from align.models.base import base_of, trainable

    model = tiny_llama().eval()
    prompts, completions = some_rows(3)
    plain = [one.log_prob for one in likelihoods(model, prompts, completions)]
    add_adapters(model, Lora(rank=2), seed=0)
    start = trainable(model)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if ".lora_B." in name:
                one.normal_(0, 0.5)
    base = base_of(model, start)
    found = likelihoods(model, prompts, completions, base)
    assert [one.log_prob for one in likelihoods(base, prompts, completions)] == pytest.approx(plain, abs=1e-5)
    assert min(one.kl or 0.0 for one in found) > 0.001
    frozen = {one.data_ptr() for one in model.parameters() if not one.requires_grad}
    assert frozen == {one.data_ptr() for name, one in base.named_parameters() if ".lora_" not in name}


def test_retention_and_asking_say_how_far_the_model_has_moved(subject: Subject) -> None:
    import copy
    from dataclasses import replace

    moved = copy.deepcopy(subject.model)
    with torch.no_grad():
        next(iter(moved.parameters())).mul_(0.9)
    values = Retention()(replace(subject, model=moved, base=subject.model)).values
    asked = Heldout(max_prompts=20)(replace(subject, model=moved, base=subject.model))
    for kl in (values["neutral"]["kl"], values["clean"]["kl"], asked.values["kl"]):
        assert kl["value"] > 0 and kl["se"] > 0 and kl["tokens"] > 0
    positions = sum(item["tokens"] + item["ended"] for item in asked.items)
    total = sum(item["kl"] for item in asked.items)
    assert asked.values["kl"]["value"] == pytest.approx(total / positions) and asked.values["kl"]["tokens"] == positions
    assert asked.values["kl"]["per_text"] == pytest.approx(total / len(asked.items))
    alone = Retention()(replace(subject, base=subject.model)).values
    assert alone["clean"]["kl"]["value"] == 0.0 and Retention()(subject).values["clean"]["kl"] is None
