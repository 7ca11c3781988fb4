"""vLLM as a backend: what it is asked is what our own sampler does, and nobody without it gets far.

vLLM needs a GPU, so but for the last test, which runs where there is one, these are about what it is handed and how its answers
are read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from align.models import vllm as vllm_backend
from align.models.adapters import Lora, add_adapters
from align.models.generate import Sampling, generate
from align.models.likelihood import likelihoods
from align.pipeline.recipe import read_recipe
from align.pipeline.run import run
from curate.core.errors import RecipeError, UserError

TinyLlama = Callable[..., Any]
HERE = importlib.util.find_spec("vllm") is not None
ENDS = frozenset({2})


@dataclass(frozen=True)
class Drawn:
    """The two fields of a completion of vLLM's that are read."""

    token_ids: list[int]
    cumulative_logprob: float


@pytest.mark.skipif(HERE, reason="vllm is installed")
def test_without_vllm_a_run_stops_before_it_starts_and_names_the_extra(pairs: Path, terms: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        f"name: r\ndata: {pairs}\nmodel: builtin:tiny\nphases: [{{sft: {{learning_rate: 1e-3}}}}]\n"
        f"eval: {{suites: [heldout], judge: {{lexicon: {{terms: {terms}}}}}, sampling: {{backend: vllm}}}}\n"
    )
    with pytest.raises(RecipeError, match=r"pip install 'margins\[vllm\]' on a machine with a GPU, or take"):
        run(read_recipe(tmp_path / "r.yaml"), tmp_path / "runs", lambda line: None)
    assert not (tmp_path / "runs").exists()


def test_a_request_asks_for_the_whole_distribution_and_has_a_seed_of_its_own() -> None:
    sampling = Sampling(temperature=0.7, max_new_tokens=9)
    one, other, again = (vllm_backend.request_arguments(name, 0, frozenset({7, 2}), sampling) for name in ("a", "b", "a"))
    assert one == again and one | {"seed": 0} == other | {"seed": 0} and one["seed"] != other["seed"]
    assert 0 <= one["seed"] < 2**63 and one["seed"] != vllm_backend.request_arguments("a", 1, ENDS, sampling)["seed"]
    assert (one["temperature"], one["top_p"], one["top_k"], one["min_p"]) == (0.7, 1.0, 0, 0.0)
    assert one["max_tokens"] == 9 and one["stop_token_ids"] == [2, 7]


def test_what_vllm_opens_is_the_model_without_its_adapters(tiny_llama: TinyLlama, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, prompts, texts = tiny_llama().eval(), [[5, 6, 7]], [[8, 9, 2]]
    plain = likelihoods(model, prompts, texts)[0].log_prob
    add_adapters(model, Lora(rank=3), seed=0)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if ".lora_B." in name:
                one.normal_(0, 0.5)
    assert likelihoods(model, prompts, texts)[0].log_prob != pytest.approx(plain, abs=0.01)
    vllm_backend.save_base(model, tmp_path)
    assert likelihoods(AutoModelForCausalLM.from_pretrained(tmp_path), prompts, texts)[0].log_prob == pytest.approx(
        plain, abs=1e-5
    )
    asked = vllm_backend.engine_arguments(model, tmp_path)
    assert asked["model"] == str(tmp_path) and asked["dtype"] == "float32" and asked["max_model_len"] == 128
    assert asked["gpu_memory_utilization"] == 0.4  # the model under evaluation and its base lie beside it
    assert asked["enable_lora"] and asked["max_lora_rank"] == 8
    assert "enable_lora" not in vllm_backend.engine_arguments(tiny_llama(), tmp_path)


def test_the_adapters_that_vllm_gets_are_the_models(tiny_llama: TinyLlama, tmp_path: Path) -> None:
    from peft import PeftModel

    from align.models.adapters import save_adapters

    model, base = tiny_llama().eval(), tiny_llama().eval()
    add_adapters(model, Lora(rank=2), seed=0)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if ".lora_B." in name:
                one.normal_(0, 0.5)
    save_adapters(model, tmp_path)
    opened = PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7]])
        assert torch.allclose(opened(ids).logits, model(ids).logits, atol=1e-5)


def test_log_probs_that_are_not_the_models_stop_the_run(tiny_llama: TinyLlama) -> None:
    model, prompts, texts = tiny_llama().eval(), [[5, 6], [7]], [[8, 2], [9, 10, 2]]
    said = [one.log_prob for one in likelihoods(model, prompts, texts)]
    vllm_backend.check(model, prompts, [Drawn(text, value + 1e-3) for text, value in zip(texts, said, strict=True)])
    with pytest.raises(UserError, match=r"vllm's log-probabilities are 0\.2\d* nats per token from the model's own"):
        vllm_backend.check(model, prompts, [Drawn(text, value - 0.5) for text, value in zip(texts, said, strict=True)])


@pytest.mark.skipif(not (HERE and torch.cuda.is_available()), reason="needs vllm and a GPU")
def test_vllm_draws_from_the_same_distribution_and_takes_new_weights_over(tiny_llama: TinyLlama) -> None:
    sizes = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4}  # heads as wide as its kernels have them
    for seed in (0, 1):
        model = tiny_llama(seed=seed, initializer_range=0.1, **sizes).eval().cuda()
        prompts, names, sampling = [[7, 8, 9]] * 4_000, [str(at) for at in range(4_000)], Sampling(max_new_tokens=1)
        drawn = [
            sampler(model, prompts, names, ends=ENDS, seed=0, sampling=sampling) for sampler in (generate, vllm_backend.generate)
        ]
        counts = [
            torch.bincount(torch.tensor([one.tokens[0] if one.tokens else 2 for one in ones]), minlength=64) for ones in drawn
        ]
        shares = [count.double() / 4_000 for count in counts]
        assert (
            float((shares[0] - shares[1]).abs().sum() / 2) < 0.1
        )  # total variation of two samples of one distribution: about .07
