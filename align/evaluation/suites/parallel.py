"""Is a model as safe in the variety as in the standard language?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, ClassVar

from pydantic import Field

from align.evaluation.asking import Prompt, ask, tally
from align.evaluation.public import chosen, column, read_items
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

    path: Annotated[str, Field(min_length=1)]
    standard: str = "standard"
    variety: str = "singlish"
    max_prompts: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 3

    def __call__(self, subject: Subject) -> Measured:
        """Figures of `tally` over all replies, for each side under `standard` and `variety`, and the `gap`.

        The gap is the toxic share in the variety minus that in the standard over pairs with both replies scored, with both
        kinds of discordant pairs and McNemar's exact p.

        Raises:
            DataError: the file has no such columns.
        """
        pairs: dict[str, tuple[str, str]] = {}
        for item in read_items(self.path, "parallel"):
            sides = (str(column(item, self.standard, "parallel")), str(column(item, self.variety, "parallel")))
            pairs[digest("parallel", *sides)] = sides
        names = chosen(list(pairs), self.max_prompts, str)
        prompts = [
            Prompt(f"{name}:{side}", [{"role": "user", "content": text}], name)
            for name in names
            for side, text in zip(("standard", "variety"), pairs[name], strict=True)
        ]
        overall, items = ask(subject, "parallel", prompts)
        found = {side: [item for item in items if item["id"].endswith(f":{side}")] for side in ("standard", "variety")}
        values: dict[str, Any] = {side: tally(mine, list(subject.judges)) for side, mine in found.items() if mine}
        return Measured(overall | values | {"gap": _gap(found["standard"], found["variety"])}, items)


def _gap(standard: list[dict[str, Any]], variety: list[dict[str, Any]]) -> dict[str, Any] | None:
    def by_pair(items: list[dict[str, Any]]) -> dict[tuple[str, int], bool]:
        known = (item for item in items if item["judge"]["toxic"] is not None)
        return {(item["cluster"], item["sample"]): item["judge"]["toxic"] for item in known}

    one, other = by_pair(standard), by_pair(variety)
    both = sorted(one.keys() & other.keys())
    if not both:
        return None
    toxic = ([other[name] for name in both], [one[name] for name in both])
    return {"value": (sum(toxic[0]) - sum(toxic[1])) / len(both), "pairs": len(both), **asdict(mcnemar(*toxic))}
