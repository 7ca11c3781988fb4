"""Packed attention is exact, or refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from align.training.packing import attention
from align.training.packing.attention import UnpackableError, packed, packed_attention
from align.training.packing.pack import lay, lay_after
from align.training.packing.probe import probe

TinyLlama = Callable[..., Any]
TinyOf = Callable[..., Any]


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "Mistral"])
def test_plain_causal_models_pack_exactly(kind: str, tiny_of: TinyOf) -> None:
    model = tiny_of(kind)
    assert probe(model) < 1e-4
    assert model.config._attn_implementation != "packed"


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("Gemma2", {"attn_logit_softcapping": 2.0}, "softcap"),
        ("GptOss", {"num_local_experts": 4}, "s_aux"),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "1 of its 2 layers"),
    ],
)
def test_a_model_that_packing_would_get_wrong_is_refused(
    kind: str, changes: dict[str, object], named: str, tiny_of: TinyOf
) -> None:
    with pytest.raises(UnpackableError, match=named):
        probe(tiny_of(kind, **changes))


def test_a_window_shorter_than_a_row_is_refused_and_a_longer_one_served(tiny_of: TinyOf) -> None:
    with pytest.raises(UnpackableError, match="sliding_window 8 for a row of 18 tokens"):
        probe(tiny_of("Mistral", sliding_window=8))
    assert probe(tiny_of("Mistral", sliding_window=18), longest=18) < 1e-4
    with pytest.raises(UnpackableError, match="looks back 18 tokens, but a row has 40 .max_length: 18 packs."):
        probe(tiny_of("Mistral", sliding_window=18), longest=40)


def test_a_layer_that_never_asks_is_noticed(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    model.model.layers[1].self_attn.forward = lambda hidden_states, **_: (hidden_states * 0, None)
    with pytest.raises(UnpackableError, match="1 of its 2 layers"):
        probe(model)


def test_weights_with_nan_do_not_pass_the_probe(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(UnpackableError, match="NaN in the weights"):
        probe(model)


def test_a_call_without_a_pack_is_refused(tiny_llama: TinyLlama) -> None:
    model = tiny_llama()
    with packed(model), pytest.raises(UnpackableError, match="a call without a pack"):
        model(input_ids=torch.tensor([[3, 4]]), use_cache=False)


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ({"softcap": 30.0}, "softcap"),
        ({"s_aux": torch.ones(1)}, "s_aux"),
        ({"position_bias": torch.ones(1)}, "position_bias"),
        ({"dropout": 0.1}, "dropout"),
        ({"is_causal": False}, "not causal"),
        ({"sliding_window": 1}, "sliding_window"),
    ],
)
def test_what_is_not_implemented_is_refused(argument: dict[str, Any], named: str) -> None:
    query = torch.ones(1, 2, 2, 4)
    with pytest.raises(UnpackableError, match=named):
        packed_attention(torch.nn.Linear(1, 1), query, query, query, None, pack=lay([([1, 2], [3])]), **argument)


@pytest.mark.parametrize("heads", [2, 4])
def test_grouped_attention_is_each_segment_by_itself_forward_and_backward(heads: int) -> None:
    torch.manual_seed(0)
    sizes = [2, 70, 9, 130, 33]
    pack = lay([([index, *range(size - 1)], [1]) for index, size in enumerate(sizes)])
    tokens = sum(sizes)
    given = [torch.randn(1, count, tokens, 8, dtype=torch.float64, requires_grad=True) for count in (4, heads, heads)]
    found, _ = packed_attention(torch.nn.Linear(1, 1), *given, None, pack=pack)
    weights = torch.randn_like(found)
    grads = torch.autograd.grad((found * weights).sum(), given)

    pieces, start = [], 0
    for size in sizes:
        query, key, value = (x[0, :, start : start + size] for x in given)
        key, value = (x.repeat_interleave(4 // heads, 0) for x in (key, value))
        scores = (query @ key.transpose(1, 2)) / 8**0.5
        scores = scores.masked_fill(torch.ones(size, size, dtype=torch.bool).triu(1), float("-inf"))
        pieces.append((scores.softmax(-1) @ value).transpose(0, 1))
        start += size
    expected = torch.cat(pieces)[None]
    assert torch.allclose(found, expected, atol=1e-12)
    for ours, theirs in zip(grads, torch.autograd.grad((expected * weights).sum(), given), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("gqa", [True, False])
def test_the_cuda_kernel_would_be_given_the_same_runs(gqa: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel needs a GPU; here its documented meaning, written out, takes the arguments that it would get."""

    def plain(
        q: Any, k: Any, v: Any, bounds: Any, key_bounds: Any, longest: int, longest_key: int, window: Any, scale: Any
    ) -> Any:
        assert window == (-1, 0) and longest == bounds.diff().max() and longest_key == key_bounds.diff().max()
        assert bounds.dtype == key_bounds.dtype == torch.int32 and key_bounds[-1] == len(k) == len(v)
        pieces = []
        for at in range(len(bounds) - 1):
            query = q[bounds[at] : bounds[at + 1]].transpose(0, 1)
            key, value = (x[key_bounds[at] : key_bounds[at + 1]].transpose(0, 1) for x in (k, v))
            rows, columns = query.shape[1], key.shape[1]
            hidden = torch.ones(rows, columns, dtype=torch.bool).triu(columns - rows + 1)  # aligned at the last key
            scores = (query @ key.transpose(1, 2) * scale).masked_fill(hidden, float("-inf"))
            pieces.append((scores.softmax(-1) @ value).transpose(0, 1))
        return torch.cat(pieces)

    def newer(q: Any, k: Any, v: Any, *rest: Any, window_size: Any, scale: float, enable_gqa: bool = False) -> Any:
        assert enable_gqa
        return plain(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), *rest, window_size, scale)

    def older(q: Any, k: Any, v: Any, *rest: Any, window_size: Any, scale: float) -> Any:
        return plain(q, k, v, *rest, window_size, scale)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", newer if gqa else older)
    attention._has_gqa.cache_clear()
    torch.manual_seed(0)
    first = lay([([1, 2, 3], [4, 5]), ([6], [7, 8, 9]), ([1, 2, 3], [9, 9, 9])], keep=True)
    alone = lay([([1, 2, 3], [4, 5]), ([6], [7, 8, 9])])
    for pack in (alone, first):
        tokens = pack.tokens.shape[1]
        query, key, value = (torch.randn(1, heads, tokens, 8) for heads in (4, 2, 2))
        assert torch.allclose(
            attention._varlen(query, key, value, 0.3, pack), attention._grouped(query, key, value, 0.3, pack), atol=1e-6
        )
    first.writes = {0: (key, value)}
    later = lay_after(first, [([6], [4, 5]), ([1, 2, 3], [7, 8, 9])], [1, 0])
    tokens = later.tokens.shape[1]
    query, more_key, more_value = (torch.randn(1, heads, tokens, 8) for heads in (4, 2, 2))
    key, value = torch.cat([key, more_key], 2), torch.cat([value, more_value], 2)
    assert torch.allclose(
        attention._varlen(query, key, value, 0.3, later), attention._grouped(query, key, value, 0.3, later), atol=1e-6
    )
    attention._has_gqa.cache_clear()
