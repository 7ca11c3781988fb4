"""A phase: one objective and how it is optimised."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SkipValidation

from align.objectives import OBJECTIVES, Objective
from align.objectives.shared import Per
from curate.core.config import SOURCE_HASH, build, choose, class_of, config
from curate.core.errors import RecipeError, nearest

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

ROWS = ("desirable", "unpaired", "paired")
NEEDS = {*ROWS, "reference", "safety", "safe_side"}
"""What an objective may ask for: see `align.objectives`."""


@config
class Micro:
    """Measure z over runs of rows within an optimizer batch, as a trainer that accumulates gradients does.

    Args:
        micro: rows in a run. Fewer rows clamp smaller means at 0, so that z > 0 more often.
    """

    micro: Count


@config
class Phase:
    """How one objective is optimised; made by `parse` from a recipe's `phases` entry.

    Args:
        name: the objective's word in the recipe: "sft", "kto_s".
        objective: the objective with its own options.
        learning_rate: peak of AdamW. No default: each objective deserves its own search. Starting points: 5e-6 (KTO paper,
            8B), 5e-7 with LoRA (huggingface/trl#2268), 1e-4 for KTO on a 0.9 M-parameter model (our probes).
        epochs: how often every usable row is seen; fractions end inside an epoch. 2: huggingface/trl#2268.
        steps: optimizer steps; when given, in place of `epochs`.
        batch_size: most rows in an optimizer batch, over all processes; the rows of an epoch are dealt evenly, so that no batch
            is a small left-over. A pair is two rows. 32: KTO paper.
        token_budget: most tokens in one forward pass of one process; an optimizer batch takes as many passes as it needs, and
            their number changes no result. A single longer row is a pass of its own. 16,384: our choice.
        together: the two sides of a pair share an optimizer batch, so that their prompt is computed once, for objectives that
            learn from single rows too; those that need pairs always have them so.
        max_length: rows with more tokens than this, prompt and completion together, are left out and counted (cutting them
            would train on replies that never end). 1,000: huggingface/trl#2268.
        kl_scope: over which rows an objective with a z measures it. batch: the whole optimizer batch over all processes, as the
            KTO authors' code. `{micro: n}`: each run of n of its rows by itself, as TRL with micro-batches of n.
        scheduler: course of the learning rate after warm-up. linear: transformers' default.
        warmup_share: share of the steps during which the learning rate rises from 0. 0.1: our choice.
        max_grad_norm: gradients are scaled down to this 2-norm. 1.0: transformers' default.
        save_steps: optimizer steps between checkpoints; an interrupt always saves one. 200: our choice.
    """

    name: str
    objective: SkipValidation[Any]
    learning_rate: Positive
    epochs: Positive = 2.0
    steps: Count | None = None
    batch_size: Annotated[int, Field(ge=2)] = 32
    token_budget: Count = 16_384
    together: bool = False
    max_length: Annotated[int, Field(ge=2)] = 1_000
    kl_scope: Literal["batch"] | Micro = "batch"
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: Share = 0.1
    max_grad_norm: Positive = 1.0
    save_steps: Count = 200


def parse(entry: object, where: str) -> Phase:
    """Make a phase from an entry of a recipe's `phases`: `{kto_s: {beta: 0.1, learning_rate: 1e-4}}`.

    The objective's options and the phase's stand side by side.

    Args:
        entry: what the recipe holds there.
        where: what to call this place in an error, e.g. "recipes/kto_s.yaml: phases[1]".

    Raises:
        RecipeError: unknown objective, unknown option (with its nearest neighbour), or a value of the wrong type or range.
    """
    name: Any = entry
    options: Any = None
    if isinstance(entry, Mapping) and len(entry) == 1:
        name, options = next(iter(entry.items()))
    if not isinstance(name, str) or not isinstance(options, Mapping | None):
        choose(OBJECTIVES, entry, where, "objective")  # says what is wrong with the entry itself
    own = {field.name for field in dataclasses.fields(class_of(OBJECTIVES, name, where, "objective"))}
    shared = {field.name for field in dataclasses.fields(Phase)} - {"name", "objective"}
    given = {key: value for key, value in (options or {}).items() if key != SOURCE_HASH}
    for key in given:
        if key not in own | shared:
            raise RecipeError(f"{where}: {name} has no option {str(key)!r}", hint=nearest(str(key), own | shared))
    objective: Objective = choose(OBJECTIVES, {name: {key: given[key] for key in given if key in own}}, where, "objective")
    check_words(objective, f"{where}: {name}")
    if "learning_rate" not in given:
        cure = "write learning_rate: 1e-4 for a tiny model, 5e-7 for LoRA on 8B; each objective deserves its own search"
        raise RecipeError(f"{where}: {name}: learning_rate: field required", hint=cure)
    rest = {key: value for key, value in given.items() if key in shared}
    return build(Phase, {"name": name, "objective": objective, **rest}, f"{where}: {name}")


def check_words(objective: Objective, where: str) -> None:
    """Check that an objective declares what the trainer knows; a user's own may not.

    Args:
        objective: `needs`, `reads` and `per` are looked at.
        where: what to call it in an error.

    Raises:
        RecipeError: an unknown word, or a tensor that such rows do not have.
    """
    for word in objective.needs:
        if word not in NEEDS:
            raise RecipeError(f"{where}: needs has {word!r}", hint=nearest(word, NEEDS))
    if (count := len(objective.needs & {*ROWS})) != 1:
        raise RecipeError(f"{where}: needs names {count} kinds of rows", hint=f"name one of {', '.join(ROWS)}")
    if objective.per not in get_args(Per):
        raise RecipeError(f"{where}: per is {objective.per!r}", hint=f"one of {', '.join(get_args(Per))}")
    of_rows = {"log_prob", "desirable", *(("log_ratio",) if "reference" in objective.needs else ())}
    of_sides = {*of_rows, "tokens", *(("unsafe",) if "safety" in objective.needs else ())} if objective.per == "pair" else set()
    known = {*of_rows, *(f"{side}_{one}" for side in ("chosen", "rejected") for one in of_sides)}
    known |= {"kl"} if "reference" in objective.needs else set()
    for word in objective.reads:
        if word not in known:
            cure = nearest(word, known)
            if word.endswith("log_ratio") or word == "kl":
                cure = "add 'reference' to needs" if "reference" not in objective.needs else 'write per = "pair"'
            raise RecipeError(f"{where}: reads {word!r}, which its needs and per do not give", hint=cure)
