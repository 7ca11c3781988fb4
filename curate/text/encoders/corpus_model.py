"""The static models of a work folder: distilled there when a recipe says `encoder: static`, named after what they came of."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

from curate.core.errors import RecipeError, StorageError
from curate.core.schema import digest
from curate.core.store import folder_hash
from curate.text.encoders.distil import VERSION, distil
from curate.text.encoders.named import Encoder, encoder
from curate.text.encoders.static import load_static

STATIC = "static"  # the recipe's word; "static@HASH" is a model that a work folder keeps
RECEIPT = ".sha256"  # beside a model's folder: what it should hold

_home: ContextVar[Path | None] = ContextVar("static", default=None)


@contextlib.contextmanager
def static_models(folder: Path) -> Iterator[None]:
    """Within this block, static models are kept under a folder: private, because it is made of texts."""
    before = _home.set(folder)
    try:
        yield
    finally:
        _home.reset(before)


def is_corpus_model(name: str) -> bool:
    """Whether a recipe's word for an encoder means a model of the work folder."""
    return name == STATIC or name.startswith(f"{STATIC}@")


def corpus_encoder(name: str, teacher: str) -> Encoder:
    """The static model of a work folder by its name; its width is known before it is there."""
    return Encoder(name, lambda: folder_hash(_folder(name)), lambda: load_static(_folder(name)), encoder(teacher).dim)


def distil_corpus(teacher: str, texts: Sequence[str]) -> str:
    """Distil a static model, or believe the one that the same texts gave earlier; others are deleted.

    Args:
        teacher: an encoder's name.
        texts: a sample of the corpus.

    Returns:
        Its name, "static@HASH".

    Raises:
        UserError: the teacher's files are missing, changed or unreadable, or the disk fails.
    """
    source = encoder(teacher)
    name = f"{STATIC}@{digest('static', VERSION, source.hash, *sorted(set(texts)), size=8)}"
    folder = _folder(name)
    receipt = folder.with_suffix(RECEIPT)
    if not _believed(folder, receipt):
        shutil.rmtree(folder, ignore_errors=True)
        distil(source, texts, folder)
        receipt.write_text(folder_hash(folder), "utf-8")
    for path in sorted(folder.parent.iterdir()):
        if path not in {folder, receipt}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return name


def _believed(folder: Path, receipt: Path) -> bool:
    try:
        return folder_hash(folder) == receipt.read_text("utf-8")
    except (OSError, StorageError):
        return False


def _folder(name: str) -> Path:
    home = _home.get()
    key = name.removeprefix(STATIC).removeprefix("@")
    if home is None or not key:
        raise RecipeError(f"encoder {name}: a build distils it of its own texts", hint="without one, name the model's folder")
    return home / key
