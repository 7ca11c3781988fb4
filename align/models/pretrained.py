"""Base models: each one frozen config that loads one; `MODELS` is the whole list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from align.data.dataset import Dataset
from align.models.loaded import Loaded, model_fingerprint
from align.models.tiny import Tiny
from align.models.trained import Trained
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import digest

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Model(Protocol):
    """What a run asks of a base model.

    `tokenizer` gives the tokenizer alone, with a chat template. `load` gives the model too; `cache` is a folder that the
    run's own files may be kept in, `seed` the run's. `identity` names files that the options only point at, so that other
    weights in the same place are another run; empty where the options and the dataset say it all.
    """

    def tokenizer(self, dataset: Dataset, cache: Path) -> PreTrainedTokenizerBase:
        """The tokenizer alone."""
        ...

    def skeleton(self, dataset: Dataset, cache: Path) -> PreTrainedModel:
        """The model without weights, on torch's meta device."""
        ...

    def load(self, dataset: Dataset, cache: Path, seed: int) -> Loaded:
        """Model and tokenizer."""
        ...

    def identity(self) -> str:
        """Hash of files that the options point at, or nothing."""
        ...


@config
class Lora:
    """Low-rank adapters on a frozen model; only they are trained, in fp32.

    Args:
        rank: of the two factors. 16: peft's examples.
        alpha: the update is scaled by alpha / rank. 32: peft's examples.
        targets: names of the linear layers that get one, or "all-linear".
    """

    rank: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"


@config
class Pretrained:
    """A causal language model by Hub id or local folder, in safetensors; its own tokenizer and chat template.

    Args:
        path: Hub id or folder. Remote code is never run.
        revision: Hub commit or tag; a run is only repeatable with one.
        dtype: of the frozen weights when there are adapters; what is trained is fp32 whatever this says.
        lora: adapters to train in place of the weights; none trains every weight.
    """

    path: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    lora: Lora | None = None

    def tokenizer(self, dataset: Dataset, cache: Path) -> PreTrainedTokenizerBase:
        """The model's own tokenizer.

        Raises:
            DataError: it cannot be loaded, or has no chat template.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(self.path, revision=self.revision)
        except (OSError, ValueError) as error:
            raise _unloadable(self.path, error) from None
        if tokenizer.chat_template is None:
            raise DataError(f"{self.path}: its tokenizer has no chat template; use an instruction-tuned model or add one to it")
        return tokenizer

    def skeleton(self, dataset: Dataset, cache: Path) -> PreTrainedModel:
        """The model without weights, adapters included; nothing but its config is read.

        Raises:
            DataError: it cannot be read.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        try:
            settings = AutoConfig.from_pretrained(self.path, revision=self.revision)
        except (OSError, ValueError) as error:
            raise _unloadable(self.path, error) from None
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(settings, dtype=self._dtype())
            if self.lora:
                add_adapters(model, self.lora, seed=0)
        return model

    def load(self, dataset: Dataset, cache: Path, seed: int) -> Loaded:
        """The model, on a GPU where there is one; its adapters drawn from `seed`.

        Raises:
            DataError: it cannot be loaded.
        """
        import torch
        from transformers import AutoModelForCausalLM

        tokenizer, dtype = self.tokenizer(dataset, cache), self._dtype()
        try:
            model = AutoModelForCausalLM.from_pretrained(
                self.path, revision=self.revision, dtype=dtype, use_safetensors=True, attn_implementation="sdpa"
            )
        except (OSError, ValueError) as error:
            raise _unloadable(self.path, error) from None
        weights = digest(self.path, str(self.revision or model.config.to_json_string()), str(dtype))
        if self.lora:
            add_adapters(model, self.lora, seed)
        if torch.cuda.is_available():
            model = model.cuda()
        return Loaded(model.eval(), tokenizer, self.path, model_fingerprint(weights, tokenizer))

    def identity(self) -> str:
        """Hash of a local folder's files; a Hub id is named by its revision alone."""
        folder = Path(self.path)
        return files_hash(sorted(path for path in folder.iterdir() if path.suffix in NAMING)) if folder.is_dir() else ""

    def _dtype(self) -> torch.dtype:
        """Full fine-tuning keeps fp32 weights: in bf16 one small step changes hardly any of them."""
        import torch

        return torch.bfloat16 if self.lora and self.dtype == "bfloat16" else torch.float32


NAMING = {".safetensors", ".json", ".jinja", ".model"}
"""Files of a model's folder that decide what it says."""

MODELS: dict[str, type] = {
    "builtin:tiny": Tiny,
    "pretrained": Pretrained,
    "run": Trained,
}


def files_hash(paths: list[Path]) -> str:
    """One hash of some files' names and bytes."""
    import xxhash

    total = xxhash.xxh3_128()
    for path in paths:
        total.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(2**22):
                total.update(block)
    return total.hexdigest()


def add_adapters(model: PreTrainedModel, lora: Lora, seed: int) -> None:
    """Put adapters into the model itself: it keeps its class, so packing and saving need not know of them."""
    import torch
    from peft import inject_adapter_in_model

    torch.manual_seed(seed)
    inject_adapter_in_model(lora_config(lora), model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_config(lora: Lora) -> LoraConfig:
    """Adapters as peft has them."""
    from peft import LoraConfig

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")


def _unloadable(path: str, error: Exception) -> DataError:
    first = " ".join(str(error).split())[:160]
    return DataError(f"{path}: cannot be loaded ({first}); check the id or folder, or unset HF_HUB_OFFLINE to download it")
