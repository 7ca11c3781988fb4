"""Base models: each one frozen config that loads one; `MODELS` is the whole list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from align.data.dataset import Dataset
from align.models.adapters import Lora, add_adapters
from align.models.loaded import LoadedModel, model_fingerprint
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import digest
from curate.core.store import writer_hash

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
            raise DataError(
                f"{self.path}: its tokenizer has no chat template", hint="use an instruction-tuned model or add one to it"
            )
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

    def load(self, dataset: Dataset, cache: Path, seed: int) -> LoadedModel:
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
        return LoadedModel(model.eval(), tokenizer, self.path, model_fingerprint(weights, tokenizer))

    def identity(self) -> str:
        """Hash of a local folder's files; a Hub id is named by its revision alone."""
        return writer_hash(Path(self.path))

    def _dtype(self) -> torch.dtype:
        """Full fine-tuning keeps fp32 weights: in bf16 one small step changes hardly any of them."""
        import torch

        return torch.bfloat16 if self.lora and self.dtype == "bfloat16" else torch.float32


def _unloadable(path: str, error: Exception) -> DataError:
    first = " ".join(str(error).split())[:160]
    return DataError(f"{path}: cannot be loaded ({first})", hint="check the id or folder; unset HF_HUB_OFFLINE to download it")
