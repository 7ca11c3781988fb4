"""Label completions, given their prompts, by the built-in encoder itself, its upper layers bent to the task.

It reads a completion once more, as long as encoding takes, so it is asked about what `head` and `ngram` cannot decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.core.config import config
from curate.core.contracts import Schema
from curate.core.progress import Progress
from curate.core.schema import digest
from curate.labelers.builtin.features import without_final
from curate.labelers.builtin.shipped import ShippedWeights, load_shipped
from curate.labelers.scoring import MARK, Only, columns_read, joined, score_columns, score_rows, score_texts
from curate.text.batches import by_length
from curate.text.encoders.minilm import BUILTIN_SHA256, builtin_tokenizer, builtin_weights, token_states
from curate.text.prompts import flatten, last_user

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

LAYERS, LOWER = 6, 3  # of the encoder, and how many of them stay as they are
SCALE = 2.0  # what an update counts beside the weight that it bends
PARTS = (
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)

PROMPT_TOKENS = 32  # of a prompt that are read, its last ones

Scores = NDArray[np.float32]


@config
class Tuned:
    """Probability of toxicity by a fine-tuned encoder: its upper three layers carry low-rank updates that ship with the project.

    Knows far more of abuse without a marked word than `head`, reads the end of the last message before the completion (who agrees
    with abuse is abusive), and costs a second pass of the encoder. Abstains on a blank completion. A score depends on its prompt
    and completion alone: nothing is padded. Particles that close a completion are not read, so none can change its score.

    Args:
        only: `undecided` scores only the rows that the stage of that name chose.

    Source: Hu et al. (2021), LoRA: Low-Rank Adaptation of Large Language Models; Platt (1999) for calibration.
    """

    only: Only | None = None
    VERSION: ClassVar[int] = 2

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return ("prompt", *columns_read(self.only))

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return score_columns("tuned", ())

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the updates and of the encoder that they bend."""
        return (self._weights.hash, BUILTIN_SHA256)

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic: at most 3 % of plain English, and of plain Singlish, lies above."""
        return self._weights.threshold

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the updates saw."""
        return self._weights.trained_on

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text by itself, shape (n,), NaN for a blank one."""
        return self._scores(joined(texts))[:, 0]

    def score_replies(self, texts: Sequence[str], prompts: Sequence[str | None]) -> NDArray[np.float32]:
        """Probability of toxicity of each text given what it answers, where that is known; shape (n,), NaN for a blank one."""
        return self._scores(joined(texts, prompts))[:, 0]

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_tuned`, null where it abstains or was not asked."""
        both = joined(rows["completion"].fill_null("").to_list(), last_user(flatten(rows), rows.height))
        return score_rows(rows.with_columns(completion=pl.Series(both, dtype=pl.String)), self.writes, self.only, self._scores)

    def _scores(self, texts: Sequence[str]) -> Scores:
        key = digest("tuned", str(self.VERSION), *self.models)
        return score_texts("tuned", key, texts, 1, lambda some, progress: tuned_scores(self._weights, some, progress))

    @property
    def _weights(self) -> ShippedWeights:
        return load_shipped("tuned", self.VERSION)


def tuned_scores(weights: ShippedWeights, both: Sequence[str], progress: Progress | None = None) -> Scores:
    """Calibrated probability of each text, shape (n, 1), NaN for a blank one; texts as `joined` makes them."""
    return weights.probability(tuned_logits(weights, both, progress))[:, None]


def tuned_logits(weights: ShippedWeights, both: Sequence[str], progress: Progress | None = None) -> NDArray[np.float64]:
    """Logit of each text before calibration, shape (n,), NaN for a blank one; texts as `joined` makes them."""
    count, run = _network(weights)
    return by_length(both, count, run, 1, float("nan"), progress)[:, 0].astype(np.float64)


def tokens(tokenizer: Tokenizer, both: str, most: int | None = None) -> tuple[list[int], int]:
    """Token ids of a text as `joined` makes it, and how many of them are its prompt's.

    The prompt's last PROMPT_TOKENS stand before the text, which loses what closes it without adding to it.

    Args:
        tokenizer: the encoder's.
        both: a text, behind its prompt or not.
        most: tokens of the text itself that are kept; all that the encoder reads by default. Its closing mark always is.
    """
    prompt, _, text = both.rpartition(MARK)
    ids = list(tokenizer.encode(without_final(text)).ids)
    if most is not None and len(ids) > most:
        ids = [*ids[: most - 1], ids[-1]]
    if not prompt:
        return ids, 0
    first, *prompt_ids = tokenizer.encode(prompt).ids
    prompt_ids = prompt_ids[1 - PROMPT_TOKENS :]
    return [first, *prompt_ids, *ids[1:]], 1 + len(prompt_ids)


def updated() -> tuple[str, ...]:
    """Names of the encoder's matrices that carry an update."""
    return tuple(f"encoder.layer.{index}.{part}" for index in range(LOWER, LAYERS) for part in PARTS)


Run = Callable[[list[str]], Scores]


@cache
def _network(weights: ShippedWeights) -> tuple[Callable[[list[str]], list[int]], Run]:
    """Token counts, and logits (n, 1) of texts of one token length: the updates are added to the encoder's matrices once."""
    import torch

    tensors = {name: torch.from_numpy(one.astype(np.float32)) for name, one in weights.tensors.items()}
    encoder_weights = builtin_weights()
    for name in updated():
        encoder_weights[f"{name}.weight"] = encoder_weights[f"{name}.weight"] + SCALE * (
            tensors[f"{name}.up"] @ tensors[f"{name}.down"]
        )
    states, tokenizer = token_states(encoder_weights), builtin_tokenizer()
    out, bias = tensors["out.weight"], float(weights.facts["bias"])

    def run(both: list[str]) -> Scores:
        ids, starts = zip(*(tokens(tokenizer, one) for one in both), strict=True)
        with torch.inference_mode():
            logits = reply_mean(states(torch.tensor(ids)), torch.tensor(starts)) @ out + bias
            return np.asarray(logits[:, None].numpy(), np.float32)

    return lambda both: [len(tokens(tokenizer, one)[0]) for one in both], run


def reply_mean(states: Tensor, starts: Tensor) -> Tensor:
    """Mean vector (n, width) of each text's own tokens, those from `starts` (n,) on, of `states` (n, t, width)."""
    import torch

    own = (torch.arange(states.shape[1]) >= starts[:, None]).to(states.dtype)[..., None]
    return (states * own).sum(dim=1) / own.sum(dim=1)
