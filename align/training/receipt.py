"""What a finished phase leaves: its weights, and a receipt that says whose they are and that they are whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from align.training.checkpoints import prune
from curate.core.errors import StorageError
from curate.core.store import sha256, write_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

WEIGHTS, DONE = "model.safetensors", "done.json"


def key_of(*parts: object) -> str:
    """Name a phase's work by all that decides it: values as JSON has them."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def finished(out: Path, key: str) -> dict[str, float] | None:
    """The metrics of a finished phase whose weights are what its receipt says; None where there is none.

    Raises:
        StorageError: the folder holds other work.
    """
    try:
        receipt = json.loads((out / DONE).read_bytes())
        if receipt["key"] != key:
            raise StorageError(
                f"{out}: holds another phase's work (other rows, options or seed); pass an empty folder or delete it"
            )
        return dict(receipt["metrics"]) if receipt["sha256"] == sha256(out / WEIGHTS) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_weights(model: PreTrainedModel, out: Path) -> None:
    """Put a finished phase's weights into the model."""
    from safetensors.torch import load_model

    load_model(model, out / WEIGHTS, device=str(next(model.parameters()).device))


def finish(
    model: PreTrainedModel, out: Path, key: str, metrics: dict[str, float], state: dict[str, Tensor] | None = None
) -> None:
    """Weights, then the receipt, then the checkpoints go; `state` in place of the weights of a model that is sharded."""
    model.save_pretrained(out, state_dict=state, max_shard_size="1TB")
    write_json(out / DONE, {"key": key, "sha256": sha256(out / WEIGHTS), "metrics": metrics})
    prune(out, keep=0)
