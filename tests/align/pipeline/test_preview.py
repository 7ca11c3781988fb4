"""What `align plan` says, worked by hand: rows, lengths, steps, memory, and how the classes weigh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from align.data.dataset import open_dataset
from align.data.rows import Rows
from align.objectives.phase import parse
from align.pipeline import preview as module
from align.pipeline.preview import _example, _memory, class_weights, preview
from align.pipeline.recipe import read_recipe
from curate.core.errors import DataError


@dataclass
class Weighed:
    """An objective with weights for the classes."""

    lambda_desirable: float = 1.0
    lambda_undesirable: float = 1.0


def rows(*lengths: tuple[int, int], desirable: int = 0) -> Rows:
    """Rows of so many prompt and completion tokens; the first `desirable` of them are."""
    return Rows(
        prompts=[[1] * prompt for prompt, _ in lengths],
        completions=[[2] * completion for _, completion in lengths],
        desirable=[at < desirable for at in range(len(lengths))],
        pair=[-1] * len(lengths),
        ids=[f"row-{at:016}" for at in range(len(lengths))],
    )


@pytest.mark.parametrize(
    ("lambdas", "desirable", "undesirable", "message"),
    [
        ((1, 1), 6, 6, "weigh 1.00 times the undesirable, within"),
        ((1, 1), 8, 6, "weigh 1.33 times the undesirable, within"),
        ((1, 1), 9, 6, "weigh 1.50 times the undesirable, outside KTO's [1, 1.33] (below 1 puts preventing toxicity first); "
         "lambda_undesirable: 1.5 makes it 1"),
        ((1, 1), 3, 6, "weigh 0.50 times the undesirable, outside KTO's [1, 1.33] (below 1 puts preventing toxicity first); "
         "lambda_desirable: 2 makes it 1"),
        ((2, 3), 10, 4, "lambda_desirable 2, lambda_undesirable 3: desirable rows weigh 1.67 times the undesirable, outside "
         "KTO's [1, 1.33] (below 1 puts preventing toxicity first); lambda_undesirable: 5 makes it 1"),
        ((2, 3), 4, 10, "weigh 0.27 times the undesirable, outside KTO's [1, 1.33] (below 1 puts preventing toxicity first); "
         "lambda_desirable: 7.5 makes it 1"),
        ((2, 1), 6, 6, "weigh 2.00 times the undesirable, outside KTO's [1, 1.33] (below 1 puts preventing toxicity first); "
         "lambda_undesirable: 2 makes it 1"),
        ((1, 0), 6, 3, "weigh inf times the undesirable, outside KTO's [1, 1.33] (below 1 puts preventing toxicity first); "
         "lambda_undesirable: 2 makes it 1"),
    ],
)  # fmt: skip
def test_the_weight_of_the_classes_is_theirs_times_their_rows(
    lambdas: tuple[float, float], desirable: int, undesirable: int, message: str
) -> None:
    (line,) = class_weights(Weighed(*lambdas), desirable, undesirable)
    assert line.endswith(message + (" KTO's [1, 1.33]" if message.endswith("within") else ""))


def test_classes_are_not_weighed_where_there_is_one_or_the_objective_has_no_weights() -> None:
    assert class_weights(Weighed(), 0, 5) == class_weights(Weighed(), 5, 0) == class_weights(object(), 5, 5) == []
    assert len(class_weights(Weighed(), 1, 1)) == 1


@pytest.mark.parametrize(("token_budget", "tokens"), [(12, 12), (8, 10), (100, 16)])
@pytest.mark.parametrize("half", [False, True])
def test_memory_is_weights_optimizer_activations_and_logits(tiny_llama: Any, token_budget: int, tokens: int, half: bool) -> None:
    """The pass holds a batch's longest rows, at most the budget and at least the longest row; half of the tokens are scored."""
    import torch

    model = tiny_llama().to(torch.bfloat16 if half else torch.float32)
    model.model.norm.weight.requires_grad = False
    count, frozen = sum(one.numel() for one in model.parameters()), 32
    phase = parse({"sft": {"learning_rate": 1e-3, "batch_size": 2, "token_budget": token_budget}}, "here")
    layers, width, words = 2, 32, 64
    weights = count * (2 if half else 4) + (count - frozen) * 12
    activations = tokens * layers * width * 34 * (1 if half else 2)
    logits = tokens * 0.5 * words * 4 * 3
    expected = (weights + activations + logits) / 1e9
    assert _memory(model, rows((2, 2), (3, 3), (5, 5)), phase) == pytest.approx(expected, rel=1e-12)


def test_the_example_is_the_first_row_with_its_scored_tokens_marked() -> None:
    class Tokenizer:
        def decode(self, tokens: list[int]) -> str:
            return f"text of {len(tokens)}"

    two, tokenizer = rows((3, 2), (1, 9), desirable=1), Tokenizer()
    first = "example row row-00000000 (desirable): 3 prompt tokens, not scored; 2 completion tokens, scored"
    mask = "mask ...##  (# scored; --show-text prints the text)"
    assert _example(two, tokenizer, show_text=False) == [first, mask]  # type: ignore[arg-type]
    shown = [first, "not scored  'text of 3'", "scored      'text of 2'"]
    assert _example(two, tokenizer, show_text=True) == shown  # type: ignore[arg-type]
    assert "(undesirable)" in _example(rows((1, 1)), tokenizer, show_text=False)[0]  # type: ignore[arg-type]


def test_the_table_counts_rows_lengths_steps_and_tokens(
    pairs: Path, terms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred rows of 2 to 101 tokens, one of them too long, 33 a step, twice."""
    path = tmp_path / "r.yaml"
    path.write_text(
        f"name: r\nseed: 4\ndata: {pairs}\nmodel: {{'builtin:tiny': {{vocab_size: 400, hidden_size: 512, layers: 1}}}}\n"
        "phases: [{kto: {learning_rate: 1e-3, epochs: 2, batch_size: 33, max_length: 100}}]\n"
        f"eval: {{suites: [heldout], judge: {{lexicon: {{terms: {terms}}}}}}}\n"
    )
    recipe, dataset = read_recipe(path), open_dataset(pairs)
    hundred = rows(*((1, length) for length in range(1, 101)), desirable=60)
    monkeypatch.setattr(module, "phase_rows", lambda *_: hundred)
    lines = preview(recipe, tmp_path).splitlines()
    millions = sum(one.numel() for one in recipe.model.skeleton(dataset, tmp_path).parameters()) / 1e6
    assert millions > 1
    assert lines[0].startswith(f"r, seed 4: data {pairs} (quarrels, {dataset.fingerprint[:8]}), ")
    assert lines[1] == f"model: {millions:,.1f} M parameters, {millions:,.1f} M trained"
    (row,) = [line for line in lines if line.startswith("1-kto  ")]
    assert row.split() == ["1-kto", "60", "40", "1", "52", "/", "97", "/", "101", "6", "10,098"]

    def none(_: object) -> list[object]:
        raise DataError("no test split")

    monkeypatch.setattr(module, "heldout_prompts", none)
    assert preview(recipe, tmp_path).splitlines()[0].endswith(", 0 held-out prompts")
