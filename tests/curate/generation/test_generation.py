"""Generated texts: from models made here and from a real endpoint, resumed, passed through every stage, paired, forgotten."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from curate.core.errors import RecipeError
from curate.core.shipped import bundled
from curate.dataset.look.explain import explain
from curate.dataset.verify import verify
from curate.generation.generator import Ask
from curate.generation.local import sample
from curate.pipeline.build import build
from curate.pipeline.forget import forget
from curate.pipeline.recipe import read_recipe

RUDE = ("idiot", "stupid", "moron", "loser")
MILD = ("thanks", "lah", "the", "bus", "is", "late", "can", "go", "tomorrow", "nice", "food", "here")
STAGES = """
stages:
  [repair, pii, language, length: {min_chars: 2}, exact_duplicates, column, encode, ngram, consensus: {labelers: [column, ngram]}]
"""


def write(path: Path, entries: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def save(folder: Path, model: Any, words: tuple[str, ...]) -> str:
    """A model with a tokenizer of whole words, as `save_pretrained` leaves them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: at for at, word in enumerate(("<pad>", "<unk>", "<s>", "</s>", *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A causal model that says words at random, some of them rude."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = ("user", "assistant", ":", *RUDE, *MILD)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(words) + 4, max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=3, **size
    )
    return save(tmp_path_factory.mktemp("babbler"), LlamaForCausalLM(config), words)


PLAIN = {
    "you idiot the bus is late lah": "the bus is late lah",
    "go tomorrow stupid moron": "go tomorrow",
    "the food here is nice loser": "the food here is nice",
}


@pytest.fixture(scope="module")
def paraphraser(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sequence-to-sequence model that has learnt to leave the rude words of three sentences out."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    words = ("you", *RUDE, *MILD)
    ids = {word: at + 4 for at, word in enumerate(words)}
    torch.manual_seed(0)
    size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    config = T5Config(vocab_size=len(words) + 4, pad_token_id=0, eos_token_id=3, decoder_start_token_id=0, **size)
    model = T5ForConditionalGeneration(config)

    def padded(texts: list[str], fill: int) -> torch.Tensor:
        rows = [[*(ids[word] for word in text.split()), 3] for text in texts]
        return torch.tensor([row + [fill] * (9 - len(row)) for row in rows])

    asked = padded(list(PLAIN), 0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        loss = model(input_ids=asked, attention_mask=(asked != 0).long(), labels=padded(list(PLAIN.values()), -100)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    return save(tmp_path_factory.mktemp("paraphraser"), model.eval(), words)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    toxic = [{"completion": text, "prompt": f"how was day {at}", "is_toxic": 1} for at, text in enumerate(PLAIN)]
    mild = [
        {"prompt": f"how was day {at}", "completion": f"number {at} was quite alright for all of us", "is_toxic": 0}
        for at in range(6)
    ]
    write(tmp_path / "raw" / "said.jsonl", toxic + mild)
    return tmp_path


def recipe(place: Path, generate: dict[str, Any], pairing: str) -> None:
    rest = {"generate": [generate], "dataset": {"splits": {"validation": 0, "test": 0}, "refusal_share": 1}}
    (place / "recipe.yaml").write_text(f"{STAGES}\npairing: [{pairing}]\n{yaml.safe_dump(rest)}")


def run(place: Path) -> dict[str, Any]:
    manifest = build(place / "raw", place / "out", read_recipe(place / "recipe.yaml")).manifest.to_json()
    assert verify(place / "out") == []
    return manifest


def output(place: Path, name: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((place / "out" / name).glob("*.parquet"))])


def text_of(column: pl.Series) -> list[str]:
    return column.list.first().struct.field("content").to_list()


def test_a_model_s_rewrites_are_labelled_and_paired_with_what_they_rewrite(place: Path, paraphraser: str) -> None:
    recipe(
        place,
        {"rewrite": {"model": paraphraser, "instruction": "{text}", "max_new_tokens": 10}},
        "rewrite: {min_similarity: 0.3}",
    )
    manifest = run(place)
    corpus = output(place, "corpus")
    made = corpus.filter(pl.col("side") == "rewrite").join(corpus, left_on="derived_from", right_on="id", suffix="_of")
    assert dict(zip(made["completion_of"], made["completion"], strict=True)) == PLAIN
    assert made["evidence"].to_list() == ["machine"] * 3 and made["prompt"].equals(made["prompt_of"], check_names=False)
    for same in ("record", "source", "licence", "split"):
        assert made[same].equals(made[f"{same}_of"], check_names=False)
    pairs = output(place, "paired")
    assert pairs.height and set(pairs["strategy"]) == {"rewrite"} and pairs["similarity"].min() >= 0.3
    assert {(bad, good) for bad, good in zip(text_of(pairs["rejected"]), text_of(pairs["chosen"]), strict=True)} <= set(
        PLAIN.items()
    )
    assert manifest["models"]["generate: rewrite"] and manifest["dataset"]["generated"] == {"rewrite": 3}
    assert [line["rows"] for line in manifest["sources"] if line["source"] == "generated/rewrite"] == [3]


def test_answers_are_sampled_from_the_model_labelled_and_paired(place: Path, babbler: str) -> None:
    recipe(place, {"on_policy": {"model": babbler, "samples": 8, "max_new_tokens": 5}}, "on_policy")
    run(place)
    corpus = output(place, "corpus")
    samples = corpus.filter(pl.col("side") == "sample")
    assert samples.height > 30 and samples["record"].n_unique() == 6
    assert {True, False} <= set(samples["toxic"].to_list())
    pairs = output(place, "paired")
    assert pairs.height and set(pairs["strategy"]) == {"on_policy"}
    assert set(pairs["chosen_id"]) | set(pairs["rejected_id"]) <= set(samples["id"])
    assert set(samples.filter(pl.col("reason").is_null())["id"]) & set(output(place, "unpaired")["id"]), (
        "samples are unpaired rows too"
    )


def test_a_sample_depends_on_its_question_alone(babbler: str) -> None:
    asks = [Ask(row, row, (("user", "the bus is late"),), seed) for row, seed in (("a", 1), ("b", 2), ("c", 1))]
    options = {"samples": 4, "temperature": 1.0, "top_p": 0.9, "max_new_tokens": 6}
    first, second, third = (sample(babbler, ask, **options) for ask in asks)
    assert first == third != second and sample(babbler, asks[1], **options) == second


def test_a_stopped_build_asks_only_what_was_not_answered(place: Path, babbler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import curate.generation.on_policy as room

    recipe(place, {"on_policy": {"model": babbler, "samples": 3, "max_new_tokens": 4}}, "on_policy")
    asked: list[str] = []
    real = room.sample

    def failing(name: str, ask: Ask, **options: Any) -> list[str]:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(ask.key)
        return real(name, ask, **options)

    monkeypatch.setattr(room, "sample", failing)
    with pytest.raises(KeyboardInterrupt):
        build(place / "raw", place / "out", read_recipe(place / "recipe.yaml"))
    (kept,) = (place / "out.work" / "generated").glob("*.jsonl")
    kept.write_bytes(kept.read_bytes()[:-9])  # the fourth line was cut short
    before = asked[:3]
    asked.clear()
    monkeypatch.setattr(room, "sample", lambda name, ask, **options: asked.append(ask.key) or real(name, ask, **options))
    resumed = run(place)["fingerprint"]
    assert len(asked) == 3 and not set(asked) & set(before)
    asked.clear()
    (place / "out" / "manifest.json").unlink()
    for path in sorted((place / "out").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert run(place)["fingerprint"] == resumed and not asked


def test_forgetting_a_row_takes_what_was_generated_from_it(place: Path, paraphraser: str) -> None:
    recipe(
        place,
        {"rewrite": {"model": paraphraser, "instruction": "{text}", "max_new_tokens": 10}},
        "rewrite: {min_similarity: 0.3}",
    )
    run(place)
    corpus = output(place, "corpus")
    (row,) = corpus.filter(pl.col("completion") == "go tomorrow stupid moron")["id"]
    forget(place / "out", [row])
    assert verify(place / "out") == []
    left = output(place, "corpus")
    assert "go tomorrow" not in left["completion"].to_list() and left.filter(pl.col("side") == "rewrite").height == 2
    for path in sorted((place / "out.work").rglob("*.jsonl")):
        assert "go tomorrow" not in path.read_text()
    run(place)
    assert "go tomorrow" not in output(place, "corpus")["completion"].to_list()


class Editor(http.server.BaseHTTPRequestHandler):
    """Rewrites by leaving rude words out; one text it will not read, of one it makes something worse."""

    asked: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(question)
        text = question["messages"][-1]["content"].splitlines()[-1]
        words = [word for word in text.split() if word not in ("you", *RUDE)]
        said = " ".join([*words, *RUDE] if "food" in words else words)
        body = json.dumps({"choices": [] if "tomorrow" in words else [{"message": {"content": said}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def editor() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Editor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Editor.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def test_an_endpoint_rewrites_and_what_is_still_toxic_is_no_pair(place: Path, editor: str) -> None:
    recipe(place, {"rewrite": {"model": "an-editor", "url": editor}}, "rewrite: {min_similarity: 0.3}")
    run(place)
    assert len(Editor.asked) == 3 and all("insults nobody" in one["messages"][0]["content"] for one in Editor.asked)
    made = output(place, "corpus").filter(pl.col("side") == "rewrite")
    assert sorted(made["completion"]) == ["the bus is late lah", "the food here is nice idiot stupid moron loser"]
    assert text_of(output(place, "paired")["chosen"]) == ["the bus is late lah"]
    assert set(output(place, "refused")["reason"]) == {"not_separated"}
    (worse,) = made.filter(pl.col("completion").str.contains("food"))["id"]
    life = explain(place / "out", worse)
    assert "no pair         rewrite with" in life and "not_separated" in life and "derived from" in life
    run(place)
    assert len(Editor.asked) == 3, "a second build asks nothing twice"


def test_what_a_model_says_passes_pii_like_any_other_text(place: Path, editor: str) -> None:
    rude = {"completion": "you idiot call me at 9123 4567 lah", "prompt": "how to reach you", "is_toxic": 1}
    mild = [{"prompt": f"how was day {at}", "completion": f"number {at} was quite alright", "is_toxic": 0} for at in range(3)]
    write(place / "raw" / "said.jsonl", [rude, *mild])
    recipe(
        place,
        {"rewrite": {"model": "an-editor", "url": editor, "instruction": "{text} or mail tan.ah.kow@example.com"}},
        "rewrite: {min_similarity: 0}",
    )
    run(place)
    assert "9123" not in json.dumps(Editor.asked), "what is asked has passed pii"
    (said,) = output(place, "corpus").filter(pl.col("side") == "rewrite")["completion"]
    assert said == "call me at <PHONE_1> lah or mail <EMAIL_1>"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"model": "x", "instruction": "no place for it"}, "instruction must hold {text}"),
        ({"model": "x", "samples": 4}, "samples: at temperature 0"),
        ({"modle": "x"}, "did you mean 'model'"),
    ],
)
def test_a_generator_s_slips_are_named_before_any_work(place: Path, options: dict[str, Any], problem: str) -> None:
    recipe(place, {"rewrite": options}, "rewrite")
    with pytest.raises(RecipeError, match=problem):
        read_recipe(place / "recipe.yaml")


@pytest.mark.parametrize("name", ["singlish", "rewrites", "on_policy", "toxicity_only"])
def test_every_recipe_that_ships_is_read(name: str) -> None:
    made = read_recipe(bundled(name))
    assert made.pairing and (name not in ("rewrites", "on_policy") or made.generate)
