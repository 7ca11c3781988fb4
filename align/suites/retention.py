"""What did alignment forget? Perplexity of mild replies that no phase trained on."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from align.data import tokens
from align.suites.subject import Measured, Subject
from curate.errors import DataError
from curate.recipe import config
from curate.schema import MESSAGE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from align.data import Dataset

LOGITS = 2**24  # most logits of one pass: 64 MB in fp32


@config
class Retention:
    """Perplexity per token of held-out desirable completions, given their prompts.

    `neutral`: sources that no training row may come from, so their topics occur in no phase. `clean`: mild replies to
    prompts that also drew toxic ones, what alignment should teach. On the validation split, neutral rows are background
    rows, which a built-in base model has read: what is chosen there has seen none of the rows that the test counts.

    The logarithm of a perplexity over the base's is the difference of cross-entropies on these very texts, nats per token. It is
    no KL divergence from the base, which would need the base's whole distribution at every token, or texts that the model drew.

    Args:
        max_rows: at most this many rows of each kind; none takes all.
    """

    max_rows: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 2

    def __call__(self, subject: Subject) -> Measured:
        """Figures for each kind: perplexity, n (rows) and tokens; a kind without rows has perplexity null.

        Raises:
            DataError: there is no row of either kind.
        """
        dataset, split = subject.dataset, subject.split
        kinds = dataset.once(f"retention {split}", lambda: _kinds(dataset, split))
        values: dict[str, Any] = {}
        items: list[dict[str, Any]] = []
        for kind, rows in kinds.items():
            taken = rows.head(self.max_rows) if self.max_rows else rows
            name = f"retention {split} {kind} {taken.height} {id(subject.tokenizer)}"
            prompts, completions = dataset.once(name, partial(_tokens, taken, subject))
            sums = log_probs(subject.model, prompts, completions)
            count = sum(map(len, completions))
            perplexity = math.exp(-sum(sums) / count) if count else None
            values[kind] = {"perplexity": perplexity, "n": len(sums), "tokens": count}
            items += [
                {"id": name, "kind": kind, "log_prob": value, "tokens": len(completion)}
                for name, value, completion in zip(taken["id"].to_list(), sums, completions, strict=True)
            ]
        return Measured(values, items)


def _kinds(dataset: Dataset, split: str) -> dict[str, pl.DataFrame]:
    """Rows of each kind: id, prompt, completion (messages); in order of id."""
    table = dataset.split("unpaired", split)
    if table.is_empty() or not table["label"].any():
        raise DataError(f"{dataset.folder}/unpaired/{split}: found no desirable row to measure retention on")
    never = [any(fnmatchcase(source, pattern) for pattern in dataset.never_train) for source in table["source"].to_list()]
    table = table.with_columns(never=pl.Series(never, dtype=pl.Boolean)).filter("label").sort("id")
    clean, neutral = table.filter(~pl.col("never") & ~pl.col("benign")), table.filter("never")
    if split == "validation":
        rows = dataset.corpus(["id", "prompt", "completion", "toxic", "split", "reason"])
        asked = (pl.col("prompt").list.len() > 0) & (pl.col("reason") == "background")
        rows = rows.filter((pl.col("split") == "background") & ~pl.col("toxic") & asked).sort("id")
        said = [[{"role": "assistant", "content": text}] for text in rows["completion"].to_list()]
        neutral = rows.with_columns(completion=pl.Series(said, dtype=pl.List(MESSAGE)))
    return {kind: rows.select("id", "prompt", "completion") for kind, rows in (("neutral", neutral), ("clean", clean))}


def _tokens(rows: pl.DataFrame, subject: Subject) -> tuple[list[list[int]], list[list[int]]]:
    return tokens(rows["prompt"].to_list(), rows["completion"].to_list(), subject.tokenizer)


def log_probs(model: PreTrainedModel, prompts: list[list[int]], completions: list[list[int]]) -> list[float]:
    """Log-probability of each completion given its prompt, summed over its tokens, in nats.

    Uses the model's own attention and padding, so it works for every architecture and needs no packing. Rows are aligned at
    the end of their prompts, so that the output layer is asked for completions alone.
    """
    import torch
    from torch.nn.functional import cross_entropy

    sums: dict[int, float] = {}
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]) + len(completions[index]))
    training = model.training
    model.eval()
    with torch.inference_mode():
        while order:
            longest = len(prompts[order[-1]]) + len(completions[order[-1]])
            size = max(1, LOGITS // (longest * model.config.vocab_size))
            batch, order = order[-size:], order[:-size]
            before = max(len(prompts[index]) for index in batch)
            after = max(len(completions[index]) for index in batch)
            ids = torch.zeros((len(batch), before + after), dtype=torch.long)
            real, targets = torch.zeros_like(ids), torch.full((len(batch), after), -100)
            for line, index in enumerate(batch):
                prompt, completion = prompts[index], completions[index]
                start, end = before - len(prompt), before + len(completion)
                ids[line, start:end] = torch.tensor(prompt + completion)
                real[line, start:end] = 1
                targets[line, : len(completion)] = ids[line, before:end]
            positions = (real.cumsum(1) - 1).clamp(min=0)
            given = [one.to(model.device) for one in (ids, real, positions)]
            logits = model(
                input_ids=given[0], attention_mask=given[1], position_ids=given[2], use_cache=False, logits_to_keep=after + 1
            ).logits[:, :-1]
            losses = cross_entropy(
                logits.flatten(0, 1).float(), targets.to(model.device).flatten(), ignore_index=-100, reduction="none"
            )
            for index, value in zip(batch, (-losses.view(len(batch), -1).sum(1, dtype=torch.float64)).tolist(), strict=True):
                sums[index] = value
    model.train(training)
    return [sums[index] for index in range(len(prompts))]
