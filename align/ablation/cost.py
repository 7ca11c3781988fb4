"""Floating-point operations of a phase, from the tokens that its plan passes through the model.

A weight costs 2 operations a token forwards and 4 backwards; the output layer is only asked at completion tokens. What
attention itself costs is left out: below a percent at these lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from align.data.rows import Rows
    from align.training.plan import Plan

FORWARD, BOTH = 2, 6  # operations per weight and token: forwards; forwards and backwards


@dataclass(frozen=True)
class Weights:
    """What a token passes through.

    Attributes:
        body: weights of the layers between embedding and output layer.
        head: weights of the output layer.
    """

    body: int
    head: int

    def flops(self, tokens: int, scored: int, each: int) -> int:
        """Operations of a pass over `tokens`, `scored` of which are completion tokens, at `each` per weight and token."""
        return each * (self.body * tokens + self.head * scored)


def weights_of(model: PreTrainedModel) -> Weights:
    """Count a model's weights; an output layer that is tied to the embedding counts once, where it computes."""
    head = model.get_output_embeddings().weight
    embedding = model.get_input_embeddings().weight
    outside = {id(head), id(embedding)}
    return Weights(sum(one.numel() for one in model.parameters() if id(one) not in outside), head.numel())


def spent(weights: Weights, rows: Rows, plan: Plan, *, reference: bool) -> list[int]:
    """Operations until the end of each step, the first entry before any step.

    Args:
        weights: of the model.
        rows: what the plan is about.
        plan: of the phase.
        reference: whether the objective compares with one: each row's log-probability is computed once, where the plan first
            uses it, and that of a mismatched completion wherever it is used.
    """
    known: set[int] = set()
    steps = [0]
    for batch in plan.batches:
        prompts = {rows.prompt_keys[row]: len(rows.prompts[row]) for row in batch.rows}
        scored = sum(len(rows.completions[row]) for row in batch.rows)
        tokens = sum(prompts.values()) + scored
        total = weights.flops(tokens, scored, BOTH)
        if reference:
            fresh = [row for row in batch.rows if row not in known]
            known.update(fresh)
            new_prompts = {rows.prompt_keys[row]: len(rows.prompts[row]) for row in fresh}
            new = sum(len(rows.completions[row]) for row in fresh)
            total += weights.flops(sum(new_prompts.values()) + new, new, FORWARD)
        others = [other for other in batch.partners if other != -1]
        if others:  # the policy behind prompts it has just computed, the reference behind the same prompts
            mismatched = sum(len(rows.completions[other]) for other in others)
            total += 2 * weights.flops(mismatched, mismatched, FORWARD)
        steps.append(total)
    return list(accumulate(steps))
