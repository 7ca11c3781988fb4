"""Which way of laying rows is exact for a model: found out at load, with its real weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from align.training.packing.attention import UnpackableError, attending, packed
from align.training.packing.pack import Segment, lay, lay_after
from align.training.packing.padded import pad
from align.training.packing.score import log_probs
from curate.core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # nats, of a summed log-probability of ten tokens
COARSE = 0.25  # nats; the same for 16-bit weights, which keep two to three digits
EAGER = "eager"  # attention written out: what the other implementations are held against


def probe(model: PreTrainedModel, longest: int = 0) -> float:
    """Make sure that packing is exact for this model.

    Completions packed, sharing a prompt, and behind an earlier pass's prompts are held against each alone under eager attention.

    Args:
        model: a causal language model on the device where it will train.
        longest: tokens of the longest row that it will be given.

    Returns:
        The largest difference of a completion's log-probability, nats.

    Raises:
        UnpackableError: the model refuses, differs, or does not send every layer through packed attention.
    """
    config = model.config.get_text_config()
    name, device = type(model).__name__, next(model.parameters()).device
    segments, later = _segments(config.vocab_size)
    model.eval()
    with torch.no_grad():
        with packed(model):
            pack = lay(segments, device, keep=True)
            scores = [log_probs(model, pack)]
            if pack.calls == config.num_hidden_layers:
                scores.append(log_probs(model, lay_after(pack, later, [1, 0])))
        together = torch.cat(scores)
    if pack.calls != config.num_hidden_layers:
        raise UnpackableError(f"{name}: {pack.calls} of its {config.num_hidden_layers} layers use packed attention")
    if pack.window is not None and longest > pack.window:
        raise UnpackableError(
            f"{name}: looks back {pack.window} tokens, but a row has {longest} (max_length: {pack.window} packs)"
        )
    return _compare(model, together, segments + later, "packed")


def probe_padded(model: PreTrainedModel) -> tuple[float, str]:
    """Make sure that padding is exact for this model, under its own attention or else under eager attention.

    Some kernels leave out what an architecture asks for (a cap on the scores), so that its own attention is not taken on trust.

    Returns:
        The largest difference of a completion's log-probability, nats, and the attention implementation that gives it.

    Raises:
        UserError: neither is exact.
    """
    device = next(model.parameters()).device
    segments, _ = _segments(model.config.get_text_config().vocab_size)
    model.eval()
    failure: UserError | None = None
    for implementation in (model.config._attn_implementation, EAGER):
        with torch.no_grad(), attending(model, implementation):
            together = log_probs(model, pad(segments, device))
        try:
            return _compare(model, together, segments, "padded"), implementation
        except UnpackableError as error:
            failure = error
    raise UserError(f"{failure}", hint="train another model")


def _segments(vocabulary: int) -> tuple[list[Segment], list[Segment]]:
    """Any fixed tokens will do: three rows of which two share a prompt, and two more behind the same prompts."""
    draw = [(index * 7919 + 13) % (vocabulary - 1) for index in range(40)]
    first, second = draw[:9], draw[9:14]
    segments = [(first, draw[14:24]), (second, draw[24:34]), (first, draw[34:40])]
    return segments, [(second, draw[14:24]), (first, draw[24:34])]


def _compare(model: PreTrainedModel, together: Tensor, segments: Sequence[Segment], how: str) -> float:
    """Hold log-probabilities against those of each segment alone under eager attention."""
    with torch.no_grad(), attending(model, EAGER):
        alone = torch.stack([_alone(model, prompt, completion, together.device) for prompt, completion in segments])
    difference = float((together - alone).abs().max())
    weights = next(model.parameters()).dtype
    if not difference <= TOLERANCE.get(weights, COARSE):
        finite = bool(torch.isfinite(alone).all())
        why = f"differ by {difference:.2g} nats" if finite else "are not finite: look for NaN in the weights"
        raise UnpackableError(f"{type(model).__name__}: log-probabilities {how} and one by one {why}")
    return difference


def _alone(model: PreTrainedModel, prompt: list[int], completion: list[int], device: torch.device) -> Tensor:
    logits = model(input_ids=torch.tensor([prompt + completion], device=device), use_cache=False).logits[0]
    wide = logits if logits.dtype == torch.float64 else logits.float()
    chosen = wide.log_softmax(-1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(completion, device=device)[:, None])
    total: Tensor = chosen.sum()
    return total
