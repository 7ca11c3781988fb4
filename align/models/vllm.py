"""Sampling by vLLM, for models and suites large enough that starting it pays: `eval.sampling: {backend: vllm}`.

What is drawn is the same as by `align.models.generate`: softmax at the recipe's temperature, nothing cut off its tail, until
a token ends the turn. The random numbers are vLLM's own, a stream for each prompt, so single completions differ between the
backends while their distribution does not. Every call compares vLLM's log-probabilities of what it drew with the model's own:
weights that were not taken over, or an architecture that vLLM computes otherwise, end in an error and in no figure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from align.models.generate import Sampled, Sampling, cut
from curate.core.errors import RecipeError, UserError
from curate.core.schema import digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from vllm import CompletionOutput
    from vllm.lora.request import LoRARequest

Arguments = dict[str, str | int | float | bool | list[int]]

MEMORY = 0.4  # share of the GPU's memory that vLLM may fill: the model under evaluation and its base lie beside it
LONGEST = 8_192  # tokens of a prompt and its completion, where the model itself allows more: room for their cache is set aside
CHECKED = 8  # completions of a call whose log-probabilities are compared
APART = {"float32": 0.02, "bfloat16": 0.15, "float16": 0.05}  # largest mean difference, nats per token; our choice

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM has room for; a smaller one fits

_engine: Engine | None = None


class Engine:
    """vLLM with one model in it, whose weights it takes over from a model of the same shape.

    Args:
        model: decides architecture, precision and whether there are adapters.

    Raises:
        RecipeError: vLLM is not installed.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Start it with the model's weights."""
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # in this process: repeatable, and ends when it ends
        require()
        from vllm import LLM

        self.shape = shape_of(model)
        self._place = tempfile.TemporaryDirectory(prefix="margins-vllm-", ignore_cleanup_errors=True)  # goes with the engine
        self._folder, self._handed, self._taken = Path(self._place.name), 0, ""
        self._adapters = has_adapters(model)
        self._lora: LoRARequest | None = None
        save_base(model, self._folder / "base")
        self._llm = LLM(**engine_arguments(model, self._folder / "base"))

    def take(self, model: PreTrainedModel) -> None:
        """Take the model's weights over, where they are others than last time."""
        from align.models.base import tensor_hashes

        name = digest(repr(sorted(tensor_hashes(model).items())))
        if name == self._taken:
            return
        self._handed += 1
        place = self._folder / str(self._handed)
        if self._adapters:
            from vllm.lora.request import LoRARequest

            from align.models.adapters import save_adapters

            save_adapters(model, place)
            self._lora = LoRARequest(f"checkpoint-{self._handed}", self._handed, str(place))
        else:
            save_base(model, place)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(place)})
        self._llm.reset_prefix_cache()  # it holds what the earlier weights made of the prompts
        shutil.rmtree(self._folder / str(self._handed - 1), ignore_errors=True)
        self._taken = name

    def draw(self, prompts: Sequence[Sequence[int]], requests: Sequence[Arguments]) -> list[CompletionOutput]:
        """One `CompletionOutput` per prompt, same order."""
        from vllm import SamplingParams

        outputs = self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts],
            [SamplingParams(**request) for request in requests],
            use_tqdm=False,
            lora_request=self._lora,
        )
        return [one.outputs[0] for one in outputs]


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    ends: frozenset[int],
    seed: int,
    sampling: Sampling,
) -> list[Sampled]:
    """Sample one completion for each prompt; arguments as `align.models.generate.generate` has them.

    Raises:
        RecipeError: vLLM is not installed.
        UserError: what it computes is not what the model computes.
    """
    engine = _started(model)
    engine.take(model)
    drawn = engine.draw(prompts, [request_arguments(name, seed, ends, sampling) for name in names])
    check(model, prompts[:CHECKED], drawn[:CHECKED])
    return [cut(list(one.token_ids), ends) for one in drawn]


