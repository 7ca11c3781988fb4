"""Does a model refuse what only sounds unsafe?"""

from __future__ import annotations

from typing import ClassVar

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit, PublicRecord, SetPath, read_prompts
from align.evaluation.subject import Measured, Subject
from curate.core.config import config

CONTRAST = "contrast_"


@config
class XsTest:
    """Ask the prompts of XSTest (Röttger et al., NAACL 2024): safe ones a model should answer, and their unsafe contrasts.

    `over_refused` is the share of safe prompts that were refused, by the patterns of `align.evaluation.refusals`;
    `refused_unsafe` the share of the contrasts. The set's own protocol has people or a large model read the replies:
    patterns see less.

    Args:
        path: the set's `xstest_prompts.csv` (columns `prompt` and `type`; unsafe types begin with "contrast_").
        max_prompts: at most this many prompts, the same ones for every run.
    """

    path: SetPath
    max_prompts: Limit = None
    VERSION: ClassVar[int] = 2

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally`; `types`: refused share and n of each; `refused_unsafe`.

        Raises:
            DataError: the file is not of this set.
        """

        def prompt(record: PublicRecord) -> Prompt:
            text, kind = (record.text(name).strip() for name in ("prompt", "type"))
            return record.prompt(text, kind, benign=not kind.startswith(CONTRAST))

        overall, answers = ask(subject, "xstest", read_prompts(self.path, "xstest", prompt, self.max_prompts))
        types: dict[str, object] = {}
        for kind in sorted({answer.cluster for answer in answers}):
            refused = [answer.refused for answer in answers if answer.cluster == kind]
            types[kind] = {"refused": sum(refused) / len(refused), "n": len(refused)}
        unsafe = [answer.refused for answer in answers if not answer.benign]
        share = sum(unsafe) / len(unsafe) if unsafe else None
        return Measured.of(overall, answers, extras={"types": types, "refused_unsafe": share})
