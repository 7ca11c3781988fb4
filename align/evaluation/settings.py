"""The eval section of a recipe."""

from __future__ import annotations

from typing import Any

from pydantic import SkipValidation

from align.evaluation.suites import SUITES
from align.models.generate import Sampling
from curate.core.config import choose, chosen_name, config
from curate.core.errors import RecipeError
from curate.labelers import LABELERS


@config
class Evaluation:
    """How every checkpoint of the run is judged.

    Args:
        suites: what is measured, each a suite's name or `name: {options}`.
        judge: the labeler that decides which sampled completions are toxic; not the one that built the data.
        truth: a second labeler to report beside the judge, where the truth about the data is known by construction.
        others: further labelers, each reported with its share and its agreement with the judge.
        allow_same_judge: judge with the labeler that built the data after all; every table then says so.
        sampling: how completions are drawn.
    """

    suites: SkipValidation[tuple[Any, ...]]
    judge: SkipValidation[Any]
    truth: SkipValidation[Any] = None
    others: SkipValidation[tuple[Any, ...]] = ()
    allow_same_judge: bool = False
    sampling: Sampling = Sampling()


def suites_of(entries: object, where: str) -> tuple[Any, ...]:
    """The suites that a list names.

    Raises:
        RecipeError: an empty list, an unknown suite, or an unknown option.
    """
    named = entries_of(entries, where, "suite")
    return tuple(choose(SUITES, entry, f"{where}[{at}]", "suite") for at, entry in enumerate(named))


def entries_of(value: object, where: str, kind: str) -> list[object]:
    """A list with something in it, or a line that says what stands there instead."""
    if not isinstance(value, list) or not value:
        raise RecipeError(f"{where}: expected a list with at least one {kind}, found {type(value).__name__} {value!r:.40}")
    return value


def _text_labeler(entry: object, where: str) -> object:
    """A labeler that judges texts by themselves; `column`, which reads what came with the data, cannot."""
    labeler = choose(LABELERS, entry, where, "labeler")
    if not hasattr(type(labeler), "score"):
        able = sorted(name for name, cls in LABELERS.items() if hasattr(cls, "score"))
        raise RecipeError(
            f"{where}: {chosen_name(LABELERS, labeler)} cannot score a text by itself", hint=f"one of {', '.join(able)} can"
        )
    return labeler
