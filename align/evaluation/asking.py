"""What suites that sample completions share: ask every prompt, let every judge speak, and count what was not answered."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align.data.dataset import Dataset, prompt_tokens
from align.data.figures import Divergence, Tally
from align.evaluation.answers import Answer, tally
from align.evaluation.judges import Verdict, verdicts_of
from align.evaluation.refusals import refuses
from align.models.generate import Sampled, end_tokens, generate
from align.models.likelihood import Likelihood, kl_figures, likelihoods
from curate.core.contracts import TextLabeler
from curate.core.errors import DataError
from curate.core.schema import canonical, digest

if TYPE_CHECKING:
    from pathlib import Path

    from align.evaluation.subject import Subject

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """One prompt of a suite.

    Attributes:
        id: keys its random numbers; distinct within the suite and the same in every run.
        messages: ends with what the model is to reply to.
        cluster: what it shares with its like (thread, template): the unit that the bootstrap draws. Its id where it is alone.
        benign: whether a good model answers it; a refusal is then an over-refusal.
        prefill: how the completion is made to begin; it is not judged.
        stop: the completion ends before the first of these; none where empty.
    """

    id: str
    messages: Messages
    cluster: str
    benign: bool = False
    prefill: str = ""
    stop: str = ""


def unseen(prompts: Sequence[Prompt], dataset: Dataset) -> list[Prompt]:
    """The prompts that training never saw: a suite that overlaps the training data measures memory there."""
    trained = dataset.once("trained prompts", lambda: _trained(dataset))
    return [prompt for prompt in prompts if digest(canonical(prompt.messages)) not in trained]


def ask(subject: Subject, suite: str, prompts: Sequence[Prompt]) -> tuple[Tally, list[Answer]]:
    """Sample completions, judge them, and count.

    Args:
        subject: the checkpoint, its judges and how completions are drawn.
        suite: its name, for errors and for the file that finished completions are kept in.
        prompts: what to ask; those that training saw are left out and counted.

    Returns:
        The tally, with the prompts left out and the divergence from the base on what the model itself has drawn, see
        `align.models.likelihood.kl_figures`; and the answers, every sample of the first draw, then of the second, and so on.

    Raises:
        DataError: no prompt is left to ask.
    """
    fresh = unseen(prompts, subject.dataset)
    if not fresh:
        reason = f"all {len(prompts):,} prompts occur in training" if prompts else "it has no prompt"
        raise DataError(
            f"suite {suite}: nothing to ask on the {subject.split} split ({reason})", hint="give it other prompts or leave it out"
        )
    asked = [(prompt, sample) for sample in range(subject.sampling.samples) for prompt in fresh]
    name = digest(f"rows {id(subject.tokenizer)}", *(prompt.id for prompt, _ in asked), *(prompt.prefill for prompt, _ in asked))
    rows = subject.dataset.once(name, lambda: _rows(subject, asked))
    sampled = _sampled(subject, suite, asked, rows)
    texts = _texts(subject, asked, sampled)
    verdicts = {role: _judge(judge, texts) for role, judge in subject.judges.items()}
    drift = _drift(subject, rows, sampled)
    answers = [
        Answer(
            id=prompt.id,
            sample=sample,
            cluster=prompt.cluster,
            benign=prompt.benign,
            completion=text,
            tokens=len(one.tokens),
            ended=one.ended,
            refused=refuses(text),
            kl=drift[at].kl,
            verdicts={role: of_role[at] for role, of_role in verdicts.items()},
        )
        for at, ((prompt, sample), text, one) in enumerate(zip(asked, texts, sampled, strict=True))
    ]
    kl = kl_figures(drift, [_positions(one) for one in sampled], [prompt.cluster for prompt, _ in asked])
    figures = dataclasses.replace(
        tally(answers, list(subject.judges)), overlap=len(prompts) - len(fresh), kl=Divergence(**kl) if kl else None
    )
    return figures, answers


def _texts(subject: Subject, asked: Sequence[tuple[Prompt, int]], sampled: Sequence[Sampled]) -> list[str]:
    """Completions as text, up to the prompt's stop."""
    decoded = subject.tokenizer.batch_decode([one.tokens for one in sampled], skip_special_tokens=True)
    return [_until(str(text), prompt.stop) for text, (prompt, _) in zip(decoded, asked, strict=True)]


