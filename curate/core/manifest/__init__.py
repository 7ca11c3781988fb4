"""What `manifest.json` says of a dataset folder, as types, and the one place where it is read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from curate.core.config import file_word, plain
from curate.core.errors import DataError, StorageError
from curate.core.manifest.counts import DatasetCounts, Tally
from curate.core.schema import canonical, digest

MANIFEST = "manifest.json"
FORMAT = 2  # of the dataset folder; moves when a reader of an older one would misread it, or miss something
COMPOSE = "compose"
"""What the manifest and the corpus call the step after the last stage, which makes the outputs."""

Json = dict[str, Any]
Cell = str | int | float


@dataclass(frozen=True)
class FileEntry:
    """A file of the folder.

    Attributes:
        sha256: of its bytes.
        bytes: how many there are.
        rows: how many it holds; None for a file that is no table.
    """

    sha256: str
    bytes: int = 0
    rows: int | None = None


@dataclass(frozen=True)
class Records:
    """Records of all sources: read = mined + skipped + quarantined; the mined ones gave the rows."""

    read: int = 0
    mined: int = 0
    skipped: Tally = field(default_factory=dict)
    quarantined: int = 0
    rows: int = 0


@dataclass(frozen=True)
class SourceEntry:
    """A source file, as `raw.receipts.FileReport` has it."""

    source: str
    sha256: str
    format: str | None = None
    container: str = "plain"
    encoding: str = "utf-8"
    records: int = 0
    mined: int = 0
    rows: int = 0
    labelled: int = 0
    skipped: Tally = field(default_factory=dict)
    quarantined: Tally = field(default_factory=dict)
    roles: Json = field(default_factory=dict)


@dataclass(frozen=True)
class StageEntry:
    """What a stage did: rows_in = kept + the sum of dropped, by reason; `key` is the hash of all that decides."""

    stage: str
    rows_in: int
    kept: int
    dropped: Tally
    key: str = ""


@dataclass(frozen=True)
class Obligations:
    """What the licences of the sources ask, and what of it cannot be met at once."""

    duties: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FigureData:
    """The numbers of one figure."""

    header: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Manifest:
    """What a build says of the folder that it made.

    Attributes:
        format: of the dataset folder.
        name: what the dataset is called.
        inputs: hash of all that decides the outputs: sources, recipe, versions.
        recipe: the recipe as plain values, every default written out.
        policy: hash of the policy, which says what counts as toxic.
        versions: package -> version.
        records: of all sources.
        sources: each source file.
        left_aside: `name` and `reason` of each file that was not read.
        stages: in order.
        models: stage -> hashes of its models.
        dataset: what composing made.
        warnings: one line each.
        licences: licence -> rows; "" where none is stated.
        obligations: what the licences ask.
        figures: name -> numbers.
        files: path within the folder -> entry, in order of path.
        fingerprint: hash of all of the above.
    """

    format: int = 0
    name: str = "dataset"
    inputs: str = ""
    recipe: Json = field(default_factory=dict)
    policy: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    records: Records = Records()
    sources: tuple[SourceEntry, ...] = ()
    left_aside: tuple[dict[str, str], ...] = ()
    stages: tuple[StageEntry, ...] = ()
    models: dict[str, list[str]] = field(default_factory=dict)
    dataset: DatasetCounts = DatasetCounts()
    warnings: list[str] = field(default_factory=list)
    licences: Tally = field(default_factory=dict)
    obligations: Obligations = Obligations()
    figures: dict[str, FigureData] = field(default_factory=dict)
    files: dict[str, FileEntry] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def steps(self) -> tuple[StageEntry, ...]:
        """The stages in order, and composing as the last."""
        counts = self.dataset
        return (*self.stages, StageEntry(COMPOSE, counts.rows_in, counts.kept, counts.dropped))

    @property
    def stage_options(self) -> dict[str, Json]:
        """Stage -> its options, in the recipe's order."""
        entries = (entry if isinstance(entry, Mapping) else {entry: {}} for entry in self.recipe.get("stages", ()))
        return {str(word): options or {} for entry in entries for word, options in entry.items()}

    @property
    def dataset_options(self) -> Json:
        """The recipe's section `dataset`."""
        return cast("Json", self.recipe.get("dataset", {}))

    @property
    def form(self) -> Literal["conversational", "standard"]:
        """Whether the outputs hold messages or plain texts."""
        return "standard" if self.dataset_options.get("form") == "standard" else "conversational"

    @property
    def never_train(self) -> tuple[str, ...]:
        """Patterns of sources that no training row may come from."""
        return tuple(self.dataset_options.get("splits", {}).get("never_train", ("held_out/*",)))

    @property
    def similarities(self) -> dict[str, str]:
        """Stage -> path of the likenesses that it stored."""
        paths = {one.stage: f"similarity/{file_word(one.stage)}.parquet" for one in self.stages}
        return {stage: path for stage, path in sorted(paths.items()) if path in self.files}

    def tables(self, stem: str) -> list[str]:
        """Paths of the Parquet files that begin so ("corpus/", "paired/test-"), in order."""
        return sorted(path for path in self.files if path.startswith(stem) and path.endswith(".parquet"))

    def sealed(self) -> Manifest:
        """The same with the fingerprint of what it says."""
        return replace(self, fingerprint=_fingerprint(self.to_json()))

    def to_json(self) -> Json:
        """What the file holds."""
        tree = cast("Json", plain(self))
        bias = tree["dataset"]["bias"]
        bias["unpaired"] = bias["unpaired"] or {}
        return tree


