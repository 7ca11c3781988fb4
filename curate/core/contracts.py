"""What a stage, a labeler and a pairer promise; the pipeline checks it at run time.

A *row stage* is called with the kept rows of one part. A *corpus stage* is three pure calls over all parts; only keys, payloads
and scores cross parts, and no text but what a payload cannot do without. A labeler is a row stage that writes `score_<name>`
(Float32 in [0, 1], null where it abstains) and `score_<name>_<category>` for each category of the policy that it tells apart;
one that judges text alone is also a `TextLabeler`. Two methods more are looked for: `scores`, shape (n, 1 + categories), where
it tells `categories` apart, and `score_replies(texts, prompts)`, shape (n,), where it can judge a text by what it answers.

All of them may be a user's own: `own_module` loads the file that a recipe names, `check_own` says what its class lacks.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Protocol

import polars as pl

from curate.core.errors import RecipeError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Schema = dict[str, pl.DataType | type[pl.DataType]]


class RowStage(Protocol):
    """Maps kept rows of one part to new columns, and drops some.

    `reads` names the columns it wants, `writes` those it makes (or replaces). The call returns one line per row, same
    order, with the columns of `writes`, and, where the stage may drop, `reason` (null: kept) and `score`. The result for a
    row must not depend on which other rows are in the part.
    """

    VERSION: ClassVar[int]

    @property
    def reads(self) -> tuple[str, ...]: ...

    @property
    def writes(self) -> Schema: ...

    @property
    def models(self) -> tuple[str, ...]:
        """Hashes of the weights and tables it decides by; part of the stage's key."""
        ...

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Keys:
    """What a corpus stage takes from one part: numbers, or normalised text where that is the smaller.

    Attributes:
        buckets: `row` (UInt32, position in the part) and `bucket` (UInt64); a row may stand in any number of buckets.
        payload: one line per row, in order: what `edges` compares rows by.
    """

    buckets: pl.DataFrame
    payload: pl.DataFrame


class CorpusStage(Protocol):
    """Compares rows across parts.

    `edges` gets any number of *whole* buckets at once (its answer must not depend on how they are grouped) and the
    payload that `buckets.row` points into, with `rank` and `toxic` of each row, which a stage may need to leave out pairs that
    decide nothing; it returns `a`, `b` (UInt32 rows, a < b, each pair once) and `score` (Float32).
    `decide` gets all edges and one line per row: `id`, `rank` (visiting order: evidence, votes, then id; 0 first), `toxic`
    (Boolean, null when unknown), the label that came with it: `kind` (place in EVIDENCE; its length without a label), `given`,
    `votes`; and the `score_*` columns among `reads`. It returns one line per row, same order: `reason` (null: kept), `score`,
    `twin` (UInt32 row, null when kept) and the columns of `writes`.
    """

    VERSION: ClassVar[int]

    @property
    def reads(self) -> tuple[str, ...]: ...

    @property
    def writes(self) -> Schema: ...

    @property
    def models(self) -> tuple[str, ...]: ...

    def keys(self, rows: pl.DataFrame) -> Keys: ...

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame: ...

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame: ...


class TextLabeler(Protocol):
    """Scores texts by themselves.

    `score` returns the probability of toxicity of each text, shape (n,), float32 in [0, 1], NaN where it abstains; it does
    not depend on batch or order. `threshold` is where its score starts to mean toxic. `models` and `trained_on` say what it
    is made of, so that a judge can be told apart from the labeler that built the data.
    """

    @property
    def threshold(self) -> float: ...

    @property
    def models(self) -> tuple[str, ...]: ...

    @property
    def trained_on(self) -> tuple[str, ...]: ...

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


OWN = re.compile(r"[\w./\\-]+:[A-Za-z_]\w*")  # how a recipe names a user's own class: `module:Class` or `./file.py:Class`


class OwnName(str):
    """The name of a user's own class, and beside which recipe it was written."""

    folder = Path()


_MODULES: dict[tuple[str, Path, str], ModuleType] = {}  # by name, file and hash: an edited file is loaded again


def placed(tree: object, folder: Path) -> object:
    """The tree, in which names of files that lie beside the recipe know so."""
    if isinstance(tree, dict):
        return {placed(key, folder): placed(value, folder) for key, value in tree.items()}
    if isinstance(tree, list):
        return [placed(value, folder) for value in tree]
    if not isinstance(tree, str) or not OWN.fullmatch(tree) or not (folder / _file_of(tree)).is_file():
        return tree
    name = OwnName(tree)
    name.folder = folder
    return name


def _file_of(name: str) -> Path:
    module = name.rpartition(":")[0]
    return Path(module) if module.endswith(".py") else Path(*module.split(".")).with_suffix(".py")


