"""Models on the Hub, as folders on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curate.core.errors import RecipeError
from curate.core.store import MODEL_FILES


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
        raise RecipeError(f"{what} {name}: no such folder, and the Hub did not give it ({kind})", hint=cure) from None
