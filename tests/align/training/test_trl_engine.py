"""`engine: trl`: the same rows through TRL's trainers, and what they cannot express is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from align.commands.compare import compare
from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.objectives.phase import Phase, parse
from align.pipeline.recipe import read_recipe
from align.pipeline.run import run
from align.training import trl_engine
from align.training.trainer import train
from curate.core.errors import NonFiniteError, RecipeError, StorageError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
pytestmark = pytest.mark.parity


def phase(word: str, **options: object) -> Phase:
    return parse({word: {"learning_rate": 2e-3, "batch_size": 8, "epochs": 2} | options}, "r.yaml: phases[0]")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Says which tokens pad and end a turn; the engine asks nothing else of it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{number}": number for number in range(64)}, unk_token="w63"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w2")


@pytest.mark.parametrize(("word", "apart"), [("sft", 1e-4), ("dpo", 1e-4), ("kto", 0.02)])
def test_both_engines_go_the_same_way(
    word: str, apart: float, tiny_llama: TinyLlama, make_rows: MakeRows, tokenizer: Any, tmp_path: Path
) -> None:
    """Step by step where there is no z; TRL's z is of other partners."""
    rows, made = make_rows(48, paired=word == "dpo"), phase(word)
    model = tiny_llama()
    theirs = copy.deepcopy(model)
    ours = train(model, rows, made, tmp_path / "ours", 0)
    found = trl_engine.train(theirs, rows, made, tmp_path / "trl", 0, tokenizer)
    a, b = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("ours", "trl"))
    assert found.steps == ours.steps == len(a) == len(b) and b[-1]["loss"] < b[0]["loss"]
    assert [line["loss"] for line in b] == pytest.approx([line["loss"] for line in a], abs=apart)
    for name in ("step", "rows", "tokens", "lr"):
        assert [line[name] for line in b] == pytest.approx([line[name] for line in a])
    if word == "dpo":
        for name in ("rewards/chosen", "rewards/margins", "logps/rejected"):
            assert [line[name] for line in b] == pytest.approx([line[name] for line in a], abs=1e-3)


def test_the_same_call_again_loads_the_weights_and_other_work_is_left_alone(
    tiny_llama: TinyLlama, make_rows: MakeRows, tokenizer: Any, tmp_path: Path
) -> None:
    first, second = tiny_llama(), tiny_llama()
    made = trl_engine.train(first, make_rows(), phase("sft", steps=2), tmp_path, 0, tokenizer)
    again = trl_engine.train(second, make_rows(), phase("sft", steps=2), tmp_path, 0, tokenizer)
    assert again.metrics == made.metrics and again.resumed_from == 2
    assert all(bool((a == b).all()) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(StorageError, match="holds another phase's work"):
        train(tiny_llama(), make_rows(), phase("sft", steps=2), tmp_path, 0)


def test_nan_stops_it(tiny_llama: TinyLlama, make_rows: MakeRows, tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="NaN or infinity in"):
        trl_engine.train(tiny_llama(), make_rows(), phase("sft", learning_rate=1e30, steps=4), tmp_path, 0, tokenizer)


RECIPE = """
name: peer
data: {pairs}
engine: trl
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 1, batch_size: 16}}}}
phases:
  - sft: {{learning_rate: 3e-3, steps: 2, batch_size: 16}}
  - kto: {{learning_rate: 1e-3, steps: 2, batch_size: 16}}
eval:
  suites: [retention]
  judge: {{lexicon: {{terms: {terms}}}}}
"""


@pytest.fixture(scope="module")
def recipe_file(pairs: Path, terms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "peer.yaml"
    path.write_text(RECIPE.format(pairs=pairs, terms=terms))
    return path


def test_a_run_of_trls_is_compared_with_one_of_ours(recipe_file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    theirs, results, _ = run(read_recipe(recipe_file), tmp_path, said.append)
    ours, *_ = run(read_recipe(recipe_file, ["engine=align", "name=ours"]), tmp_path, said.append)
    assert results.key["versions"]["trl"] and any("a phase that is stopped starts again" in line for line in said)
    assert compare([theirs, ours]).count("after sft + kto") == 2


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("phases=[{kto_s: {learning_rate: 1e-4}}]", "kto_s: TRL has no such trainer"),
        ("phases.sft.token_budget=100", "token_budget: engine trl has nothing like it"),
        ("phases.kto.together=true", "together: engine trl has nothing like it"),
        ("phases.kto.kl_scope={micro: 5}", "5 does not divide batch_size 16"),
    ],
)
def test_what_trl_cannot_express_is_refused_by_name(setting: str, named: str, recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=named):
        read_recipe(recipe_file, [setting])
