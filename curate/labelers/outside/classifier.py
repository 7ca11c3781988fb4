"""Load a sequence classifier of transformers, and run it so that a text's logits do not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import StorageError
from curate.core.progress import Progress, quiet
from curate.labelers.scoring import say
from curate.text.batches import by_length
from curate.text.encoders.processor import Precision, multiplies_bf16

# No int8: dynamic quantisation scales by a batch's largest value, so logits move with a text's neighbours (by .01, measured).


@dataclass(frozen=True)
class Classifier:
    """A model in memory.

    Attributes:
        labels: names of its outputs, in order.
        multi_label: the model says of itself that any number of labels may hold at once.
        limit: tokens read of a text, special tokens included.
        count: token counts of whole texts.
        run: logits (n, labels), float32, of n texts of one token length after truncation to `limit`.
    """

    labels: tuple[str, ...]
    multi_label: bool
    limit: int
    count: Callable[[list[str]], list[int]]
    run: Callable[[list[str]], NDArray[np.float32]]

    def logits(self, name: str, texts: list[str], progress: Progress) -> NDArray[np.float32]:
        """Logits of texts, shape (n, labels), NaN for a blank one; says how many texts were cut off.

        Args:
            name: the labeler's recipe word.
            texts: each is run once.
            progress: told of every text that is done.
        """
        cut = 0

        def counts(some: list[str]) -> list[int]:
            nonlocal cut
            whole = self.count(some)
            cut = sum(tokens > self.limit for tokens in whole)
            return [min(tokens, self.limit) for tokens in whole]

        logits = by_length(texts, counts, self.run, len(self.labels), float("nan"), progress)
        if cut:
            say(f"{name}: {cut:,} of {len(texts):,} texts are longer than {self.limit} tokens; only their beginnings were read")
        return logits


@cache
def load_classifier(folder: Path, precision: Precision, max_tokens: int) -> Classifier:
    """Load a classifier, once; from safetensors, without code of its repository.

    Args:
        folder: as `save_pretrained` leaves it.
        precision: of weights and activations; logits come back in fp32.
        max_tokens: tokens to read of a text, unless the model reads fewer.

    Raises:
        StorageError: unreadable, or some weights are not in the files: transformers would make them up at random.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if precision == "bf16" and not multiplies_bf16():
        say(f"{folder}: bf16 is slower than fp32 on this processor, which has no instruction for it")
    local = {"local_files_only": True, "trust_remote_code": False}
    kind = torch.float32 if precision == "fp32" else torch.bfloat16
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, dtype=kind, output_loading_info=True, **local
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise StorageError(
            f"{folder}: not a sequence classifier that transformers reads ({type(error).__name__})",
            hint="name a folder that save_pretrained() made",
        ) from None
    lacking = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if lacking:
        raise StorageError(
            f"{folder}: no weights for {', '.join(lacking[:3])}; a classifier whose head was never trained says nothing",
            hint="name one that was fine-tuned",
        )
    model.eval()
    limit = min(max_tokens, int(tokenizer.model_max_length), int(getattr(model.config, "max_position_embeddings", max_tokens)))

    def count(texts: list[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]

    def run(texts: list[str]) -> NDArray[np.float32]:
        inputs = tokenizer(texts, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            return np.asarray(model(**inputs).logits.float().numpy(), np.float32)

    names = tuple(str(model.config.id2label[at]) for at in range(model.config.num_labels))
    return Classifier(names, model.config.problem_type == "multi_label_classification", limit, count, run)