def _started(model: PreTrainedModel) -> Engine:
    """The one engine of this process; another model's makes way."""
    global _engine
    if _engine is None or _engine.shape != shape_of(model):
        _engine = None  # first, so that its memory is free
        _engine = Engine(model)
    return _engine


def require() -> None:
    """Say now what would stop the first evaluation.

    Raises:
        RecipeError: vLLM is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise RecipeError(
            "eval: sampling: backend: vllm is not installed",
            hint="pip install 'margins[vllm]' on a machine with a GPU, or take backend: transformers",
        )


def engine_arguments(model: PreTrainedModel, folder: Path) -> Arguments:
    """What `vllm.LLM` is called with."""
    longest = getattr(model.config, "max_position_embeddings", None) or LONGEST
    arguments: Arguments = {
        "model": str(folder),
        "skip_tokenizer_init": True,  # token ids in, token ids out
        "dtype": _dtype(model),
        "max_model_len": min(longest, LONGEST),
        "gpu_memory_utilization": MEMORY,
        "logprobs_mode": "raw_logprobs",  # before the temperature: what `check` compares
        "disable_log_stats": True,
    }
    if has_adapters(model):
        ranks = {value.shape[0] for name, value in model.named_parameters() if ".lora_A." in name}
        room = next((room for room in RANKS if room >= max(ranks)), max(ranks))
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}
    return arguments


def request_arguments(name: str, seed: int, ends: frozenset[int], sampling: Sampling) -> Arguments:
    """What `vllm.SamplingParams` is called with for one prompt."""
    return {
        "temperature": sampling.temperature,
        "top_p": 1.0,
        "top_k": 0,  # 0: all
        "min_p": 0.0,
        "max_tokens": sampling.max_new_tokens,
        "seed": int(digest(name, str(seed)), 16) % 2**63,
        "stop_token_ids": sorted(ends),
        "logprobs": 0,  # of the drawn token alone
        "detokenize": False,
    }


def check(model: PreTrainedModel, prompts: Sequence[Sequence[int]], outputs: Sequence[CompletionOutput]) -> None:
    """Compare vLLM's log-probabilities of what it drew with the model's own.

    Raises:
        UserError: they are further apart than rounding in the model's precision.
    """
    from align.models.likelihood import likelihoods

    drawn = [list(one.token_ids) for one in outputs]
    kept = [at for at, tokens in enumerate(drawn) if tokens]
    own = likelihoods(model, [prompts[at] for at in kept], [drawn[at] for at in kept])
    gaps = [abs(outputs[at].cumulative_logprob - one.log_prob) for at, one in zip(kept, own, strict=True)]
    apart = sum(gaps) / max(1, sum(len(drawn[at]) for at in kept))
    if not apart <= APART[_dtype(model)]:
        raise UserError(
            (
                f"eval: sampling: backend: vllm's log-probabilities are {apart:.2g} nats per token from the model's "
                f"own (at most {APART[_dtype(model)]:g} would be rounding)"
            ),
            hint="take backend: transformers for this model",
        )


def shape_of(model: PreTrainedModel) -> str:
    """What two models share when one engine serves both."""
    frozen = sorted(name for name, one in model.named_parameters() if not one.requires_grad) if has_adapters(model) else []
    return digest(model.config.to_json_string(), _dtype(model), repr(frozen), str(id(model) if frozen else ""))


def has_adapters(model: PreTrainedModel) -> bool:
    """Whether low-rank adapters lie over frozen weights."""
    return any(".lora_A." in name for name, _ in model.named_parameters())


def save_base(model: PreTrainedModel, folder: Path) -> None:
    """Write the weights, adapters left out, as a folder that `from_pretrained` opens."""
    state = {
        name.replace(".base_layer.", "."): value.contiguous()
        for name, value in model.state_dict().items()
        if ".lora_" not in name
    }
    model.save_pretrained(folder, state_dict=state)


def _dtype(model: PreTrainedModel) -> str:
    """Of the weights that are not adapters."""
    one = next(value for name, value in model.named_parameters() if ".lora_" not in name)
    return str(one.dtype).removeprefix("torch.")
