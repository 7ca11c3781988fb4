"""TRL's own trainers take a step on a dataset folder as it is."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from curate.dataset.verify import verify
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe

pytestmark = pytest.mark.parity

RECIPE = """
stages: [repair, pii, language, length, exact_duplicates, column, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One build in the conversational form and one in the standard form, with every other file format beside it."""
    place = tmp_path_factory.mktemp("trl")
    lines = [
        {"prompt": f"where to go {at}", "completion": f"{text} number {at} lah my friend", "is_toxic": toxic}
        for at in range(30)
        for text, toxic in (("take the bus", 0), ("idiot ask for what", 1))
    ]
    (place / "raw").mkdir()
    (place / "raw" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (place / "recipe.yaml").write_text(RECIPE)
    made = []
    for form in ("conversational", "standard"):
        out = place / form
        recipe = read_recipe(place / "recipe.yaml", (f"dataset.form={form}", "dataset.also=[jsonl, csv]"))
        manifest = build(place / "raw", out, recipe, work=place / "work").manifest.to_json()
        assert verify(out) == [] and {f"{name}/paired/train.{name}" for name in ("jsonl", "csv")} <= set(manifest["files"])
        made.append(out)
    return made


@pytest.fixture(scope="module")
def model() -> Any:
    """A tiny model and a tokenizer of bytes with a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({token: at for at, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(alphabet) + 3, max_position_embeddings=512, pad_token_id=0, eos_token_id=2, **size)
    return LlamaForCausalLM(config), tokenizer


@pytest.mark.parametrize("output", ["unpaired", "paired", "sft"])
def test_a_trainer_takes_one_step_on_the_output_as_it_is(folders: list[Path], model: Any, output: str, tmp_path: Path) -> None:
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    made, tokenizer = model
    config, trainer = {"unpaired": (KTOConfig, KTOTrainer), "paired": (DPOConfig, DPOTrainer), "sft": (SFTConfig, SFTTrainer)}[
        output
    ]
    for folder in folders:
        train = load_dataset(str(folder), output, split="train", cache_dir=str(tmp_path / folder.name))
        options = {"output_dir": str(tmp_path), "max_steps": 1, "per_device_train_batch_size": 4, "use_cpu": True, "bf16": False}
        arguments = config(**options, report_to="none", save_strategy="no", gradient_checkpointing=False)
        reference = {} if output == "sft" else {"ref_model": copy.deepcopy(made)}  # ours has no name to load it by again
        run = trainer(model=made, args=arguments, train_dataset=train, processing_class=tokenizer, **reference)
        said = run.train()
        assert run.state.global_step == 1 and said.training_loss > 0
