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

from align.data import Dataset, open_dataset
from align.generate import Sampling
from align.suites import Subject
from align.suites.heldout import Heldout, heldout_prompts
from align.suites.retention import Retention, log_probs
from align.tiny import Tiny
from curate.labelers.lexicon import Lexicon

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


def test_batched_log_probs_are_those_of_one_row_at_a_time(tiny_llama: TinyLlama) -> None:
    model, draw = tiny_llama(double=True).eval(), random.Random(0)
    prompts = [[draw.randrange(3, 60) for _ in range(draw.randint(1, 9))] for _ in range(17)]
    completions = [[draw.randrange(3, 60) for _ in range(draw.randint(1, 6))] for _ in range(17)]
    for prompt, completion, found in zip(prompts, completions, log_probs(model, prompts, completions), strict=True):
        with torch.no_grad():
            scores = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        expected = sum(float(scores[len(prompt) - 1 + at, token]) for at, token in enumerate(completion))
        assert found == pytest.approx(expected, abs=1e-4)  # the batch is summed in fp32
