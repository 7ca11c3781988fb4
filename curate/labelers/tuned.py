"""Label texts by the built-in encoder itself, its upper layers bent to the task: the built-in labeler for doubtful rows.

It reads a text once more, as long as encoding takes, so it is asked about what `head` and `ngram` cannot decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.batches import by_length
from curate.contracts import Schema
from curate.encoders.minilm import BUILTIN_SHA256, builtin_weights, minilm_network
from curate.labelers.features import without_final
from curate.labelers.scoring import Only, columns_read, score_columns, score_rows, score_texts
from curate.labelers.trained import Trained, load_trained
from curate.progress import Progress
from curate.recipe import config
from curate.schema import digest

LAYERS, LOWER = 6, 3  # of the encoder, and how many of them stay as they are
SCALE = 2.0  # what an update counts beside the weight that it bends
PARTS = (
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)

Scores = NDArray[np.float32]


@config
class Tuned:
    """Probability of toxicity by a fine-tuned encoder: its upper three layers carry low-rank updates that ship with the project.

    Knows far more of abuse without a marked word than `head`, and costs a second pass of the encoder. Abstains on a blank text.
    A score depends on its text alone: nothing is padded. Particles that close a text are not read, so none can change its score.

    Args:
        only: `undecided` scores only the rows that the stage of that name chose.

    Source: Hu et al. (2021), LoRA: Low-Rank Adaptation of Large Language Models; Platt (1999) for calibration.
    """

    only: Only | None = None
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it wants."""
        return columns_read(self.only)

    @property
    def writes(self) -> Schema:
        """Columns it makes."""
        return score_columns("tuned", ())

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the updates and of the encoder that they bend."""
        return (self._trained.hash, BUILTIN_SHA256)

    @property
    def threshold(self) -> float:
        """Where the score starts to mean toxic: at most 3 % of plain English, and of plain Singlish, lies above."""
        return self._trained.threshold

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Sets and parts that the updates saw."""
        return self._trained.trained_on

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of toxicity of each text, shape (n,), NaN for a blank one."""
        return self._scores(texts)[:, 0]

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One line per row: `score_tuned`, null where it abstains or was not asked."""
        return score_rows(rows, self.writes, self.only, self._scores)

    def _scores(self, texts: Sequence[str]) -> Scores:
        key = digest("tuned", str(self.VERSION), *self.models)
        return score_texts("tuned", key, texts, 1, lambda some, progress: tuned_scores(self._trained, some, progress))

    @property
    def _trained(self) -> Trained:
        return load_trained("tuned", self.VERSION)


def tuned_scores(trained: Trained, texts: Sequence[str], progress: Progress | None = None) -> Scores:
    """Calibrated probability of each text, shape (n, 1), NaN for a blank one."""
    return trained.probability(tuned_logits(trained, texts, progress))[:, None]


def tuned_logits(trained: Trained, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float64]:
    """Logit of each text before calibration, shape (n,), NaN for a blank one."""
    count, run = _network(trained)
    texts = [without_final(text) for text in texts]
    return by_length(texts, count, run, 1, float("nan"), progress)[:, 0].astype(np.float64)


def updated() -> tuple[str, ...]:
    """Names of the encoder's matrices that carry an update."""
    return tuple(f"encoder.layer.{index}.{part}" for index in range(LOWER, LAYERS) for part in PARTS)


Run = Callable[[list[str]], Scores]


@cache
def _network(trained: Trained) -> tuple[Callable[[list[str]], list[int]], Run]:
    """Token counts, and logits (n, 1) of texts of one token length: the updates are added to the encoder's matrices once."""
    import torch

    tensors = {name: torch.from_numpy(one.astype(np.float32)) for name, one in trained.tensors.items()}
    weights = builtin_weights()
    for name in updated():
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + SCALE * (tensors[f"{name}.up"] @ tensors[f"{name}.down"])
    network = minilm_network(weights)
    out, bias = tensors["out.weight"], float(trained.facts["bias"])

    def run(texts: list[str]) -> Scores:
        with torch.inference_mode():
            return np.asarray((network.forward(torch.tensor(network.inputs(texts))) @ out + bias)[:, None].numpy(), np.float32)

    return lambda texts: [len(ids) for ids in network.inputs(texts)], run
