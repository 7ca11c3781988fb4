"""The `eval` section of a recipe: typed, from plain values and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SkipValidation

from align.evaluation.suites import SUITES
from align.models.generate import Sampling
from curate.core.config import choose, chosen_name, config, plain
from curate.core.errors import RecipeError
from curate.labelers import LABELERS

EXAMPLES = {"suite": "heldout, retention", "phase": "kto_s: {learning_rate: 1e-4}"}
"""What a list of a recipe may hold, by kind."""


@config
class EvaluationOptions:
    """How every checkpoint of the run is judged.

    Args:
        suites: what is measured, each a suite's name or `name: {options}`.
        judge: the labeler that decides which sampled completions are toxic; not the one that built the data.
        truth: a second labeler to report beside the judge, where the truth about the data is known by construction.
        truth_for: the folder of raw files that the truth is about; on data that other files went into it is left out.
        others: further labelers, each reported with its share and its agreement with the judge.
        allow_same_judge: judge with the labeler that built the data after all; every table then says so.
        sampling: how completions are drawn.
    """

    suites: SkipValidation[tuple[Any, ...]]
    judge: SkipValidation[Any]
    truth: SkipValidation[Any] = None
    truth_for: str | None = None
    others: SkipValidation[tuple[Any, ...]] = ()
    allow_same_judge: bool = False
    sampling: Sampling = Sampling()


def read_options(section: Mapping[str, object], where: str) -> dict[str, object]:
    """The section with what it names made: suites, and the labelers that judge.

    Args:
        section: plain values by key; `build` checks the others.
        where: what to call the section in an error.

    Raises:
        RecipeError: an empty list of suites, an unknown name, an unknown option, or a labeler that cannot judge a text.
    """
    options = dict(section)
    if "suites" in options:
        options["suites"] = suites_of(options["suites"], f"{where}: suites")
    for role in ("judge", "truth"):
        if options.get(role) is not None:
            options[role] = text_labeler(options[role], f"{where}: {role}")
    if "others" in options:
        others = options["others"] if isinstance(options["others"], list) else [options["others"]]
        options["others"] = tuple(text_labeler(entry, f"{where}: others[{at}]") for at, entry in enumerate(others))
    return options


def plain_options(options: EvaluationOptions) -> dict[str, object]:
    """The section as plain values, every default written out; `read_options` of it gives the same back."""
    tree: dict[str, object] = plain(options)
    return tree | {
        "suites": [entry_of(SUITES, suite) for suite in options.suites],
        "judge": entry_of(LABELERS, options.judge),
        "truth": None if options.truth is None else entry_of(LABELERS, options.truth),
        "others": [entry_of(LABELERS, other) for other in options.others],
    }


def entry_of(table: Mapping[str, type], instance: object) -> dict[str, object]:
    """A part as a recipe writes it: `{name: {option: value}}`."""
    return {chosen_name(table, instance): plain(instance)}


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
        raise RecipeError(
            f"{where}: expected a list with at least one {kind}, found {type(value).__name__} {value!r:.40}",
            hint=f"write [{EXAMPLES[kind]}]",
        )
    return value


def text_labeler(entry: object, where: str) -> object:
    """A labeler that judges texts by themselves; `column`, which reads what came with the data, cannot."""
    labeler = choose(LABELERS, entry, where, "labeler")
    if not hasattr(type(labeler), "score"):
        able = sorted(name for name, cls in LABELERS.items() if hasattr(cls, "score"))
        raise RecipeError(
            f"{where}: {chosen_name(LABELERS, labeler)} cannot score a text by itself", hint=f"one of {', '.join(able)} can"
        )
    return labeler
