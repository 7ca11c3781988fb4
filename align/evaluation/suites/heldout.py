"""How toxic are sampled completions of prompts that training never saw?"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import canonical, digest

if TYPE_CHECKING:
    from align.data.dataset import Dataset


@config
class Heldout:
    """Sample completions for every distinct prompt of the dataset's test split, and judge them.

    Sources that may never be trained on are left out: `retention` is about those. A prompt is benign where the
    build says so of all its rows: no reply to it, and nothing in its thread, is toxic or undecided.

    Args:
        max_prompts: at most this many prompts, the same ones for every run on these data; none takes all.
    """

    max_prompts: Limit = None
    VERSION: ClassVar[int] = 4

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally`.

        Raises:
            DataError: the split has no prompt to ask.
        """
        return Measured.of(*ask(subject, "heldout", heldout_prompts(subject.dataset, self.max_prompts, subject.split)))


def heldout_prompts(dataset: Dataset, limit: int | None = None, split: str = "test") -> list[Prompt]:
    """Distinct prompts of a split, in order of name; a name is a hash, so a limit draws by lot.

    Raises:
        DataError: there is none.
    """
    return dataset.once(f"prompts {split}", lambda: _prompts(dataset, split))[:limit]


def _prompts(dataset: Dataset, split: str) -> list[Prompt]:
    table = dataset.split("unpaired", split)
    never = dataset.never_train
    prompts: dict[str, Prompt] = {}
    if not table.is_empty():
        columns = (table[name].to_list() for name in ("prompt", "source", "thread", "benign"))
        for prompt, source, thread, benign in zip(*columns, strict=True):
            if any(fnmatchcase(source, pattern) for pattern in never):
                continue
            name = digest(canonical(prompt))
            earlier = prompts.get(name)
            prompts[name] = Prompt(
                name, prompt, earlier.cluster if earlier else thread or name, bool(benign) and (not earlier or earlier.benign)
            )
    if not prompts:
        raise DataError(f"{dataset.folder}/unpaired/{split}: found no prompt to ask", hint="build from more input")
    return [prompt for _, prompt in sorted(prompts.items())]
