"""A dataset folder that `curate build` made, as the rows that a phase trains on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from align.data.rows import Rows
from curate.core.errors import DataError, StorageError
from curate.core.manifest import MANIFEST, Manifest, read_manifest
from curate.core.schema import canonical, digest
from curate.core.store import read_parquet, sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

OUTPUTS = {"desirable": "sft", "unpaired": "unpaired", "paired": "paired"}
"""What an objective needs -> the output that has it."""

REMAKE = "build it again with `curate build`"


@dataclass(frozen=True)
class Dataset:
    """A dataset folder whose files were found as its manifest says.

    Attributes:
        folder: where it lies.
        manifest: as `curate build` wrote it.
        fingerprint: hash of every file's name and sha256.
    """

    folder: Path
    manifest: Manifest
    fingerprint: str
    _tables: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    _derived: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` derives from these files, made once for as long as the dataset is open."""
        if name not in self._derived:
            self._derived[name] = make()
        value: T = self._derived[name]
        return value

    def split(self, output: str, split: str) -> pl.DataFrame:
        """Rows of one output ("unpaired", "sft", "paired") and split; no rows where the folder has none."""
        return self._read(f"{output}/{split}-")

    def corpus(self, columns: list[str] | None = None) -> pl.DataFrame:
        """Every row of the build, kept or dropped, or some columns of it."""
        rows = self._read("corpus/")
        missing = [column for column in columns or () if column not in rows.columns]
        if missing:
            raise DataError(f"{self.folder}/corpus: found no column {missing[0]!r}", hint=f"{REMAKE}")
        return rows if columns is None else rows.select(columns)

    @property
    def never_train(self) -> tuple[str, ...]:
        """Patterns of sources that no training row may come from."""
        return self.manifest.never_train

    def _read(self, prefix: str) -> pl.DataFrame:
        if prefix not in self._tables:
            frames = [read_parquet(self.folder / name) for name in self.manifest.tables(prefix)]
            self._tables[prefix] = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
        return self._tables[prefix]


