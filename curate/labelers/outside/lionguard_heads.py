"""LionGuard's classifiers as they are published: ONNX ridge heads with a config.json, or one small network in safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import RecipeError, StorageError
from curate.core.schema import digest
from curate.core.store import sha256
from curate.text.encoders import fetch

Operating = Literal["high_recall", "balanced", "high_precision"]
OPERATING: tuple[Operating, ...] = ("high_recall", "balanced", "high_precision")
LITE_THRESHOLDS: Mapping[Operating, float] = {"high_recall": 0.2, "balanced": 0.5, "high_precision": 0.8}
"""2-lite publishes probabilities and no thresholds: v1's."""

Json = Mapping[str, Any]
"""The heads' config.json, or a part of it."""

Vectors = NDArray[np.float32]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Heads:
    """Classifiers in memory.

    Attributes:
        hash: of their files.
        labels: names of the outputs; `binary` among them.
        thresholds: of `binary`, by operating point, in [0, 1].
        width: numbers of a vector that they take.
        run: probabilities (n, labels) of vectors (n, width).
    """

    hash: str
    labels: tuple[str, ...]
    thresholds: Mapping[Operating, float]
    width: int
    run: Callable[[Vectors], Probabilities]

    def probabilities(self, vectors: Vectors) -> Probabilities:
        """Probability of each label, shape (n, labels).

        Raises:
            RecipeError: vectors of another encoder.
        """
        if vectors.shape[1] != self.width:
            raise RecipeError(
                f"lionguard: vectors have {vectors.shape[1]} numbers, its heads take {self.width}",
                hint="name the encoder that they were trained on",
            )
        return self.run(vectors)


@cache
def load_heads(variant: str, name: str, encoder: Path) -> Heads:
    """Load heads, once.

    Args:
        variant: "v1" or "2-lite".
        name: folder or Hub id.
        encoder: the encoder they belong to; where it is a folder, its pooling is checked.

    Raises:
        RecipeError: no such heads, an encoder that pools otherwise than v1's must, or onnxruntime is missing.
        StorageError: unreadable.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        files = ("config.json", "models/*.onnx") if variant == "v1" else ("config.json", "model.safetensors")
        folder = fetch(name, what="lionguard: heads", files=files)
    try:
        facts = json.loads((folder / "config.json").read_text("utf-8"))
        if variant == "v1":
            _check_pooling(encoder)
            return _ridge(folder, facts)
        return _ordinal(folder, facts)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise StorageError(
            f"{folder}: not the heads of lionguard {variant} ({type(error).__name__}: {error})", hint="take the published folder"
        ) from None


def _check_pooling(encoder: Path) -> None:
    """v1 reads the CLS token; a folder that only holds the transformer would silently be averaged over tokens."""
    if not encoder.is_dir():
        return
    configs = [json.loads(path.read_text("utf-8")) for path in sorted(encoder.glob("*_Pooling/config.json"))]
    if not any(one.get("pooling_mode") == "cls" or one.get("pooling_mode_cls_token") is True for one in configs):
        raise RecipeError(
            f"lionguard: encoder: {encoder}: does not pool by the CLS token", hint="take the published folder, 1_Pooling too"
        )


def _ridge(folder: Path, facts: Json) -> Heads:
    """v1: `classifier` of config.json names a file, whether it is calibrated, and three thresholds for each label."""
    try:
        import onnxruntime
    except ImportError:
        raise RecipeError("lionguard: v1 needs onnxruntime", hint="pip install 'margins[lionguard]'") from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # the ridge heads declare two columns and give one: a warning a call
    classifiers: Mapping[str, Json] = facts["classifier"]
    paths = {label: folder / one["model_fp"] for label, one in classifiers.items()}
    for path in paths.values():
        if not path.resolve().is_relative_to(folder.resolve()) and not path.is_symlink():  # the Hub cache links to its blobs
            raise ValueError(f"{path.name} lies outside the folder")
    sessions = {}
    for label, path in paths.items():
        try:
            sessions[label] = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except OSError:
            raise
        except Exception as error:  # onnxruntime's own classes share no base but this
            raise ValueError(f"{path.name} is not ONNX that onnxruntime reads ({type(error).__name__})") from None
    calibrated = {label: bool(one["calibrated"]) for label, one in classifiers.items()}
    points = classifiers["binary"]["threshold"]
    thresholds = {point: _probability(np.array([points[point]]), calibrated["binary"]).item() for point in OPERATING}

    def run(vectors: Vectors) -> Probabilities:
        probabilities = np.empty((len(vectors), len(sessions)))
        for at, (label, session) in enumerate(sessions.items()):
            entry = session.get_inputs()[0].name
            for row in range(len(vectors)):  # one a call: a matrix product may round a row by its neighbours
                output = session.run(None, {entry: vectors[row : row + 1]})[1]
                number = output[0][1] if calibrated[label] else np.ravel(output)[0]
                probabilities[row, at] = _probability(np.array([number]), calibrated[label]).item()
        return probabilities

    hashes = [text for path in paths.values() for text in (path.name, sha256(path))]
    shape = next(iter(sessions.values())).get_inputs()[0].shape
    return Heads(digest(*hashes, sha256(folder / "config.json"), size=32), tuple(sessions), thresholds, int(shape[1]), run)


def _probability(output: NDArray[np.floating], calibrated: bool) -> Probabilities:
    """A calibrated head's probability as it is; of a ridge head's margin, (1 + margin) / 2 in [0, 1]."""
    return np.asarray(output, np.float64) if calibrated else np.clip((1.0 + output.astype(np.float64)) / 2.0, 0.0, 1.0)


def _ordinal(folder: Path, facts: Json) -> Heads:
    """2-lite: two shared layers, then for each label one of 32 and two outputs, P(level >= 1) and P(level >= 2).

    Where a label has two levels and the second comes out likelier than the first, which cannot be, both are their mean. The first
    level is the label's probability.
    """
    from safetensors.numpy import load_file

    path = folder / "model.safetensors"
    w = {name: tensor.astype(np.float64) for name, tensor in load_file(path).items()}
    labels = tuple(str(name) for name in facts["category_order"])
    levels = [len(facts["categories"][label]) for label in labels]

    def linear(x: Probabilities, name: str) -> Probabilities:
        return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"], np.float64)

    def run(vectors: Vectors) -> Probabilities:
        x = vectors.astype(np.float64)
        for layer in (0, 3):  # of nn.Sequential: linear, relu, dropout, linear, relu, dropout
            x = np.maximum(linear(x, f"shared_layers.{layer}"), 0.0)
        probabilities = np.empty((len(vectors), len(labels)))
        for at in range(len(labels)):
            hidden = np.maximum(linear(x, f"output_heads.{at}.0"), 0.0)
            first, second = (1.0 / (1.0 + np.exp(-linear(hidden, f"output_heads.{at}.2")))).T
            probabilities[:, at] = first if levels[at] == 1 else np.maximum(first, (first + second) / 2.0)
        return probabilities

    width = w["shared_layers.0.weight"].shape[1]
    run(np.zeros((1, width), np.float32))  # every weight is there and fits the next
    return Heads(digest(sha256(path), sha256(folder / "config.json"), size=32), labels, LITE_THRESHOLDS, width, run)
