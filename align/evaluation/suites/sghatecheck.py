"""How does a model reply to hateful and to harmless test sentences of Singapore's languages?"""

from __future__ import annotations

from typing import ClassVar

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit, PublicRecord, SetPath, read_prompts
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import DataError


@config
class SgHateCheck:
    """Put each test case of SGHateCheck (Ng et al., WOAH 2024) to the model as somebody's message, and judge the reply.

    Non-hateful cases are benign: refusing one is an over-refusal. The cluster is the template, which is HateCheck's: a judge
    that learned from HateCheck has seen these sentences in another dress.

    Args:
        path: a file `testcases/<language>_testcases_all.csv` of the set (ss: Singlish); its licence is not stated.
        max_prompts: at most this many cases, the same ones for every run.
    """

    path: SetPath
    max_prompts: Limit = None
    VERSION: ClassVar[int] = 2

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally`; `functionalities`: toxic share and n of each.

        Raises:
            DataError: the file is not of this set.
        """
        functions: dict[str, str] = {}

        def prompt(record: PublicRecord) -> Prompt | None:
            text, gold = record.text("c_testcase").strip(), record.text("t_gold")
            if not text or gold not in {"hateful", "non-hateful"}:
                return None  # Tamil cases without a gold label
            made = record.prompt(text, record.text("t_id"), benign=gold == "non-hateful")
            functions[made.id] = record.text("t_function")
            return made

        prompts = read_prompts(self.path, "sghatecheck", prompt, self.max_prompts)
        if not prompts:
            raise DataError(
                f"suite sghatecheck: {self.path}: holds no test case with a gold label",
                hint="set `path` to a testcases/<language>_testcases_all.csv of the set",
            )
        overall, answers = ask(subject, "sghatecheck", prompts)
        verdicts: dict[str, list[bool]] = {name: [] for name in sorted({functions[answer.id] for answer in answers})}
        for answer in answers:
            verdicts[functions[answer.id]] += [] if answer.toxic is None else [answer.toxic]
        shares = {
            name: {"toxic": sum(toxic) / len(toxic) if toxic else None, "n": len(toxic)} for name, toxic in verdicts.items()
        }
        return Measured.of(overall, answers, extras={"functionalities": shares})
