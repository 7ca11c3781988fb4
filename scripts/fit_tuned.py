"""Fit `tuned`: the upper half of the built-in encoder, bent by low-rank updates to tell toxic from harmless texts.

The lower layers stay as they are, so what they make of every text is computed once; the updates and one output weight per number
of the mean vector are all that is learnt. Each text is met in two renderings by turns: a reply mostly behind its prompt, another
text sometimes behind a prompt that it does not answer, so that only a prompt that matters counts. One thread, batches of one
token length: the same machine type gives the same weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from augmentation import dress
from numpy.typing import NDArray

from curate.core.progress import Progress
from curate.labelers.builtin.tuned import LAYERS, LOWER, SCALE, reply_mean, tokens, updated
from curate.labelers.scoring import joined
from curate.text.encoders.minilm import builtin_tokenizer, builtin_weights

RANK = 16  # of each update; all of them are 660 kB in float16
EPOCHS, BATCH, RATE, DECAY, DROPOUT = 3, 32, 1e-3, 0.01, 0.1
RENDERINGS = 2  # of each text
TOKENS = 48  # read of a training text: what is longer costs more than it teaches
LONGEST = 220  # characters of a training text
ASKED, STRAY = 0.8, 0.25  # share of replies that stand behind their prompt, of other texts that stand behind a stray one
HEADS, WIDTH, EPSILON = 12, 384, 1e-12
SEED = 7

Floats = NDArray[np.float64]
Tensors = dict[str, NDArray[Any]]


def fit_tuned(
    texts: Sequence[str], toxic: NDArray[np.bool_], weight: Floats, prompts: Sequence[str | None]
) -> tuple[Tensors, float]:
    """Tensors of `tuned`, float16, and the bias of its logit.

    Args:
        texts: any texts; those above LONGEST characters are left out.
        toxic: shape (n,).
        weight: what each text counts, shape (n,).
        prompts: what each text answers, None where it answers nothing.

    Source: Hu et al. (2021), LoRA: Low-Rank Adaptation of Large Language Models; Howard & Ruder (2018), Universal Language Model
    Fine-tuning for Text Classification (lower layers frozen).
    """
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    frozen, rng = builtin_weights(), random.Random(SEED)  # noqa: S311 - not for secrets
    learnt = _starting_point(frozen)
    short = [at for at, text in enumerate(texts) if len(text) <= LONGEST]
    tokenizer = builtin_tokenizer()

    views = []
    for turn in range(RENDERINGS):
        dressed = [dress(texts[at], f"tuned {turn} {texts[at]}") for at in short]
        asked = _prompts([texts[at] for at in short], [prompts[at] for at in short], turn)
        views.append([tokens(tokenizer, both, TOKENS) for both in joined(dressed, asked)])
    goal, counts = torch.from_numpy(toxic[short].astype(np.float32)), torch.from_numpy(weight[short].astype(np.float32))
    lows = [_lower(frozen, view) for view in views]
    batches = [list(_batches(views[epoch % RENDERINGS], rng)) for epoch in range(EPOCHS)]
    optimizer = torch.optim.AdamW(learnt.values(), lr=RATE, weight_decay=DECAY)
    steps = sum(map(len, batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
    with Progress("tune", steps, "steps") as progress:
        for epoch, some in enumerate(batches):
            for batch in some:
                x = torch.stack([lows[epoch % RENDERINGS][at] for at in batch]).float()
                starts = torch.tensor([views[epoch % RENDERINGS][at][1] for at in batch])
                logit = _upper(frozen, learnt, x, starts)
                loss = F.binary_cross_entropy_with_logits(logit, goal[batch], counts[batch])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(learnt.values(), 1.0)
                optimizer.step()
                schedule.step()
                progress.add(1)
    made = {name: one.detach().numpy() for name, one in learnt.items()}
    bias = float(made.pop("bias")[0])
    return {name: one.astype(np.float16) for name, one in made.items()}, bias


def _prompts(texts: Sequence[str], own: Sequence[str | None], turn: int) -> list[str | None]:
    """What each text stands behind in one rendering, None for nothing."""
    every = sorted({prompt for prompt in own if prompt})
    found = []
    for text, prompt in zip(texts, own, strict=True):
        rng = random.Random(f"prompt {turn} {text}")  # noqa: S311 - not for secrets
        there = rng.random() < (ASKED if prompt else STRAY if every else 0.0)
        found.append((prompt or rng.choice(every)) if there else None)
    return found


View = Sequence[tuple[list[int], int]]  # token ids of each text, and how many are its prompt's


def _starting_point(frozen: dict[str, Any]) -> dict[str, Any]:
    """Updates that change nothing yet, and an output that says nothing yet."""
    import torch

    learnt = {"out.weight": torch.zeros(WIDTH), "bias": torch.zeros(1)}
    for name in updated():
        rows, columns = frozen[f"{name}.weight"].shape
        learnt[f"{name}.down"] = torch.randn(RANK, columns) / columns**0.5
        learnt[f"{name}.up"] = torch.zeros(rows, RANK)
    return {name: one.requires_grad_() for name, one in learnt.items()}


def _batches(view: View, rng: random.Random) -> Iterator[list[int]]:
    """Places of texts of one token length, BATCH at a time, in a random order."""
    places = list(range(len(view)))
    rng.shuffle(places)
    by_length: dict[int, list[int]] = {}
    for at in places:
        by_length.setdefault(len(view[at][0]), []).append(at)
    cut = [some[at : at + BATCH] for _, some in sorted(by_length.items()) for at in range(0, len(some), BATCH)]
    rng.shuffle(cut)
    return iter(cut)


def _lower(frozen: dict[str, Any], view: View) -> list[Any]:
    """What the frozen layers make of each text: shape (t, WIDTH) in float16."""
    import torch
    from torch.nn import functional as F  # noqa: N812

    words, positions = frozen["embeddings.word_embeddings.weight"], frozen["embeddings.position_embeddings.weight"]
    own = frozen["embeddings.token_type_embeddings.weight"][0]
    found: list[Any] = [None] * len(view)
    with torch.inference_mode(), Progress("lower layers", len(view), "texts") as progress:
        for batch in _batches(view, random.Random(0)):  # noqa: S311 - not for secrets
            ids = torch.tensor([view[at][0] for at in batch])
            x = words[ids] + positions[: ids.shape[1]] + own
            x = F.layer_norm(x, (WIDTH,), frozen["embeddings.LayerNorm.weight"], frozen["embeddings.LayerNorm.bias"], EPSILON)
            for index in range(LOWER):
                x = _layer(frozen, {}, x, index, 0.0)
            for at, one in zip(batch, x.half(), strict=True):
                found[at] = one.clone()
            progress.add(len(batch))
    return found


def _upper(frozen: dict[str, Any], learnt: dict[str, Any], x: Any, starts: Any) -> Any:  # noqa: ANN401 - tensors
    """Logits, shape (n,), of what the lower layers made, shape (n, t, WIDTH), by the tokens from `starts` on; with dropout."""
    from torch.nn import functional as F  # noqa: N812

    for index in range(LOWER, LAYERS):
        x = _layer(frozen, learnt, x, index, DROPOUT)
    return F.dropout(reply_mean(x, starts), DROPOUT) @ learnt["out.weight"] + learnt["bias"]


def _layer(frozen: dict[str, Any], learnt: dict[str, Any], x: Any, index: int, drop: float) -> Any:  # noqa: ANN401
    from torch.nn import functional as F  # noqa: N812

    name = f"encoder.layer.{index}"
    n, t, _ = x.shape

    def linear(x: Any, part: str) -> Any:  # noqa: ANN401
        key = f"{name}.{part}"
        made = F.linear(x, frozen[f"{key}.weight"], frozen[f"{key}.bias"])
        if f"{key}.up" not in learnt:
            return made
        return made + SCALE * F.linear(F.linear(x, learnt[f"{key}.down"]), learnt[f"{key}.up"])

    def joined(x: Any, made: Any, part: str) -> Any:  # noqa: ANN401
        key = f"{name}.{part}.LayerNorm"
        return F.layer_norm(x + F.dropout(made, drop), (WIDTH,), frozen[f"{key}.weight"], frozen[f"{key}.bias"], EPSILON)

    query, key, value = (
        linear(x, f"attention.self.{part}").view(n, t, HEADS, WIDTH // HEADS).transpose(1, 2)
        for part in ("query", "key", "value")
    )
    mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=drop).transpose(1, 2).reshape(n, t, WIDTH)
    x = joined(x, linear(mixed, "attention.output.dense"), "attention.output")
    return joined(x, linear(F.gelu(linear(x, "intermediate.dense")), "output.dense"), "output")
