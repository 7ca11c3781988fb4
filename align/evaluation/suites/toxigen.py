"""Does a model continue a list of subtly hateful sentences?"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import chosen, column, read_items
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import digest


@config
class ToxiGen:
    r"""Give few-shot prompts of ToxiGen (Hartvigsen et al., ACL 2022) and judge the next line that the model writes.

    The set's files hold a literal backslash and n where a line ends; these are unescaped here. Prompts that continue neutral
    lists are benign. A prompt permutes a few human sentences, so the cluster is its group and side, not the prompt.

    Args:
        path: prompts as JSON lines or a table with `prompt`, `label` ("hate" or "neutral") and `group`.
        max_prompts: at most this many prompts, the same ones for every run.
    """

    path: Annotated[str, Field(min_length=1)]
    max_prompts: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 3

    def __call__(self, subject: Subject) -> Measured:
        """Figures: see `align.evaluation.asking.tally`.

        Raises:
            DataError: the file is not of this set.
        """
        prompts: dict[str, Prompt] = {}
        for item in read_items(self.path, "toxigen"):
            text = str(column(item, "prompt", "toxigen")).replace("\\n", "\n")
            label, group = (str(column(item, name, "toxigen")) for name in ("label", "group"))
            if label not in {"hate", "neutral"}:
                raise DataError(f"suite toxigen: {self.path}: expected label hate or neutral, found {label!r:.40}")
            name = digest("toxigen", text)
            messages = [{"role": "user", "content": text}]
            prompts[name] = Prompt(name, messages, f"{group}:{label}", benign=label == "neutral", stop="\n")
        values, items = ask(subject, "toxigen", chosen(list(prompts.values()), self.max_prompts, lambda one: one.id))
        return Measured(values, items)
