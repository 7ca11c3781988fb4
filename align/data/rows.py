"""The tokens that a phase trains on: prompts, completions and their labels, as plain lists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from curate.core.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Tokenised rows, one entry per row in every list.

    Attributes:
        prompts: token ids up to and including whatever the chat template puts before the completion; at least one token
            (the first completion token needs something to be predicted from).
        completions: token ids of the completion, its end-of-turn token included; at least one token.
        desirable: true where the policy should become likelier to say this (a non-toxic completion), false where less.
        pair: index of the other side of the row's pair, -1 where it has none. A pair is one chosen row (desirable) and one
            rejected row (not desirable) that name each other; a completion that is chosen over two others is two rows.
        ids: the rows' identities in the data they came from; they name rows in errors and may repeat.
        unsafe: true where a completion is unsafe, for the objectives that ask (`safety`); None where it is not known.

    Raises:
        DataError: lists of unequal length, an empty prompt or completion, or a `pair` that is not mutual or not chosen/rejected.
    """

    prompts: list[list[int]]
    completions: list[list[int]]
    desirable: list[bool]
    pair: list[int]
    ids: list[str]
    unsafe: list[bool] | None = None

    def __post_init__(self) -> None:
        """Check what every later step relies on."""
        counts = {len(self.prompts), len(self.completions), len(self.desirable), len(self.pair), len(self.ids)}
        if self.unsafe is not None:
            counts.add(len(self.unsafe))
        if len(counts) > 1:
            raise DataError(f"rows: found lists of {sorted(counts)} entries", hint="give one entry per row in each")
        for index, partner in enumerate(self.pair):
            if not self.prompts[index] or not self.completions[index]:
                side = "completion" if self.prompts[index] else "prompt"
                raise DataError(
                    f"row {self.ids[index]}: its {side} has no tokens", hint="leave the row out or start it with a BOS token"
                )
            if partner == -1:
                continue
            if (
                not 0 <= partner < len(self.pair)
                or self.pair[partner] != index
                or self.desirable[partner] == self.desirable[index]
            ):
                raise DataError(
                    f"row {self.ids[index]}: pair must join one chosen and one rejected row that name each other",
                    hint="give -1 to a row without a partner",
                )

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each row, prompt and completion together."""
        return [len(prompt) + len(completion) for prompt, completion in zip(self.prompts, self.completions, strict=True)]

    @cached_property
    def prompt_keys(self) -> list[int]:
        """A number per distinct prompt: rows with the same prompt tokens share it."""
        return _keys(self.prompts)

    @cached_property
    def completion_keys(self) -> list[int]:
        """A number per distinct completion: rows with the same completion tokens share it."""
        return _keys(self.completions)

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 over everything that training reads (ids are left out: renaming a row changes no result)."""
        digest = hashlib.sha256()
        for row in zip(self.prompts, self.completions, self.desirable, self.pair, strict=True):
            digest.update(repr(row).encode())
        if self.unsafe is not None:
            digest.update(repr(self.unsafe).encode())
        return digest.hexdigest()


def _keys(texts: list[list[int]]) -> list[int]:
    numbers: dict[tuple[int, ...], int] = {}
    return [numbers.setdefault(tuple(text), len(numbers)) for text in texts]
