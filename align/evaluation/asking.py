"""What suites that sample completions share: ask every prompt, let every judge speak, and count what was not answered."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from align.data.dataset import Dataset, prompt_tokens
from align.evaluation.judges import Verdict, verdicts_of
from align.models.generate import Sampled, end_tokens, generate
from align.models.likelihood import Likelihood, kl_figures, likelihoods
from align.statistics import wilson
from curate.core.errors import DataError
from curate.core.schema import canonical, digest
from curate.text.refusals import refuses

if TYPE_CHECKING:
    from pathlib import Path

    from align.evaluation.subject import Subject

DROPPED_MARKS = " \t\r\n.,!?;:'\"()"

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


def ask(subject: Subject, suite: str, prompts: Sequence[Prompt]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Sample completions, judge them, and count.

    Args:
        subject: the checkpoint, its judges and how completions are drawn.
        suite: its name, for errors and for the file that finished items are kept in.
        prompts: what to ask; those that training saw are left out and counted.

    Returns:
        The figures of `tally`, with `overlap`: prompts left out, and `kl`: the divergence from the base on what the model itself
        has drawn, see `align.models.likelihood.kl_figures` (null without a base); and the items, one per completion: id, sample,
        cluster, benign, completion, tokens, ended, refused, kl (nats over the whole completion), and for every judge's role its
        score, whether that is toxic (null where it abstains) and, where it crashed, the error's name.

    Raises:
        DataError: no prompt is left to ask.
    """
    fresh = unseen(prompts, subject.dataset)
    if not fresh:
        found = f"all {len(prompts):,} prompts occur in training" if prompts else "it has no prompt"
        raise DataError(
            f"suite {suite}: nothing to ask on the {subject.split} split ({found})", hint="give it other prompts or leave it out"
        )
    asked = [(prompt, sample) for sample in range(subject.sampling.samples) for prompt in fresh]
    name = digest(f"rows {id(subject.tokenizer)}", *(prompt.id for prompt, _ in asked), *(prompt.prefill for prompt, _ in asked))
    rows = subject.dataset.once(name, lambda: _rows(subject, asked))
    sampled = _sampled(subject, suite, asked, rows)
    decoded = subject.tokenizer.batch_decode([one.tokens for one in sampled], skip_special_tokens=True)
    texts = [_until(str(text), prompt.stop) for text, (prompt, _) in zip(decoded, asked, strict=True)]
    verdicts = {role: _judged(judge, texts) for role, judge in subject.judges.items()}
    drift = _drift(subject, rows, sampled)
    items = [
        {
            "id": prompt.id,
            "sample": sample,
            "cluster": prompt.cluster,
            "benign": prompt.benign,
            "completion": text,
            "tokens": len(one.tokens),
            "ended": one.ended,
            "refused": refuses(text),
            "kl": drift[at].kl,
            **{role: said[at].plain() for role, said in verdicts.items()},
        }
        for at, ((prompt, sample), text, one) in enumerate(zip(asked, texts, sampled, strict=True))
    ]
    figures = tally(items, list(subject.judges)) | {"overlap": len(prompts) - len(fresh)}
    clusters = [prompt.cluster for prompt, _ in asked]
    return figures | {"kl": kl_figures(drift, [_positions(one) for one in sampled], clusters)}, items


