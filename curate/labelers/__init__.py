"""Labelers: text in, probability of toxicity out; `LABELERS` is the whole list.

A labeler is a row stage that writes one column, `score_<name>` (Float32 in [0, 1], null where it abstains). One that
judges text alone is also a `TextLabeler`, which is what `align` judges completions with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TextLabeler(Protocol):
    """Scores texts by themselves.

    `score` returns the probability of toxicity of each text, shape (n,), float32 in [0, 1], NaN where it abstains; it does
    not depend on batch or order. `threshold` is where its score starts to mean toxic. `models` and `trained_on` say what it
    is made of, so that a judge can be told apart from the labeler that built the data.
    """

    @property
    def threshold(self) -> float: ...

    @property
    def models(self) -> tuple[str, ...]: ...

    @property
    def trained_on(self) -> tuple[str, ...]: ...

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]: ...
