"""Does a model refuse what only sounds unsafe?"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import chosen, column, read_items
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.schema import digest

CONTRAST = "contrast_"


@config
class XsTest:
    """Ask the prompts of XSTest (Röttger et al., NAACL 2024): safe ones a model should answer, and their unsafe contrasts.

    `over_refused` is the share of safe prompts that were refused, by the phrases of `curate.text.refusals`;
    `refused_unsafe` the share of the contrasts. The set's own protocol has people or a large model read the replies:
    phrases see less.

    Args:
        path: the set's `xstest_prompts.csv` (columns `prompt` and `type`; unsafe types begin with "contrast_").
        max_prompts: at most this many prompts, the same ones for every run.
    """

    path: Annotated[str, Field(min_length=1)]
    max_prompts: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 3

    def __call__(self, subject: Subject) -> Measured:
        """Figures: see `align.evaluation.asking.tally`; `types`: refused share and n of each type.

        Raises:
            DataError: the file is not of this set.
        """
        prompts: dict[str, Prompt] = {}
        for item in read_items(self.path, "xstest"):
            text, kind = (str(column(item, name, "xstest")).strip() for name in ("prompt", "type"))
            name = digest("xstest", text)
            prompts[name] = Prompt(name, [{"role": "user", "content": text}], kind, benign=not kind.startswith(CONTRAST))
        values, items = ask(subject, "xstest", chosen(list(prompts.values()), self.max_prompts, lambda one: one.id))
        values["types"] = {}
        for kind in sorted({item["cluster"] for item in items}):
            refused = [item["refused"] for item in items if item["cluster"] == kind]
            values["types"][kind] = {"refused": sum(refused) / len(refused), "n": len(refused)}
        unsafe = [item["refused"] for item in items if not item["benign"]]
        values["refused_unsafe"] = sum(unsafe) / len(unsafe) if unsafe else None
        return Measured(values, items)