def _until(text: str, stop: str) -> str:
    """A completion up to the first stop that follows some of it."""
    return text.lstrip().split(stop, 1)[0] if stop else text


def _judge(judge: TextLabeler, texts: Sequence[str]) -> list[Verdict]:
    """Verdicts; a completion without a word is shown to nobody."""
    spoken = [at for at, text in enumerate(texts) if text.strip()]
    verdicts = dict(zip(spoken, verdicts_of(judge, [texts[at] for at in spoken]), strict=True))
    return [verdicts.get(at, Verdict(None, None)) for at in range(len(texts))]


def _rows(subject: Subject, asked: Sequence[tuple[Prompt, int]]) -> list[list[int]]:
    """Token ids of prompts, up to where the model goes on."""
    rows = prompt_tokens([prompt.messages for prompt, _ in asked], subject.tokenizer)
    prefills = [prompt.prefill for prompt, _ in asked]
    if any(prefills):
        tails = subject.tokenizer(prefills, add_special_tokens=False)["input_ids"]
        rows = [[*row, *tail] for row, tail in zip(rows, tails, strict=True)]
    return rows


def _drift(subject: Subject, rows: Sequence[Sequence[int]], sampled: Sequence[Sampled]) -> list[Likelihood]:
    """How far the model is from the base at every token that it drew, the one that ended the completion included.

    Which end token that was does not matter: a token's divergence is decided by what stands before it.
    """
    if subject.base is None:
        return [Likelihood(0.0, None)] * len(rows)
    end = min(end_tokens(subject.model, subject.tokenizer.eos_token_id), default=0)
    drawn = [[*one.tokens, *([end] * one.ended)] for one in sampled]
    return likelihoods(subject.model, rows, drawn, subject.base)


def _positions(one: Sampled) -> int:
    return len(one.tokens) + one.ended


def _sampled(subject: Subject, suite: str, asked: Sequence[tuple[Prompt, int]], rows: Sequence[Sequence[int]]) -> list[Sampled]:
    """One completion per prompt and sample, those of an earlier, interrupted call taken as they stand."""
    names = [prompt.id if sample == 0 else f"{prompt.id}#{sample}" for prompt, sample in asked]
    path = None if subject.folder is None else subject.folder / f"{suite}.sampled.jsonl"
    done = _read(path)
    ends = end_tokens(subject.model, subject.tokenizer.eos_token_id)
    draw = _sampler(subject.sampling.backend)
    size = subject.sampling.batch_size
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))  # batches are the same in a resumed call
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        if all(names[at] in done for at in batch):
            continue
        drawn = draw(
            subject.model,
            [rows[at] for at in batch],
            [names[at] for at in batch],
            ends=ends,
            seed=subject.seed,
            sampling=subject.sampling,
        )
        fresh = dict(zip([names[at] for at in batch], drawn, strict=True))
        _append(path, fresh)
        done |= fresh
    if path is not None:
        path.unlink(missing_ok=True)  # the suite's own items hold it all
    return [done[name] for name in names]


def _sampler(backend: str) -> Callable[..., list[Sampled]]:
    """What draws completions, called as `generate` is."""
    if backend == "vllm":
        from align.models import vllm as vllm_backend

        return vllm_backend.generate
    return generate


def _read(path: Path | None) -> dict[str, Sampled]:
    """Finished completions; a last line that a kill cut short is left out."""
    finished: dict[str, Sampled] = {}
    for line in path.read_bytes().split(b"\n") if path is not None and path.is_file() else []:
        try:
            name, tokens, ended = json.loads(line)
        except ValueError:
            continue
        finished[name] = Sampled(tokens, ended)
    return finished


def _append(path: Path | None, sampled: Mapping[str, Sampled]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if path.stat().st_size:
            file.write(b"\n")  # ends a line that a kill cut short
        file.write(b"".join(json.dumps([name, one.tokens, one.ended]).encode() + b"\n" for name, one in sampled.items()))
        file.flush()
        os.fsync(file.fileno())


def _trained(dataset: Dataset) -> frozenset[str]:
    """Digests of every prompt that a phase may train on."""
    digests: set[str] = set()
    for output in ("unpaired", "sft", "paired"):
        table = dataset.split(output, "train")
        digests |= set() if table.is_empty() else {digest(canonical(prompt)) for prompt in table["prompt"].to_list()}
    return frozenset(digests)