def open_dataset(folder: Path) -> Dataset:
    """Open a dataset folder; every file is there, whole, and says the same about what is toxic.

    Raises:
        DataError: no such folder, no manifest, a file that is missing or changed, a test split without rows, or labels that
            contradict the corpus.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: found no such folder", hint=f"make it with `curate build --source RAW --out {folder}`, or set data to one"
        )
    try:
        manifest = read_manifest(folder)
    except DataError:
        raise DataError(
            f"{folder}: found no {MANIFEST}, so no finished build", hint="pass a folder that `curate build` made"
        ) from None
    except StorageError as error:
        raise DataError(f"{error.problem}: it is not as `curate build` writes it", hint=REMAKE) from None
    files = {name: entry.sha256 for name, entry in manifest.files.items()}
    if manifest.form == "standard":
        raise DataError(
            f"{folder}: is in the standard form, this reads messages", hint="build it with `dataset.form: conversational`"
        )
    for name, expected in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{folder}/{MANIFEST}: names a file outside its folder", hint=f"{REMAKE}")
        if not path.is_file():
            raise DataError(f"{path}: is missing, the manifest lists it", hint=f"{REMAKE}")
        if sha256(path) != expected:
            raise DataError(f"{path}: its sha256 is not the manifest's, so it was changed or damaged", hint=f"{REMAKE}")
    dataset = Dataset(folder, manifest, digest(canonical(files)))
    _check_labels(dataset)
    return dataset


def training_rows(dataset: Dataset, needs: frozenset[str]) -> int:
    """How many rows of train there are for an objective; each side of a pair is one."""
    output = output_for(needs)
    return dataset.split(output, "train").height * (2 if output == "paired" else 1)


def output_for(needs: frozenset[str]) -> str:
    """The output that has what an objective needs."""
    return next(OUTPUTS[need] for need in OUTPUTS if need in needs)


def check_prompts(dataset: Dataset) -> None:
    """Refuse a dataset of which nothing can be asked: every row stands under the one prompt that rows without any are given.

    Raises:
        DataError: no row has a prompt of its own.
    """
    template = [{"role": "user", "content": dataset.manifest.dataset_options.get("prompt_template")}]
    tables = [dataset.split("unpaired", split) for split in ("train", "validation", "test")]
    prompts = [prompt for table in tables if not table.is_empty() for prompt in table["prompt"].to_list()]
    if prompts and all(prompt == template for prompt in prompts):
        raise DataError(
            f"{dataset.folder}: no row has a prompt of its own, so nothing can be asked of a model (`heldout`)",
            hint="build it with a source in which texts answer something (threads, chats, prompts with replies), or name suites "
            "with prompts of their own, as `--set eval.suites=[toxigen]`",
        )


def phase_rows(dataset: Dataset, needs: frozenset[str], tokenizer: PreTrainedTokenizerBase, split: str = "train") -> Rows:
    """What an objective trains on, tokenised.

    Args:
        dataset: an open dataset.
        needs: what the objective needs, see `align.objectives.Objective`.
        tokenizer: its chat template renders every row.
        split: which split.

    Raises:
        DataError: no row, only one class where both are needed, or a chat template under which a prompt is no prefix.
    """
    output = output_for(needs)
    table = dataset.split(output, split)
    where = f"{dataset.folder}/{output}/{split}"
    if table.is_empty():
        cure = (
            "a recipe whose phases need no pairs, or more toxic and mild replies to one prompt"
            if output == "paired"
            else "more input"
        )
        raise DataError(f"{where}: found no row", hint=f"build the dataset from {cure}")
    if output == "paired":
        return _paired(table, tokenizer, _verdicts(dataset) if "safety" in needs else None)
    desirable = table["label"].to_list() if output == "unpaired" else [True] * table.height
    if output == "unpaired" and len(set(desirable)) < 2:
        side = "desirable" if desirable[0] else "undesirable"
        raise DataError(f"{where}: found only {side} rows", hint="this objective needs both, build from input that has both")
    prompts, completions = tokens(table["prompt"].to_list(), table["completion"].to_list(), tokenizer)
    ids = table["id"].to_list()
    pair = _links(dataset, split, ids, prompts) if output == "unpaired" else [-1] * len(ids)
    return Rows(prompts, completions, desirable, pair, ids)


def _links(dataset: Dataset, split: str, ids: list[str], prompts: list[list[int]]) -> list[int]:
    """For each unpaired row the other side of its pair, -1 where it has none; of several pairs the first counts."""
    pair, place = [-1] * len(ids), {name: at for at, name in enumerate(ids)}
    paired = dataset.split("paired", split)
    if paired.is_empty():
        return pair
    for chosen, rejected in paired.select("chosen_id", "rejected_id").iter_rows():
        a, b = place.get(chosen, -1), place.get(rejected, -1)
        if -1 not in (a, b) and pair[a] == pair[b] == -1 and prompts[a] == prompts[b]:
            pair[a], pair[b] = b, a
    return pair


def tokens(
    prompts: list[list[dict[str, str]]], completions: list[list[dict[str, str]]], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompts, up to where the completion starts, and of completions, their end of turn included.

    Raises:
        DataError: the chat template or the tokenizer changes a prompt when a completion follows it.
    """
    whole = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
    before = render(prompts, tokenizer, generation=True)
    after = render(whole, tokenizer, generation=False)
    heads = _encode(before, tokenizer)
    rows = _encode(after, tokenizer)
    end = tokenizer.eos_token_id
    for head, row in zip(heads, rows, strict=True):
        if row[: len(head)] != head:
            raise DataError(
                (
                    f"{tokenizer.name_or_path or 'tokenizer'}: its chat template does not render a prompt as the "
                    "beginning of prompt and completion, so no one can say which tokens to score"
                ),
                hint="use a model whose template does",
            )
    tails = [row[len(head) :] for head, row in zip(heads, rows, strict=True)]
    return heads, [_until_last(tail, end) for tail in tails]