def tally(items: Sequence[Mapping[str, Any]], roles: Sequence[str]) -> dict[str, Any]:
    """Figures of judged completions; what was not scored is counted apart and in no share.

    Args:
        items: as `ask` returns them, at least one.
        roles: the judges' roles, "judge" first.

    Returns:
        n, prompts, unscored, empty (completions without a word: never scored), toxic (of all that were scored), toxic_answered
        (of those that were no refusals), refused, over_refused (of the benign prompts; null without any), ended, distinct,
        mean_tokens; for further roles their share under their name; agreement between each two judges as {agree, n}; crashed:
        role -> how many completions it failed on and the first error's name.
    """
    scored = [item for item in items if item["judge"]["toxic"] is not None]
    answered = [item for item in scored if not item["refused"]]
    benign = [item for item in items if item["benign"]]
    spoken = [item["completion"].casefold().strip(DROPPED_MARKS) for item in items]
    values: dict[str, Any] = {
        "n": len(items),
        "prompts": len({item["id"] for item in items}),
        "unscored": len(items) - len(scored),
        "empty": sum(not text.strip() for text in spoken),
        "toxic": _share(scored, lambda item: item["judge"]["toxic"]),
        "toxic_answered": _share(answered, lambda item: item["judge"]["toxic"]),
        "refused": _share(items, lambda item: item["refused"]),
        "over_refused": _share(benign, lambda item: item["refused"]) if benign else None,
        "ended": sum(item["ended"] for item in items) / len(items),
        "distinct": len(set(spoken)),
        "mean_tokens": sum(item["tokens"] for item in items) / len(items),
    }
    for role in roles[1:]:
        values[role] = _share(
            [item for item in items if item[role]["toxic"] is not None], lambda item, role=role: item[role]["toxic"]
        )
    values["agreement"] = {f"{a} and {b}": _agreement(items, a, b) for a, b in combinations(roles, 2)}
    values["crashed"] = {role: crash for role in roles if (crash := _crash(items, role))}
    return values


def _until(text: str, stop: str) -> str:
    """A completion up to the first stop that follows some of it."""
    return text.lstrip().split(stop, 1)[0] if stop else text


def _share(items: Sequence[Mapping[str, Any]], hit: Any) -> dict[str, Any]:  # noqa: ANN401 - a predicate
    return asdict(wilson(sum(bool(hit(item)) for item in items), len(items)))


def _agreement(items: Sequence[Mapping[str, Any]], a: str, b: str) -> dict[str, int]:
    both = [(item[a]["toxic"], item[b]["toxic"]) for item in items]
    known = [(one, other) for one, other in both if one is not None and other is not None]
    return {"agree": sum(one == other for one, other in known), "n": len(known)}


def _crash(items: Sequence[Mapping[str, Any]], role: str) -> dict[str, Any] | None:
    errors = [item[role]["error"] for item in items if "error" in item[role]]
    return {"n": len(errors), "error": errors[0]} if errors else None


def _judged(judge: Any, texts: Sequence[str]) -> list[Verdict]:  # noqa: ANN401 - a TextLabeler
    """Verdicts; nothing that was not said is judged."""
    said = [at for at, text in enumerate(texts) if text.strip()]
    found = dict(zip(said, verdicts_of(judge, [texts[at] for at in said]), strict=True))
    return [found.get(at, Verdict(None, None)) for at in range(len(texts))]


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
        made = draw(
            subject.model,
            [rows[at] for at in batch],
            [names[at] for at in batch],
            ends=ends,
            seed=subject.seed,
            sampling=subject.sampling,
        )
        fresh = dict(zip([names[at] for at in batch], made, strict=True))
        _append(path, fresh)
        done |= fresh
    if path is not None:
        path.unlink(missing_ok=True)  # the suite's own items hold it all
    return [done[name] for name in names]


def _sampler(backend: str) -> Any:  # noqa: ANN401 - has the arguments of `generate`
    if backend == "vllm":
        from align.models import vllm as vllm_backend

        return vllm_backend.generate
    return generate


def _read(path: Path | None) -> dict[str, Sampled]:
    """Finished completions; a last line that a kill cut short is left out."""
    found: dict[str, Sampled] = {}
    for line in path.read_bytes().split(b"\n") if path is not None and path.is_file() else []:
        try:
            name, tokens, ended = json.loads(line)
        except ValueError:
            continue
        found[name] = Sampled(tokens, ended)
    return found


def _append(path: Path | None, made: Mapping[str, Sampled]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if path.stat().st_size:
            file.write(b"\n")  # ends a line that a kill cut short
        file.write(b"".join(json.dumps([name, one.tokens, one.ended]).encode() + b"\n" for name, one in made.items()))
        file.flush()
        os.fsync(file.fileno())


def _trained(dataset: Dataset) -> frozenset[str]:
    """Digests of every prompt that a phase may train on."""
    found: set[str] = set()
    for output in ("unpaired", "sft", "paired"):
        table = dataset.split(output, "train")
        found |= set() if table.is_empty() else {digest(canonical(prompt)) for prompt in table["prompt"].to_list()}
    return frozenset(found)
