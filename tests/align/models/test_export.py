"""An exported model says what the run's checkpoint said, opened by the libraries' own loaders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model

from align.data.dataset import open_dataset
from align.models.export import export
from align.models.tiny import Tiny
from align.pipeline.recipe import read_recipe
from align.pipeline.run import run
from curate.core.errors import DataError, RecipeError

RECIPE = """
name: small
data: {pairs}
model: {{pretrained: {{path: {base}, dtype: float32{lora}}}}}
phases:
  - sft: {{learning_rate: 3e-3, steps: 4, batch_size: 16}}
  - kto_s: {{learning_rate: 1e-2, steps: 4, batch_size: 16}}
eval:
  suites: [{{heldout: {{max_prompts: 4}}}}]
  judge: {{lexicon: {{terms: {terms}}}}}
  sampling: {{max_new_tokens: 4}}
"""
IDS = torch.tensor([[5, 6, 7, 8, 9]])


@pytest.fixture(scope="module")
def base(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    made = Tiny(vocab_size=400, hidden_size=32, layers=1, epochs=0.2, batch_size=16).load(open_dataset(pairs), folder, seed=0)
    made.model.save_pretrained(folder / "model")
    made.tokenizer.save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module", params=["", ", lora: {rank: 2}"], ids=["full", "lora"])
def finished(request: pytest.FixtureRequest, base: Path, pairs: Path, terms: Path, tmp_path_factory: Any) -> tuple[Path, bool]:
    place = tmp_path_factory.mktemp("runs")
    (place / "r.yaml").write_text(RECIPE.format(pairs=pairs, base=base, terms=terms, lora=request.param))
    folder, _, _ = run(read_recipe(place / "r.yaml"), place, lambda line: None)
    return folder, bool(request.param)


def said(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(model.eval()(IDS).logits)


def checkpoint(folder: Path, name: str) -> torch.Tensor:
    """What the checkpoint itself says, its adapters in place."""
    recipe = read_recipe(folder / "recipe.yaml")
    model = recipe.model.load(open_dataset(Path(recipe.data)), folder.parent, recipe.seed).model
    load_model(model, folder / name / "model.safetensors")
    return said(model)


def test_the_exported_model_says_what_the_checkpoint_said(finished: tuple[Path, bool], base: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, lora = finished
    expected = checkpoint(folder, "2-kto_s")
    if lora:
        export(folder, tmp_path / "adapters")
        bare = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        assert not torch.allclose(said(bare), expected, atol=1e-3)
        assert torch.allclose(said(PeftModel.from_pretrained(bare, str(tmp_path / "adapters"))), expected, atol=1e-6)
    export(folder, tmp_path / "whole", merge=lora)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", dtype=torch.float32)
    assert torch.allclose(said(whole), expected, atol=1e-5)
    assert not any("lora" in name for name in whole.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "whole")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template


def test_an_earlier_phase_is_exported_by_name(finished: tuple[Path, bool], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder, lora = finished
    export(folder, tmp_path / "sft", phase="sft", merge=lora)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "sft", dtype=torch.float32)
    assert torch.allclose(said(whole), checkpoint(folder, "1-sft"), atol=1e-5)


def test_what_cannot_be_exported_says_why(finished: tuple[Path, bool], tmp_path: Path) -> None:
    folder, lora = finished
    with pytest.raises(RecipeError, match="it has 1-sft, 2-kto_s"):
        export(folder, tmp_path / "x", phase="dpo")
    with pytest.raises(DataError, match="no finished run"):
        export(tmp_path, tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RecipeError, match="holds something"):
        export(folder, tmp_path / "full")
    if not lora:
        with pytest.raises(RecipeError, match="nothing to fold"):
            export(folder, tmp_path / "x", merge=True)


def test_a_run_of_another_version_says_so(finished: tuple[Path, bool], tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text("utf-8").replace("    dtype: float32", "    dtype: float32\n    older: 1"), "utf-8")
    with pytest.raises(RecipeError, match="no option 'older'") as caught:
        export(tmp_path / "run", tmp_path / "x")
    assert caught.value.hint and caught.value.hint.endswith("or run its recipe again, another version trained it")
