"""Detoxify's checkpoints: fetched, pinned, read without running anything in them, and asked what they must know."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import RecipeError, StorageError
from curate.core.progress import Progress, quiet
from curate.core.store import sha256
from curate.labelers.scoring import say
from curate.text.batches import by_length

if TYPE_CHECKING:
    from torch import Tensor

INSULT, THANKS = "you are so stupid, you clown", "thank you so much for your kind help"
"""Known answers, mild as they are: every model of toxicity puts the first above the second."""

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.ckpt$")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, by the library's own class.

    Attributes:
        model: `detoxify.Detoxify`.
        labels: its labels, in the library's spelling.
        limit: tokens read of a text.
    """

    model: Any
    labels: tuple[str, ...]
    limit: int

    def probabilities(self, texts: list[str], progress: Progress) -> NDArray[np.float32]:
        """Probability of each label, shape (n, labels), NaN for a blank text; says how many texts were cut off."""
        cut = 0

        def counts(some: list[str]) -> list[int]:
            nonlocal cut
            whole = [len(ids) for ids in self.model.tokenizer(some, verbose=False)["input_ids"]]
            cut = sum(tokens > self.limit for tokens in whole)
            return [min(tokens, self.limit) for tokens in whole]

        probabilities = by_length(texts, counts, self._predict, len(self.labels), float("nan"), progress)
        if cut:
            say(f"detoxify: {cut:,} of {len(texts):,} texts are longer than {self.limit} tokens; only their beginnings were read")
        return probabilities

    def _predict(self, texts: list[str]) -> NDArray[np.float32]:
        by_label = self.model.predict(texts)  # a bare number instead of a list where there is one text only
        return np.stack([np.atleast_1d(np.asarray(by_label[label], np.float32)) for label in self.labels], axis=1)


def published(variant: str) -> tuple[Path, str]:
    """The published checkpoint of a variant, in torch's hub folder, and the beginning of its sha256.

    Raises:
        RecipeError: not there, and GitHub did not give it.
    """
    import torch
    from detoxify.detoxify import MODEL_URLS

    url = str(MODEL_URLS[variant])
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    match = _HASH_IN_NAME.search(path.name)
    if match is None:
        raise RecipeError(
            f"detoxify: {path.name}: no hash in its name", hint="download it and name it as checkpoint, with its sha256"
        )
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=match[1], progress=False)
        except (OSError, RuntimeError) as error:
            what = type(error).__name__
            raise RecipeError(f"detoxify: {url}: could not be fetched ({what})", hint="name a local file as checkpoint") from None
    return path, match[1]


def check_file(path: Path, expected: str) -> str:
    """sha256 of a checkpoint that is what it should be.

    Args:
        path: the file.
        expected: its sha256 or the beginning of it.

    Raises:
        RecipeError: no such file.
        StorageError: other bytes.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise RecipeError(f"detoxify: checkpoint: {path}: cannot be read ({error.strerror})", hint="check the path") from None
    actual = _hash(path, stat.st_size, stat.st_mtime_ns)
    if not actual.startswith(expected):
        raise StorageError(
            f"{path}: sha256 {actual[:12]}… is not {expected[:12]}…; nothing of it was loaded", hint="get the file again"
        )
    return actual


@cache
def _hash(path: Path, size: int, modified: int) -> str:
    return sha256(path)


@cache
def load_checkpoint(path: Path, expected: str, base: Path | None) -> Checkpoint:
    """Load a checkpoint, once.

    The library unpickles whatever it is given and looks up the base model by its Hub name. So the verified file is read here
    first, as tensors and plain values only, and what the library gets is a copy written from these, with a local base in it.

    Args:
        path: the checkpoint.
        expected: its sha256 or the beginning of it.
        base: folder of the base model's configuration and tokenizer, or None for the Hub.

    Raises:
        RecipeError: no base model.
        StorageError: not a Detoxify checkpoint, weights that do not fit the model, or answers that make no sense.
    """
    import torch
    from detoxify import Detoxify

    check_file(path, expected)
    plain = _plain(path)
    if base is not None:
        if not (base / "config.json").is_file():
            raise RecipeError(
                f"detoxify: base: {base}: holds no config.json", hint="save the base model's configuration and tokenizer there"
            )
        plain["config"]["arch"]["args"]["model_type"] = str(base)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        copy = Path(folder) / "checkpoint.ckpt"
        torch.save(plain, copy)
        try:
            model = Detoxify(checkpoint=str(copy))
        except (OSError, AttributeError, TypeError, KeyError) as error:
            where = plain["config"]["arch"]["args"].get("model_type")
            raise RecipeError(
                f"detoxify: base model {where}: cannot be loaded ({type(error).__name__})", hint="name a local base"
            ) from None
        except (RuntimeError, ValueError) as error:
            raise StorageError(
                f"{path}: does not fit its base model ({type(error).__name__})", hint="name the base that it was made from"
            ) from None
    model.model.eval()
    _check_weights(path, model.model.state_dict(), plain["state_dict"])
    limit = min(int(model.tokenizer.model_max_length), int(getattr(model.model.config, "max_position_embeddings", 512)))
    checkpoint = Checkpoint(model, tuple(model.class_names), limit)
    _check_answers(path, checkpoint)
    return checkpoint


def _plain(path: Path) -> dict[str, Any]:
    """Config and weights, read by torch's unpickler that knows tensors and plain values only."""
    import torch

    try:
        tree = torch.load(path, map_location="cpu", weights_only=True)
        return {"config": tree["config"], "state_dict": dict(tree["state_dict"])} if tree["config"]["arch"]["args"] else {}
    except Exception as error:  # every way in which bytes can fail to be a checkpoint, or be more than one
        what = type(error).__name__
        raise StorageError(
            f"{path}: not a Detoxify checkpoint of tensors and plain values ({what}); nothing in it was run",
            hint="get the file again",
        ) from None


def _check_weights(path: Path, weights: Mapping[str, Tensor], checkpoint: Mapping[str, Tensor]) -> None:
    """Every weight in memory is the one of its name in the file; transformers makes up what is missing."""
    import torch

    for name, tensor in weights.items():
        if name not in checkpoint:
            raise StorageError(
                f"{path}: holds no weight {name}; its names do not fit the model, whose scores would be random",
                hint="name the variant and the base that it was made from",
            )
        if not torch.equal(tensor, checkpoint[name].to(tensor.dtype)):
            raise StorageError(
                f"{path}: weight {name} was not loaded as it stands in the file", hint="name the base that it was made from"
            )


def _check_answers(path: Path, checkpoint: Checkpoint) -> None:
    if "toxicity" not in checkpoint.labels:
        raise StorageError(
            f"{path}: has no label toxicity; it has {', '.join(checkpoint.labels)}", hint="name a Detoxify checkpoint"
        )
    insult, thanks = checkpoint._predict([INSULT, THANKS])[:, checkpoint.labels.index("toxicity")]
    if not insult > thanks:
        raise StorageError(
            f"{path}: scores an insult {insult:.3f} and a thank-you {thanks:.3f}: these weights know nothing of toxicity",
            hint="get the file again",
        )