def render(dialogues: list[list[dict[str, str]]], tokenizer: PreTrainedTokenizerBase, *, generation: bool) -> list[str]:
    """Dialogues as the chat template writes them; with `generation`, up to where the assistant starts to speak."""
    texts = tokenizer.apply_chat_template(dialogues, tokenize=False, add_generation_prompt=generation) if dialogues else []
    return [str(text) for text in texts]


def prompt_tokens(prompts: list[list[dict[str, str]]], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of prompts, up to where the completion starts."""
    return _encode(render(prompts, tokenizer, generation=True), tokenizer)


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids; the chat template has written the special tokens already."""
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []


def _until_last(tail: list[int], end: int | None) -> list[int]:
    """A completion without what a template writes after its end of turn (often a line break), which nobody samples."""
    if end is None or end not in tail:
        return tail
    return tail[: len(tail) - tail[::-1].index(end)]


def _paired(table: pl.DataFrame, tokenizer: PreTrainedTokenizerBase, toxic: dict[str, bool | None] | None) -> Rows:
    """Rows 2i and 2i + 1 are the chosen and the rejected side of pair i; with the corpus' verdicts, they say which are unsafe."""
    pairs = table.select("prompt", "chosen", "rejected", "chosen_id", "rejected_id").rows()
    prompts = [prompt for prompt, *_ in pairs for _ in range(2)]
    sides = [side for _, chosen, rejected, *_ in pairs for side in (chosen, rejected)]
    ids = [name for *_, chosen, rejected in pairs for name in (chosen, rejected)]
    heads, tails = tokens(prompts, sides, tokenizer)
    count = 2 * len(pairs)
    unsafe = None if toxic is None else [toxic[name] is True for name in ids]
    return Rows(heads, tails, [at % 2 == 0 for at in range(count)], [at ^ 1 for at in range(count)], ids, unsafe)


def _verdicts(dataset: Dataset) -> dict[str, bool | None]:
    """What the corpus says of each row: toxic, not, or undecided."""
    verdicts = dataset.corpus(["id", "toxic"])
    return dict(zip(verdicts["id"].to_list(), verdicts["toxic"].to_list(), strict=True))


def _check_labels(dataset: Dataset) -> None:
    """No set is read with inverted labels: what is desirable is not toxic in the corpus, in every output and split."""
    toxic = _verdicts(dataset)
    counts: Counter[str] = Counter()
    for split in ("train", "validation", "test"):
        for output, claims in _claims(dataset, split).items():
            wrong = sum(toxic.get(name) is not (not desirable) for name, desirable in claims)
            if wrong:
                raise DataError(
                    (
                        f"{dataset.folder}/{output}/{split}: {wrong:,} of {len(claims):,} labels contradict the corpus "
                        "(desirable must be non_toxic)"
                    ),
                    hint=REMAKE,
                )
            counts[split] += len(claims)
    for split in ("train", "test"):
        if not counts[split]:
            raise DataError(
                f"{dataset.folder}: its {split} split is empty",
                hint="build it from more input" + (" or change dataset.splits.test" if split == "test" else ""),
            )


def _claims(dataset: Dataset, split: str) -> dict[str, list[tuple[str, bool]]]:
    claims: dict[str, list[tuple[str, bool]]] = {}
    unpaired, sft, paired = (dataset.split(output, split) for output in ("unpaired", "sft", "paired"))
    if not unpaired.is_empty():
        claims["unpaired"] = list(zip(unpaired["id"].to_list(), unpaired["label"].to_list(), strict=True))
    if not sft.is_empty():
        claims["sft"] = [(name, True) for name in sft["id"].to_list()]
    if not paired.is_empty():
        claims["paired"] = [(name, True) for name in paired["chosen_id"].to_list()]
        judged = paired.filter(pl.col("relation") == "toxicity") if "relation" in paired.columns else paired
        claims["paired"] += [(name, False) for name in judged["rejected_id"].to_list()]  # "preferred" says only: the lesser one
    return claims
