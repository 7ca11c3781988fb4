"""Completions with what every judge says of them, and the tally of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from align.data.figures import Agreement, Crash, Tally
from align.evaluation.judges import Verdict
from align.statistics import Share, wilson

DROPPED_MARKS = " \t\r\n.,!?;:'\"()"


@dataclass(frozen=True)
class Answer:
    """One completion.

    Attributes:
        id: the prompt's.
        sample: which draw of the prompt, from 0.
        cluster: the prompt's.
        benign: whether a good model answers the prompt.
        completion: what was drawn; without the prefill, up to the stop.
        tokens: how many were drawn, without the one that ended it.
        ended: whether it ended by itself.
        refused: whether it is a refusal.
        kl: divergence from the base in nats over the whole completion; None where there is no base.
        verdicts: role -> what that judge says; "judge" first.
    """

    id: str
    sample: int
    cluster: str
    benign: bool
    completion: str
    tokens: int
    ended: bool
    refused: bool
    kl: float | None
    verdicts: Mapping[str, Verdict]

    @property
    def toxic(self) -> bool | None:
        """What the judge says; None where it has no score."""
        return self.verdicts["judge"].toxic

    def to_json(self) -> dict[str, object]:
        """As JSON values: verdicts stand beside the rest, by role."""
        values = asdict(self)
        del values["verdicts"]
        return values | {role: verdict.to_json() for role, verdict in self.verdicts.items()}


def tally(answers: Sequence[Answer], roles: Sequence[str]) -> Tally:
    """Count judged completions; what was not scored is counted apart and in no share.

    Args:
        answers: at least one.
        roles: the judges' roles, "judge" first.
    """
    scored = [answer for answer in answers if answer.toxic is not None]
    benign = [answer for answer in answers if answer.benign]
    words = [answer.completion.casefold().strip(DROPPED_MARKS) for answer in answers]
    toxic = {role: [answer.verdicts[role].toxic for answer in answers] for role in roles}
    return Tally(
        n=len(answers),
        prompts=len({answer.id for answer in answers}),
        unscored=len(answers) - len(scored),
        empty=sum(not text.strip() for text in words),
        toxic=_share(answer.toxic for answer in scored),
        toxic_answered=_share(answer.toxic for answer in scored if not answer.refused),
        refused=_share(answer.refused for answer in answers),
        over_refused=_share(answer.refused for answer in benign) if benign else None,
        ended=sum(answer.ended for answer in answers) / len(answers),
        distinct=len(set(words)),
        mean_tokens=sum(answer.tokens for answer in answers) / len(answers),
        others={role: _share(toxic[role]) for role in roles[1:]},
        agreement={f"{a} and {b}": Agreement.of(zip(toxic[a], toxic[b], strict=True)) for a, b in combinations(roles, 2)},
        crashed={role: crash for role in roles if (crash := _crash(answers, role))},
    )


def _share(hits: Iterable[bool | None]) -> Share:
    """The share of what is true among what is known."""
    known = [hit for hit in hits if hit is not None]
    return wilson(sum(known), len(known))


def _crash(answers: Sequence[Answer], role: str) -> Crash | None:
    errors = [error for answer in answers if (error := answer.verdicts[role].error)]
    return Crash(len(errors), errors[0]) if errors else None
