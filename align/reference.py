"""The reference's log-probabilities, computed once before the first step; no second model is held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from align.attention import packed
from align.pack import Segment, lay
from align.plan import Plan
from align.rows import Rows
from align.score import log_probs
from curate.errors import NonFiniteError
from curate.store import sha256, write_atomic, write_json

CPU_TOKENS = 2_048  # tokens of a pass on a CPU: larger ones fall out of its cache (measured 10 to 25 % slower a row)


@dataclass(frozen=True)
class Reference:
    """Log-probabilities under the reference, summed over completion tokens, nats.

    Attributes:
        matched: of each row's own completion, shape (rows,); NaN where the plan does not use the row.
        mismatched: per optimizer batch, of each partner's completion behind the row's prompt, in the order of the batch's
            rows that have a partner.
    """

    matched: Tensor
    mismatched: tuple[Tensor, ...]


def mismatches(rows: Rows, plan: Plan, step: int) -> list[Segment]:
    """The (prompt, partner's completion) segments that measure z at a step."""
    batch = plan.batches[step]
    return [
        (rows.prompts[row], rows.completions[partner])
        for row, partner in zip(batch.rows, batch.partners, strict=bool(batch.partners))
        if partner != -1
    ]


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
        values = score_all(model, segments + [segment for batch in others for segment in batch], budget, tick)
        bad = (~torch.isfinite(values)).nonzero()[:, 0].tolist()
        if bad:
            raise NonFiniteError(_cause(model, [rows.ids[used[index]] for index in bad if index < len(used)]))
        _write(folder, key, values)
    else:
        values = kept
    matched = torch.full((len(rows),), float("nan"), dtype=values.dtype)
    matched[torch.tensor(used)] = values[: len(used)]
    return Reference(matched, torch.split(values[len(used) :], [len(batch) for batch in others]))


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
    """Passes of segments of like length, so that attention pads little."""
    lengths = [len(prompt) + len(completion) for prompt, completion in segments]
    order = sorted(range(len(segments)), key=lambda index: lengths[index])
    chosen: list[int] = []
    tokens = 0
    for index in order:
        if chosen and tokens + lengths[index] > budget:
            yield chosen
            chosen, tokens = [], 0
        chosen.append(index)
        tokens += lengths[index]
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
    data = save({"log_prob": values})

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomic(path, write)
    write_json(folder / "reference.json", {"key": key, "sha256": sha256(path)})
