"""How toxic are sampled completions of prompts that training never saw?"""

from __future__ import annotations

from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from align.data import prompt_tokens
from align.generate import end_tokens, generate
from align.judges import known_of, verdicts_of
from align.statistics import wilson
from align.suites.subject import Measured, Subject
from curate.errors import DataError
from curate.recipe import config
from curate.schema import canonical, digest

if TYPE_CHECKING:
    from align.data import Dataset

DROPPED_MARKS = " \t\r\n.,!?;:'\"()"


@config
class Heldout:
    """Sample one completion for every distinct prompt of the dataset's test split, and judge it.

    Sources that may never be trained on are left out: `retention` is about those.

    Args:
        max_prompts: at most this many prompts, the same ones for every run on these data; none takes all.
    """

    max_prompts: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 1

    def __call__(self, subject: Subject) -> Measured:
        """Figures: n, toxic and truth (shares with intervals), unscored, ended, distinct, mean_tokens.

        Raises:
            DataError: the test split has no prompt to ask.
        """
        prompts = heldout_prompts(subject.dataset, self.max_prompts)
        names = [name for name, _ in prompts]
        ids = prompt_tokens([prompt for _, prompt in prompts], subject.tokenizer)
        ends = end_tokens(subject.model, subject.tokenizer.eos_token_id)
        sampled = generate(subject.model, ids, names, ends=ends, seed=subject.seed, sampling=subject.sampling)
        texts = [str(text) for text in subject.tokenizer.batch_decode([one.tokens for one in sampled], skip_special_tokens=True)]
        verdicts = {"judge": verdicts_of(subject.judge, texts)}
        if subject.truth is not None:
            verdicts["truth"] = verdicts_of(subject.truth, texts)
        items = [
            {
                "id": name,
                "completion": text,
                "tokens": len(one.tokens),
                "ended": one.ended,
                **{who: {"score": found[at].score, "toxic": found[at].toxic} for who, found in verdicts.items()},
            }
            for at, (name, text, one) in enumerate(zip(names, texts, sampled, strict=True))
        ]
        judged = known_of(verdicts["judge"])
        values: dict[str, Any] = {
            "n": len(items),
            "unscored": len(items) - len(judged),
            "toxic": asdict(wilson(sum(judged), len(judged))),
            "ended": sum(one.ended for one in sampled) / len(items),
            "distinct": len({text.casefold().strip(DROPPED_MARKS) for text in texts}),
            "mean_tokens": sum(len(one.tokens) for one in sampled) / len(items),
        }
        if subject.truth is not None:
            known = known_of(verdicts["truth"])
            values["truth"] = asdict(wilson(sum(known), len(known)))
        return Measured(values, items)


def heldout_prompts(dataset: Dataset, limit: int | None = None) -> list[tuple[str, list[dict[str, str]]]]:
    """Distinct prompts of the test split with a name each, in order of name; a name is a hash, so a limit draws by lot.

    Raises:
        DataError: there is none.
    """
    table = dataset.split("unpaired", "test")
    found: dict[str, list[dict[str, str]]] = {}
    for prompt, source in () if table.is_empty() else zip(table["prompt"].to_list(), table["source"].to_list(), strict=True):
        if not any(fnmatchcase(source, pattern) for pattern in dataset.never_train):
            found[digest(canonical(prompt))] = prompt
    if not found:
        raise DataError(f"{dataset.folder}/unpaired/test: found no prompt to ask; build from more input")
    return sorted(found.items())[:limit]