def from_json(tree: object) -> Manifest:
    """The manifest of what a file holds; what an older build did not say yet is empty.

    Raises:
        ValueError: a value that no build writes, with its place.
    """
    try:
        manifest = _adapter().validate_python(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"{place}: {first['msg'].lower()}" if place else first["msg"].lower()) from None
    for step in (("stages",), ("dataset",), ("dataset", "splits"), ("dataset", "contamination")):
        value: Any = manifest.recipe
        for name in step:
            value = value.get(name, [] if name == "stages" else {})
        if not isinstance(value, list if step == ("stages",) else dict):
            raise ValueError(f"recipe.{'.'.join(step)}: is no section of a recipe")
    return manifest


def read_manifest(folder: Path, *, sealed: bool = True) -> Manifest:
    """The manifest of a dataset folder.

    Args:
        folder: the dataset folder.
        sealed: whether its fingerprint has to fit what it says; `curate verify` says so by itself.

    Raises:
        DataError: there is none.
        StorageError: it is not what a build wrote.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder}: found no {MANIFEST}", hint="pass a folder that `curate build` made")
    try:
        tree = json.loads(path.read_bytes())
        if not isinstance(tree, dict) or "files" not in tree:
            raise ValueError("no list of files")
        manifest = from_json(tree)
        if not all(_inside(name) for name in manifest.files):
            raise ValueError("names a file outside its folder")
        if manifest.format > FORMAT:
            raise ValueError(f"format {manifest.format}, a later version's; this one reads up to {FORMAT}")
        if sealed and not is_sealed(tree):
            raise ValueError("its fingerprint does not fit what it says, so it was changed or damaged")
    except (ValueError, RecursionError) as error:
        cause = str(error) if type(error) is ValueError else "not JSON"
        raise StorageError(f"{path}: is not a build's manifest ({cause})", hint="build the folder again") from None
    return manifest


def find_manifest(folder: Path) -> Manifest | None:
    """The manifest of a dataset folder; None where no build's stands."""
    try:
        return read_manifest(folder)
    except (DataError, StorageError, OSError):
        return None


def is_sealed(tree: Mapping[str, object]) -> bool:
    """Whether a manifest, as its file holds it, says to the last key what its fingerprint was made of."""
    return _fingerprint(tree) == tree.get("fingerprint")


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name and name not in (".", MANIFEST)


def _fingerprint(tree: Mapping[str, object]) -> str:
    return digest(canonical({key: value for key, value in tree.items() if key != "fingerprint"}), size=16)


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)
