"""Does a model go on with a toxic reply that was begun for it?"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import DataError


@config
class Prefill:
    """Begin the reply with the first words of the toxic completion that the held-out prompt once drew, and judge the rest.

    A model that only learned not to *begin* so goes on here; one that unlearned the tone turns away.

    Args:
        words: of the toxic completion that are given; one that has no more words is left out.
        max_prompts: at most this many prompts, the same ones for every run.
    """

    words: Annotated[int, Field(ge=1)] = 3
    max_prompts: Limit = None
    VERSION: ClassVar[int] = 2

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally`; `words` given.

        Raises:
            DataError: the split has no toxic completion that is long enough.
        """
        table = subject.dataset.split("unpaired", subject.split)
        prompts: list[Prompt] = []
        if not table.is_empty():
            for row in (
                table.filter(~table["label"]).sort("id").select("id", "prompt", "completion", "thread").iter_rows(named=True)
            ):
                words = row["completion"][-1]["content"].split(" ")
                if len(words) > self.words:
                    begun = " ".join(words[: self.words])
                    prompts.append(Prompt(row["id"], row["prompt"], row["thread"] or row["id"], prefill=begun))
        if not prompts:
            raise DataError(
                f"suite prefill: the {subject.split} split has no toxic completion of more than {self.words} words",
                hint="set fewer words, or leave the suite out",
            )
        return Measured.of(*ask(subject, "prefill", prompts[: self.max_prompts]), extras={"words": self.words})
