"""Tiny models, made on the spot: every labeler that needs weights is tested through the loading code of its own library."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = "the a bus is late again you are so stupid clown thank for your help lah kind of see tomorrow at stop hate and".split()
CALM = ("thank you for your help", "the bus is late again lah", "see you at the stop tomorrow", "so kind of you")
RUDE = ("you are so stupid", "stupid clown", "you are a clown lah", "so stupid and late again you clown")

TinyBert = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_bert() -> TinyBert:
    """Writes a two-layer BERT classifier with its tokenizer into a folder; trained on request to tell RUDE from CALM."""

    def write(folder: Path, *, trained: bool = False, seed: int = 0, **config: Any) -> Path:
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        tokenizer = tiny_tokenizer(folder)
        torch.manual_seed(seed)
        settings: dict[str, Any] = {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
            "initializer_range": 0.4,  # wide, so that the scores of different texts differ
        }
        model = BertForSequenceClassification(BertConfig(**settings | config))
        if trained:
            teach(model, tokenizer)
        model.save_pretrained(folder)
        return folder

    return write


def tiny_tokenizer(folder: Path) -> Any:
    """A lower-casing WordPiece tokenizer over WORDS and single characters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    single = [*string.ascii_lowercase, *string.digits, *".,!?'"]
    vocabulary = dict.fromkeys([*marks, *WORDS, *single, *(f"##{letter}" for letter in single)])
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    return fast


def teach(model: Any, tokenizer: Any) -> None:
    """Eighty steps: label 0 high for RUDE, low for CALM; every other label low."""
    import torch

    inputs = tokenizer([*RUDE, *CALM], padding=True, return_tensors="pt")
    wanted = torch.zeros(len(RUDE) + len(CALM), model.config.num_labels)
    wanted[: len(RUDE), 0] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(80):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(**inputs).logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
