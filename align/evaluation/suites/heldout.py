"""How toxic are sampled completions of prompts that training never saw?"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from align.evaluation.asking import Prompt, ask
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import canonical, digest

if TYPE_CHECKING:
    from align.data.dataset import Dataset


@config
class Heldout:
    """Sample completions for every distinct prompt of the dataset's test split, and judge them.

    Sources that may never be trained on are left out: `retention` is about those. A prompt is benign where nobody gave it a
    toxic reply.

    Args:
        max_prompts: at most this many prompts, the same ones for every run on these data; none takes all.
    """

    max_prompts: Annotated[int, Field(ge=1)] | None = None
    VERSION: ClassVar[int] = 4

    def __call__(self, subject: Subject) -> Measured:
        """Figures: see `align.evaluation.asking.tally`.

        Raises:
            DataError: the split has no prompt to ask.
        """
        values, items = ask(subject, "heldout", heldout_prompts(subject.dataset, self.max_prompts, subject.split))
        return Measured(values, items)


def heldout_prompts(dataset: Dataset, limit: int | None = None, split: str = "test") -> list[Prompt]:
    """Distinct prompts of a split, in order of name; a name is a hash, so a limit draws by lot.

    Raises:
        DataError: there is none.
    """
    return dataset.once(f"prompts {split}", lambda: _prompts(dataset, split))[:limit]


def _prompts(dataset: Dataset, split: str) -> list[Prompt]:
    table = dataset.split("unpaired", split)
    never = dataset.never_train
    found: dict[str, Prompt] = {}
    if not table.is_empty():
        columns = (table[name].to_list() for name in ("prompt", "source", "thread", "benign"))
        for prompt, source, thread, benign in zip(*columns, strict=True):
            if any(fnmatchcase(source, pattern) for pattern in never):
                continue
            name = digest(canonical(prompt))
            earlier = found.get(name)
            found[name] = Prompt(
                name, prompt, earlier.cluster if earlier else thread or name, bool(benign) and (not earlier or earlier.benign)
            )
    if not found:
        raise DataError(f"{dataset.folder}/unpaired/{split}: found no prompt to ask", hint="build from more input")
    return [prompt for _, prompt in sorted(found.items())]
