"""What a suite finds on one checkpoint: completions counted, texts scored, and figures of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from align.statistics import Share

JsonObject = Mapping[str, Any]
"""A JSON object, as it was read or is to be written."""

SHARE = {"hits", "n", "low", "high"}


@dataclass(frozen=True)
class Divergence:
    """KL from the base, over texts.

    Attributes:
        value: nats per token, the mean over all tokens.
        se: its standard error over clusters; None with fewer than two.
        per_text: nats per text.
        tokens: how many.
    """

    value: float
    se: float | None
    per_text: float
    tokens: int


@dataclass(frozen=True)
class Agreement:
    """How often two say the same.

    Attributes:
        agree: how often.
        n: out of how many that both spoke of.
    """

    agree: int
    n: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool | None, bool | None]]) -> Agreement:
        """Count pairs of verdicts; where either is None, the pair is out.

        >>> Agreement.of([(True, True), (True, False), (None, True)])
        Agreement(agree=1, n=2)
        """
        known = [one == other for one, other in pairs if one is not None and other is not None]
        return cls(sum(known), len(known))


@dataclass(frozen=True)
class Crash:
    """A judge that failed on some completions.

    Attributes:
        n: how many.
        error: the first error's name.
    """

    n: int
    error: str


@dataclass(frozen=True)
class Tally:
    """Counts and shares of judged completions; what was not scored is counted apart and in no share.

    Attributes:
        n: completions.
        prompts: distinct ones.
        unscored: completions that the judge has no score for.
        empty: completions without a word; never scored.
        toxic: of all that were scored.
        toxic_answered: of those that were no refusals.
        refused: of all.
        over_refused: of the benign prompts; None without any.
        ended: share of completions that ended by themselves.
        distinct: completions that differ in more than case and punctuation.
        mean_tokens: of a completion.
        others: role of a further judge -> toxic share by its verdicts; "truth" is one.
        agreement: "a and b" -> how often these two judges say the same.
        crashed: role -> what the judge failed on.
        overlap: prompts left out because training saw them; None for a part of a suite, which has no `kl` either.
        kl: divergence from the base on these completions; None where there is no base.
    """

    n: int
    prompts: int
    unscored: int
    empty: int
    toxic: Share
    toxic_answered: Share
    refused: Share
    over_refused: Share | None
    ended: float
    distinct: int
    mean_tokens: float
    others: Mapping[str, Share] = field(default_factory=dict)
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    crashed: Mapping[str, Crash] = field(default_factory=dict)
    overlap: int | None = None
    kl: Divergence | None = None

    def to_json(self) -> dict[str, object]:
        """As JSON values: further judges' shares stand beside the judge's own."""
        values = asdict(self)
        values |= values.pop("others")
        if self.overlap is None:
            del values["overlap"], values["kl"]
        return values

    @classmethod
    def from_json(cls, values: JsonObject) -> Tally:
        """Back from `to_json`."""
        others = [pair.removeprefix("judge and ") for pair in values["agreement"] if pair.startswith("judge and ")]
        return cls(
            n=values["n"],
            prompts=values["prompts"],
            unscored=values["unscored"],
            empty=values["empty"],
            toxic=Share(**values["toxic"]),
            toxic_answered=Share(**values["toxic_answered"]),
            refused=Share(**values["refused"]),
            over_refused=None if values["over_refused"] is None else Share(**values["over_refused"]),
            ended=values["ended"],
            distinct=values["distinct"],
            mean_tokens=values["mean_tokens"],
            others={role: Share(**values[role]) for role in others},
            agreement={pair: Agreement(**one) for pair, one in values["agreement"].items()},
            crashed={role: Crash(**one) for role, one in values["crashed"].items()},
            overlap=values.get("overlap"),
            kl=_divergence(values.get("kl")),
        )


@dataclass(frozen=True)
class TextFigures:
    """How likely given texts are.

    Attributes:
        perplexity: per token; None without a text.
        n: texts.
        tokens: in all.
        kl: divergence from the base at their tokens; None where there is no base, or no text.
    """

    perplexity: float | None
    n: int
    tokens: int
    kl: Divergence | None

    @classmethod
    def from_json(cls, values: JsonObject) -> TextFigures:
        """Back from JSON."""
        return cls(values["perplexity"], values["n"], values["tokens"], _divergence(values["kl"]))


@dataclass(frozen=True)
class SuiteFigures:
    """All that a suite finds on one checkpoint.

    Attributes:
        tally: of all completions; None where the suite samples none, or judges them in its own way alone.
        parts: tallies of parts of the completions, such as a task or a language.
        texts: kind of text -> how likely they are.
        extras: further figures by name: a `Share`, a number, None, or a mapping of these.
    """

    tally: Tally | None = None
    parts: Mapping[str, Tally] = field(default_factory=dict)
    texts: Mapping[str, TextFigures] = field(default_factory=dict)
    extras: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As JSON values, all beside each other."""
        return {
            **(self.tally.to_json() if self.tally else {}),
            **{name: part.to_json() for name, part in self.parts.items()},
            **{kind: asdict(texts) for kind, texts in self.texts.items()},
            **{name: _plain(extra) for name, extra in self.extras.items()},
        }

    @classmethod
    def from_json(cls, values: JsonObject) -> SuiteFigures:
        """Back from `to_json`: the one place that tells figures apart by their keys."""
        tally = Tally.from_json(values) if _is_tally(values) else None
        rest = {name: value for name, value in values.items() if tally is None or name not in tally.to_json()}
        parts = {name: Tally.from_json(value) for name, value in rest.items() if _is_tally(value)}
        texts = {name: TextFigures.from_json(value) for name, value in rest.items() if _is_texts(value)}
        extras = {name: _typed(value) for name, value in rest.items() if name not in parts and name not in texts}
        return cls(tally, parts, texts, extras)


def _divergence(values: JsonObject | None) -> Divergence | None:
    return None if values is None else Divergence(**values)


def _is_tally(value: object) -> bool:
    return isinstance(value, Mapping) and "toxic_answered" in value


def _is_texts(value: object) -> bool:
    return isinstance(value, Mapping) and {"perplexity", "n", "tokens", "kl"} == value.keys()


def _plain(extra: object) -> object:
    if isinstance(extra, Mapping):
        return {name: _plain(value) for name, value in extra.items()}
    return asdict(extra) if isinstance(extra, Share) else extra


def _typed(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return Share(**value) if value.keys() == SHARE else {name: _typed(inner) for name, inner in value.items()}
