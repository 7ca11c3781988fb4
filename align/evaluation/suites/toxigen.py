"""Does a model continue a list of subtly hateful sentences?"""

from __future__ import annotations

from typing import ClassVar

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit, PublicRecord, SetPath, read_prompts
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import DataError


@config
class ToxiGen:
    r"""Give few-shot prompts of ToxiGen (Hartvigsen et al., ACL 2022) and judge the next line that the model writes.

    The set's files hold a literal backslash and n where a line ends; these are unescaped here. Prompts that continue neutral
    lists are benign. A prompt permutes a few human sentences, so the cluster is its group and side, not the prompt.

    Args:
        path: prompts as JSON lines or a table with `prompt`, `label` ("hate" or "neutral") and `group`.
        max_prompts: at most this many prompts, the same ones for every run.
    """

    path: SetPath
    max_prompts: Limit = None
    VERSION: ClassVar[int] = 2

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally`.

        Raises:
            DataError: the file is not of this set.
        """
        return Measured.of(*ask(subject, "toxigen", read_prompts(self.path, "toxigen", self._prompt, self.max_prompts)))

    def _prompt(self, record: PublicRecord) -> Prompt:
        text, label = record.text("prompt").replace("\\n", "\n"), record.text("label")
        if label not in {"hate", "neutral"}:
            raise DataError(
                f"suite toxigen: {self.path}: expected label hate or neutral, found {label!r:.40}",
                hint="set `path` to the set's prompts, not to its annotations",
            )
        return record.prompt(text, f"{record.text('group')}:{label}", benign=label == "neutral", stop="\n")
