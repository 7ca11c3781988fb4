"""Models as files: folders on this machine or on the Hub, and the hash of what decides what they put out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curate.core.errors import RecipeError, StorageError
from curate.core.schema import digest
from curate.core.store import sha256

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")  # what decides a model's output; a README does not


def fetch(name: str, revision: str | None = None, what: str = "encoder", files: Sequence[str] = MODEL_FILES) -> Path:
    """The folder of a model on the Hub, from the local Hub cache or the network.

    Args:
        name: Hub id, "owner/name".
        revision: commit, tag or branch; None takes the newest.
        what: what to call it in an error.
        files: patterns of the files that are needed.

    Raises:
        RecipeError: not a Hub id, or the Hub did not give it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    patterns = [*files, "*/*.json", "*/*.safetensors"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise RecipeError(f"{what} {name}: no such folder, and not a Hub id", hint="check the path") from None
    except Exception as error:  # every way a download fails: offline, gated, unknown
        kind = type(error).__name__
        cure = "try builtin:minilm" if what == "encoder" else "name a local folder"
        raise RecipeError(f"{what} {name}: no such folder, and the Hub did not give it ({kind})", hint=f"{cure}") from None


def folder_hash(folder: Path) -> str:
    """Hash of the files that decide what a model puts out.

    Raises:
        StorageError: no safetensors file among them.
    """
    files = sorted({path for pattern in MODEL_FILES for path in folder.rglob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise StorageError(f"{folder}: no .safetensors file", hint="save the model with save_pretrained() in a current version")
    return digest(*(text for path in files for text in (path.relative_to(folder).as_posix(), sha256(path))), size=32)
