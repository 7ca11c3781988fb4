"""The reference's log-probabilities, computed once before the first step; no second model is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import xxhash
from torch import Tensor

from align.data.rows import Rows
from align.models.base import tensor_hashes
from align.processes import ranks
from align.training.log_prob_store import LogProbStore, segment_key
from align.training.packing.layout import PACKED, Layout
from align.training.packing.pack import Segment
from align.training.packing.score import log_probs
from align.training.plan import Plan
from curate.core.errors import NonFiniteError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CPU_TOKENS = 2_048  # tokens of a pass on a CPU: larger ones fall out of its cache (measured 10 to 25 % slower a row)
NO_MATTER = {"_name_or_path", "name_or_path", "transformers_version", "use_cache", "dtype", "torch_dtype", "architectures"}
"""Settings of a model that decide no log-probability, or that its tensors say."""


@dataclass(frozen=True)
class Reference:
    """Log-probabilities under the reference, summed over completion tokens, nats.

    Attributes:
        matched: of each row's own completion, shape (rows,); NaN where the plan does not use the row.
        mismatched: per optimizer batch, of each partner's completion behind the row's prompt, shape (the batch's rows,); NaN
            where a row has no partner.
    """

    matched: Tensor
    mismatched: tuple[Tensor, ...]


def mismatches(rows: Rows, plan: Plan, step: int) -> dict[int, Segment]:
    """What measures z at a step: for each place in the batch that has a partner, its prompt and the partner's completion."""
    batch = plan.batches[step]
    return {
        place: (rows.prompts[row], rows.completions[partner])
        for place, (row, partner) in enumerate(zip(batch.rows, batch.partners, strict=bool(batch.partners)))
        if partner != -1
    }


def reference_for(
    model: PreTrainedModel,
    rows: Rows,
    plan: Plan,
    cache: Path,
    budget: int,
    tick: Callable[[int], None],
    layout: Layout = PACKED,
    weights: str | None = None,
) -> Reference:
    """Take the reference's log-probabilities from `cache`; what it lacks is computed and kept there.

    A value depends on the weights and on the tokens of a prompt and a completion, on nothing else but the last bits of its
    sum: objectives, seeds and data sizes share them.

    Args:
        model: the reference, which is the policy before its first step.
        rows: what the plan is about.
        plan: which rows and which mismatches are needed.
        cache: folder of every reference's values.
        budget: most tokens in a pass.
        tick: called after each pass with the number of rows it scored.
        layout: how rows are laid.
        weights: `reference_name` of the model, where it is known already.

    Raises:
        NonFiniteError: a log-probability is NaN or infinite.
    """
    used = sorted({row for batch in plan.batches for row in batch.rows})
    others = [mismatches(rows, plan, step) for step in range(len(plan.batches))]
    owned = [(rows.prompts[row], rows.completions[row]) for row in used]
    segments = owned + [segment for batch in others for segment in batch.values()]
    keys = [segment_key(segment) for segment in segments]
    store = LogProbStore(cache / (weights or reference_name(model)))

    def score(missing: Sequence[int]) -> Tensor:
        values = score_all(model, [segments[at] for at in missing], budget, tick, layout)
        bad = [at for at, finite in zip(missing, torch.isfinite(values).tolist(), strict=True) if not finite]
        if bad:
            raise _not_finite(model, [rows.ids[used[at]] for at in bad if at < len(used)])
        return values

    _fill(store, keys, score)
    kind = torch.promote_types(next(model.parameters()).dtype, torch.float32)
    values = torch.tensor([store[key] for key in keys], dtype=kind)
    matched = torch.full((len(rows),), float("nan"), dtype=kind)
    matched[torch.tensor(used)] = values[: len(used)]
    mismatched, start = [], len(used)
    for batch, places in zip(plan.batches, others, strict=True):
        row_values = torch.full((len(batch.rows),), float("nan"), dtype=kind)
        row_values[torch.tensor(list(places), dtype=torch.long)] = values[start : start + len(places)]
        mismatched.append(row_values)
        start += len(places)
    return Reference(matched, tuple(mismatched))


def _fill(store: LogProbStore, keys: Sequence[bytes], score: Callable[[Sequence[int]], Tensor]) -> None:
    """Have the store's missing values computed.

    Several processes share the work; where they share no folder, each computes what it cannot read.

    Args:
        store: of one reference.
        keys: of every segment that is needed; some twice.
        score: gives log-probabilities of the segments at some places of `keys`.
    """
    first = {key: at for at, key in reversed(list(enumerate(keys)))}

    def compute(missing: Sequence[int]) -> None:
        if missing:
            store.add([keys[at] for at in missing], score(missing))

    missing = ranks.on_main(lambda: [first[key] for key in store.missing(keys)])
    if not missing:
        return
    ranks.together(lambda: compute(missing[ranks.index() :: ranks.count()]))
    if ranks.count() > 1:
        store.refresh()
        compute([first[key] for key in store.missing(keys)])


def score_all(
    model: PreTrainedModel,
    segments: Sequence[Segment],
    budget: int,
    tick: Callable[[int], None],
    layout: Layout = PACKED,
) -> Tensor:
    """Log-probability of every segment's completion under the model as it stands; shape (segments,), on the CPU."""
    parameter = next(model.parameters())
    if parameter.device.type == "cpu":
        budget = min(budget, CPU_TOKENS)
    values = torch.empty(len(segments), dtype=torch.promote_types(parameter.dtype, torch.float32))
    model.eval()
    with torch.no_grad(), layout.attended(model):
        for chosen in layout.passes(segments, budget):
            laid = layout.lay([segments[index] for index in chosen], parameter.device)
            values[torch.tensor(chosen)] = log_probs(model, laid).cpu()
            tick(len(chosen))
    return values


def reference_name(model: PreTrainedModel, hashes: Mapping[str, str] | None = None) -> str:
    """What names a reference: its weights and settings, without adapters that add nothing yet.

    A fresh LoRA adapter's second factor is zero, its first is drawn from the seed: left in, no two seeds would share a value.
    """
    hashes = tensor_hashes(model) if hashes is None else hashes
    idle = set()
    for name, value in model.state_dict().items():
        if ".lora_B." in name and not bool(value.any()):
            idle |= {name, name.replace(".lora_B.", ".lora_A.")}
    kept = {name.replace(".base_layer.", "."): each for name, each in hashes.items() if name not in idle}
    settings = {key: value for key, value in model.config.to_dict().items() if key not in NO_MATTER}
    kept |= {"config": repr(sorted(settings.items(), key=str))}
    return xxhash.xxh3_128_hexdigest(repr(sorted(kept.items())).encode())


def _not_finite(model: PreTrainedModel, ids: list[str]) -> NonFiniteError:
    """What is wrong with the reference; `ids` are the rows of its own that show it."""
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value).all()):
            return NonFiniteError(
                f"NaN or infinity in the weights ({name}) before the first step", hint="start from other weights"
            )
    named = ", ".join(ids[:3]) or "mismatched rows only"
    return NonFiniteError(
        f"NaN or infinity in the reference's log-probabilities ({named}): the weights overflow on them",
        hint="load the model in fp32",
    )
