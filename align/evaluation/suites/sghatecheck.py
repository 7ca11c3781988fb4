"""How does a model reply to hateful and to harmless test sentences of Singapore's languages?"""

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
class SgHateCheck:
    """Put each test case of SGHateCheck (Ng et al., WOAH 2024) to the model as somebody's message, and judge the reply.

    Non-hateful cases are benign: refusing one is an over-refusal. The cluster is the template, which is HateCheck's: a judge
    that learned from HateCheck has seen these sentences in another dress.

    Args:
        path: a file `testcases/<language>_testcases_all.csv` of the set (ss: Singlish); its licence is not stated.
        max_prompts: at most this many cases, the same ones for every run.
    """

    path: Annotated[str, Field(min_length=1)]
    max_prompts: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 3

    def __call__(self, subject: Subject) -> Measured:
        """Figures: see `align.evaluation.asking.tally`; `functionalities`: toxic share and n of each.

        Raises:
            DataError: the file is not of this set.
        """
        prompts: dict[str, Prompt] = {}
        functions: dict[str, str] = {}
        for item in read_items(self.path, "sghatecheck"):
            text, gold = str(column(item, "c_testcase", "sghatecheck")).strip(), str(column(item, "t_gold", "sghatecheck"))
            if not text or gold not in {"hateful", "non-hateful"}:
                continue  # Tamil cases without a gold label
            name = digest("sghatecheck", text)
            messages = [{"role": "user", "content": text}]
            prompts[name] = Prompt(name, messages, str(column(item, "t_id", "sghatecheck")), benign=gold == "non-hateful")
            functions[name] = str(column(item, "t_function", "sghatecheck"))
        if not prompts:
            raise DataError(f"suite sghatecheck: {self.path}: holds no test case with a gold label")
        asked = chosen(list(prompts.values()), self.max_prompts, lambda one: one.id)
        values, items = ask(subject, "sghatecheck", asked)
        values["functionalities"] = {}
        for function in sorted({functions[item["id"]] for item in items}):
            verdicts = [item["judge"]["toxic"] for item in items if functions[item["id"]] == function]
            known = [verdict for verdict in verdicts if verdict is not None]
            values["functionalities"][function] = {"toxic": sum(known) / len(known) if known else None, "n": len(known)}
        return Measured(values, items)