def own_module(name: str, where: str) -> tuple[ModuleType, str]:
    """The module of a user's own class, and the hash of its file."""
    file = _file_of(name)
    path = next((path for folder in (getattr(name, "folder", Path()), Path()) if (path := folder / file).is_file()), None)
    module = name.rpartition(":")[0]
    if path is None and (module.endswith(".py") or not _installed(module)):
        raise RecipeError(
            f"{where}: found no {file} beside the recipe or in the working folder, and no installed module",
            hint=f"lay {file} there, or run this in the folder where it lies",
        )
    try:
        code = importlib.import_module(module) if path is None else _loaded(str(name), path)
        return code, _hash(Path(code.__file__ or path or "").read_bytes())
    except (Exception, SystemExit) as error:  # whatever a user's file raises: its own line is what helps
        raise RecipeError(f"{where}: {type(error).__name__}: {error}{_line(error, file)}", hint=f"mend {file}") from error


ABOUT_CODE = (AttributeError, NameError, TypeError, RuntimeError, pl.exceptions.ColumnNotFoundError)
"""Errors whose messages speak of code and shapes; any other may quote a row's text, which no error shows."""


@contextmanager
def own_code(name: str | None) -> Iterator[None]:
    """While a user's own class works: what it raises becomes an error that names its line; what ships keeps its traceback.

    Args:
        name: its word in the recipe; anything but `module:Class` is not a user's own.

    Raises:
        RecipeError: the class raised something that is no `UserError`.

    Example:
        >>> with own_code("mine:Stage"):
        ...     len(3)
        Traceback (most recent call last):
        curate.core.errors.RecipeError: mine:Stage: TypeError: object of type 'int' has no len(); mend mine.py
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if name is None or not OWN.fullmatch(name) or "out of memory" in str(error):  # less memory is the trainer's to find
            raise
        file = _file_of(name)
        message = f": {str(error).partition(chr(10))[0]}" if isinstance(error, ABOUT_CODE) else ""
        raise RecipeError(f"{name}: {type(error).__name__}{message}{_line(error, file)}", hint=f"mend {file}") from error


def _line(error: BaseException, file: Path) -> str:
    """The last line of a user's file that an error came by."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).parts[-len(file.parts) :] == file.parts]
    return f" (line {lines[-1]})" if lines else ""


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _loaded(name: str, path: Path) -> ModuleType:
    data = path.read_bytes()
    key = (name, path.resolve(), _hash(data))
    if key not in _MODULES:
        code = ModuleType(f"_own_{path.stem}_{key[2]}_{len(_MODULES)}")
        code.__file__ = str(path)
        sys.modules[code.__name__] = code  # dataclasses look the module up there
        exec(compile(data, str(path), "exec"), vars(code))
        _MODULES[key] = code
    return _MODULES[key]


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data.replace(b"\r\n", b"\n"), digest_size=8).hexdigest()


ROWS, CORPUS = ("__call__",), ("keys", "edges", "decide")
"""What a stage does: one call, or three."""

SEAMS: dict[str, tuple[str, ...]] = {
    "stage": ("reads", "writes"),
    "labeler": ("score", "threshold"),
    "pairer": ("reads", "pair"),
    "objective": ("needs", "reads", "per", "__call__"),
    "suite": ("__call__",),
}
"""Kinds of parts that may be a user's own -> what such a class must have."""

USUAL: dict[str, object] = {"VERSION": 1, "models": (), "trained_on": ()}
"""What a user's class gets where it does not say: the hash of its file stands for its version."""


def check_own(cls: type, kind: str, where: str) -> None:
    """Check that a user's class has what its place asks for, and add what is usual.

    Args:
        cls: the class.
        kind: a key of `SEAMS`.
        where: what to call it in an error.

    Raises:
        RecipeError: it is no frozen dataclass, or lacks something.
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise RecipeError(f"{where}: is not a frozen dataclass", hint="put @dataclass(frozen=True) above the class")
    has = {*dir(cls), *(field.name for field in fields(cls))}
    calls = () if kind != "stage" else CORPUS if has & set(CORPUS) else ROWS
    wanted = (*SEAMS[kind], *calls)
    for word in wanted:
        if word not in has:
            raise RecipeError(f"{where}: has no {word}", hint=f"a {kind} has {', '.join(wanted)}; docs/extending.md shows one")
    if isinstance(reads := getattr(cls, "reads", ()), str):
        raise RecipeError(f"{where}: reads is one text, {reads!r}", hint=f"write a tuple: ({reads!r},)")
    for word, value in USUAL.items():
        if word not in has:
            setattr(cls, word, value)
