"""How likely texts are under a model, and how far its whole distribution lies from another's on the same tokens."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align.data.figures import Divergence
from align.statistics import per_unit

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

LOGITS = {"cpu": 2**21, "cuda": 2**26}  # most logits of a pass: 8 MB in fp32 stay near a CPU's cache (64: a third slower)


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of one completion, given its prompt.

    Attributes:
        log_prob: of the completion, summed over its tokens, nats.
        kl: KL(model || base) summed over the completion's tokens, nats; None without a base. At each token it is the whole sum
            over the vocabulary, p log(p / q) of the two next-token distributions behind the same tokens: exact, no estimate by
            samples and no truncation, at temperature 1.
    """

    log_prob: float
    kl: float | None


def likelihoods(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    base: PreTrainedModel | None = None,
) -> list[Likelihood]:
    """What the model makes of each completion, and how far it is from the base there.

    Uses the models' own attention and padding, so it works for every architecture and needs no packing. Rows are aligned at
    the end of their prompts, so that the output layer is asked for completions alone. Both models see a batch in turn, so no
    distribution is kept longer than that.

    Args:
        model: under evaluation; read only.
        prompts: token ids, at least one each.
        completions: token ids, at least one each.
        base: has the same vocabulary; the model itself gives 0 exactly.

    Returns:
        One per prompt, same order.
    """
    import torch

    by_row: dict[int, Likelihood] = {}
    training = model.training
    model.eval()
    with torch.inference_mode():
        for batch, given, targets in _batches(model, prompts, completions):
            p = _log_softmax(model, given, targets.shape[1])
            real = targets != -100
            taken = p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
            log_probs = taken.masked_fill(~real, 0.0).sum(1, dtype=torch.float64).tolist()
            kls: list[float | None] = [None] * len(batch)
            if base is not None:
                q = p if base is model else _log_softmax(base, given, targets.shape[1])
                kls = _kl(p, q).masked_fill(~real, 0.0).sum(1, dtype=torch.float64).tolist()
            by_row.update(zip(batch, map(Likelihood, log_probs, kls), strict=True))
    model.train(training)
    return [by_row[at] for at in range(len(prompts))]


def kl_figures(
    texts: Sequence[Likelihood], tokens: Sequence[int], clusters: Sequence[Hashable] | None = None
) -> Divergence | None:
    """KL from the base of some texts; None where it was not measured.

    Args:
        texts: what the model makes of each.
        tokens: of each text.
        clusters: what each text shares with its like; by default texts are alone.
    """
    kls = [one.kl for one in texts if one.kl is not None]
    mean = per_unit(kls, tokens, clusters) if len(kls) == len(tokens) else None
    if mean is None:
        return None
    return Divergence(mean.value, mean.se, sum(kls) / len(kls), mean.units)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """KL of the first distribution from the second, both as log-probabilities; shape (rows, positions), nats."""
    return (p.exp() * (p - q)).nan_to_num(0.0).sum(-1)  # a token of chance 0 adds 0, where 0 * (-inf + inf) is NaN


def _log_softmax(model: PreTrainedModel, given: tuple[Tensor, Tensor, Tensor], after: int) -> Tensor:
    """Log-probabilities of every next token at the completions' tokens, fp32; shape (rows, after, vocabulary)."""
    ids, real, positions = given
    out = model(input_ids=ids, attention_mask=real, position_ids=positions, use_cache=False, logits_to_keep=after + 1)
    logits: Tensor = out.logits[:, :-1]
    return logits.float().log_softmax(-1)


def _batches(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], tuple[Tensor, Tensor, Tensor], Tensor]]:
    """Rows of near-equal length: which, (ids, mask, positions), and the completions' tokens, -100 where there is none."""
    import torch

    most = LOGITS["cpu" if model.device.type == "cpu" else "cuda"]
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]) + len(completions[at]))
    while order:
        longest = len(prompts[order[-1]]) + len(completions[order[-1]])
        size = max(1, most // (longest * model.config.vocab_size))
        batch, order = order[-size:], order[:-size]
        before = max(len(prompts[at]) for at in batch)
        after = max(len(completions[at]) for at in batch)
        ids = torch.zeros((len(batch), before + after), dtype=torch.long)
        real, targets = torch.zeros_like(ids), torch.full((len(batch), after), -100)
        for line, at in enumerate(batch):
            row = [*prompts[at], *completions[at]]
            start, end = before - len(prompts[at]), before + len(completions[at])
            ids[line, start:end] = torch.tensor(row)
            real[line, start:end] = 1
            targets[line, : len(completions[at])] = ids[line, before:end]
        positions = (real.cumsum(1) - 1).clamp(min=0)
        yield batch, (ids.to(model.device), real.to(model.device), positions.to(model.device)), targets.to(model.device)
