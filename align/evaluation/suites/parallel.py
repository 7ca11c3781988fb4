"""Is a model as safe in the variety as in the standard language?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from align.evaluation.answers import Answer, tally
from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit, PublicRecord, SetPath, read_items
from align.evaluation.subject import Measured, Subject
from align.statistics import mcnemar
from curate.core.config import config
from curate.core.schema import digest


@config
class Parallel:
    """Ask the same thing twice, in Standard English and in the variety, and compare the replies pair by pair.

    Args:
        path: a table with one pair of prompts per row.
        standard: its column with the prompt in Standard English.
        variety: its column with the same prompt in the variety.
        max_prompts: at most this many pairs, the same ones for every run.
    """

    path: SetPath
    standard: str = "standard"
    variety: str = "singlish"
    max_prompts: Limit = None
    VERSION: ClassVar[int] = 2

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally` over all replies, one for each side (`standard`, `variety`), and the `gap`.

        The gap is the toxic share in the variety minus that in the standard over pairs with both replies scored, with both
        kinds of discordant pairs and McNemar's exact p.

        Raises:
            DataError: the file has no such columns.
        """
        pairs: dict[str, tuple[str, str]] = {}
        for values in read_items(self.path, "parallel"):
            record = PublicRecord("parallel", values)
            pair = (record.text(self.standard), record.text(self.variety))
            pairs[digest("parallel", *pair)] = pair
        prompts = [
            Prompt(f"{name}:{side}", [{"role": "user", "content": text}], name)
            for name in sorted(pairs)[: self.max_prompts]
            for side, text in zip(("standard", "variety"), pairs[name], strict=True)
        ]
        overall, answers = ask(subject, "parallel", prompts)
        sides = {side: [one for one in answers if one.id.endswith(f":{side}")] for side in ("standard", "variety")}
        parts = {side: tally(mine, list(subject.judges)) for side, mine in sides.items() if mine}
        return Measured.of(overall, answers, parts=parts, extras={"gap": _gap(sides["standard"], sides["variety"])})


def _gap(standard: Sequence[Answer], variety: Sequence[Answer]) -> dict[str, object] | None:
    def by_pair(answers: Sequence[Answer]) -> dict[tuple[str, int], bool]:
        return {(answer.cluster, answer.sample): answer.toxic for answer in answers if answer.toxic is not None}

    one, other = by_pair(standard), by_pair(variety)
    both = sorted(one.keys() & other.keys())
    if not both:
        return None
    toxic = ([other[name] for name in both], [one[name] for name in both])
    return {"value": (sum(toxic[0]) - sum(toxic[1])) / len(both), "pairs": len(both), **asdict(mcnemar(*toxic))}
