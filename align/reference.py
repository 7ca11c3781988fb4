"""The reference's log-probabilities, computed once before the first step; no second model is held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from align.attention import packed
from align.pack import Segment, lay
from align.plan import Plan
from align.rows import Rows
from align.score import log_probs
from curate.errors import NonFiniteError
from curate.store import sha256, write_bytes, write_json

CPU_TOKENS = 2_048  # tokens of a pass on a CPU: larger ones fall out of its cache (measured 10 to 25 % slower a row)


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
    model: Any,  # noqa: ANN401 - a transformers model
    rows: Rows,
    plan: Plan,
    key: str,
    folder: Path,
    budget: int,
    tick: Callable[[int], None],
) -> Reference:
    """Read the reference's log-probabilities from `folder`, or compute and keep them there.

    Args:
        model: the reference, which is the policy before its first step.
        rows: what the plan is about.
        plan: which rows and which mismatches are needed.
        key: what they depend on: weights, rows and plan.
        folder: where `reference.safetensors` and its receipt lie.
        budget: most tokens in a pass.
        tick: called after each pass with the number of rows it scored.

    Raises:
        NonFiniteError: a log-probability is NaN or infinite.
    """
    used = sorted({row for batch in plan.batches for row in batch.rows})
    others = [mismatches(rows, plan, step) for step in range(len(plan.batches))]
    kept = _read(folder, key)
    if kept is None:
        segments = [(rows.prompts[row], rows.completions[row]) for row in used]
        values = score_all(model, segments + [segment for batch in others for segment in batch.values()], budget, tick)
        bad = (~torch.isfinite(values)).nonzero()[:, 0].tolist()
        if bad:
            raise NonFiniteError(_cause(model, [rows.ids[used[index]] for index in bad if index < len(used)]))
        _write(folder, key, values)
    else:
        values = kept
    matched = torch.full((len(rows),), float("nan"), dtype=values.dtype)
    matched[torch.tensor(used)] = values[: len(used)]
    mismatched, start = [], len(used)
    for batch, places in zip(plan.batches, others, strict=True):
        row_values = torch.full((len(batch.rows),), float("nan"), dtype=values.dtype)
        row_values[torch.tensor(list(places), dtype=torch.long)] = values[start : start + len(places)]
        mismatched.append(row_values)
        start += len(places)
    return Reference(matched, tuple(mismatched))


def score_all(model: Any, segments: Sequence[Segment], budget: int, tick: Callable[[int], None]) -> Tensor:  # noqa: ANN401
    """Log-probability of every segment's completion under the model as it stands; shape (segments,), on the CPU."""
    parameter = next(model.parameters())
    if parameter.device.type == "cpu":
        budget = min(budget, CPU_TOKENS)
    values = torch.empty(len(segments), dtype=torch.promote_types(parameter.dtype, torch.float32))
    model.eval()
    with torch.no_grad(), packed(model):
        for chosen in _passes(segments, budget):
            pack = lay([segments[index] for index in chosen], parameter.device)
            values[torch.tensor(chosen)] = log_probs(model, pack).cpu()
            tick(len(chosen))
    return values


def _passes(segments: Sequence[Segment], budget: int) -> Iterator[list[int]]:
    """Passes of prompts of like length, each with all its completions, so that a prompt is computed once."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, (prompt, _) in enumerate(segments):
        by_prompt.setdefault(tuple(prompt), []).append(index)
    chosen: list[int] = []
    tokens = 0
    for key, same in sorted(by_prompt.items(), key=lambda item: len(item[0])):
        laid = False
        for index in same:
            completion = len(segments[index][1])
            if chosen and tokens + completion + (0 if laid else len(key)) > budget:
                yield chosen
                chosen, tokens, laid = [], 0, False
            chosen.append(index)
            tokens, laid = tokens + completion + (0 if laid else len(key)), True
    if chosen:
        yield chosen


def weights_hash(model: Any) -> str:  # noqa: ANN401
    """Hex sha256 over the model's weights, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _cause(model: Any, ids: list[str]) -> str:  # noqa: ANN401
    for name, value in model.named_parameters():
        if not bool(torch.isfinite(value).all()):
            return f"NaN or infinity in the weights ({name}) before the first step; start from other weights"
    named = ", ".join(ids[:3]) or "mismatched rows only"
    return f"NaN or infinity in the reference's log-probabilities ({named}); the weights overflow on them: load the model in fp32"


def _read(folder: Path, key: str) -> Tensor | None:
    from safetensors.torch import load_file

    path = folder / "reference.safetensors"
    try:
        receipt = json.loads((folder / "reference.json").read_bytes())
        if receipt["key"] != key or receipt["sha256"] != sha256(path):
            return None
        return load_file(path)["log_prob"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(folder: Path, key: str, values: Tensor) -> None:
    from safetensors.torch import save

    path = folder / "reference.safetensors"
    write_bytes(path, save({"log_prob": values}))
    write_json(folder / "reference.json", {"key": key, "sha256": sha256(path)})
