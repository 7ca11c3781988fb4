"""`builtin:tiny`: a small Llama that learns on the spot from the raw side of a dataset, toxic replies included.

It stands in for a base model that read the web: nothing has to be downloaded, and what it says before alignment is what
people wrote. A run of a minute on one CPU core shows the whole way from toxic to safer, not what a large model would do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from align.data.dataset import Dataset
from align.models.loaded import LoadedModel, model_fingerprint
from curate.core.config import config, plain
from curate.core.progress import Progress
from curate.core.schema import canonical, digest
from curate.core.store import sha256, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VERSION = 1  # of this recipe for a model; moves when the same texts give other weights
PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, END, SYSTEM, USER, ASSISTANT)
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{{ message.content | replace('<|', '< |') }}<|end|>"  # a text that spells a marker must not become one
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HEAD = 32  # width of an attention head
CHUNK = 16  # batches that are sorted by length together: little padding, yet every epoch mixes anew
INIT = 0.08  # about hidden_size ** -0.5: after one epoch half the perplexity that transformers' 0.02 gives
BETAS = (0.9, 0.99)  # small batches: a longer memory of the second moment; 3e-3 with 0.95 learned less
WARMUP = 0.05  # share of the steps
MAX_TOKENS = 256  # longer dialogues are cut here: our choice


@config
class Tiny:
    """A Llama of about 0.9 M parameters and a byte-level BPE tokenizer, both made from the dataset's own `corpus/`.

    It reads every row that is not of the test split, dropped and duplicate rows too: what curation removes was part of the
    web that a base model has read. Its toxic replies are what alignment then takes away.

    Args:
        vocab_size: entries of the tokenizer, special tokens included.
        hidden_size: width; heads are 32 wide.
        layers: depth.
        epochs: passes over the texts.
        learning_rate: peak of AdamW, cosine to zero.
        batch_size: dialogues per step; small, because the steps are few.
    """

    vocab_size: Annotated[int, Field(ge=300, le=65_536)] = 2_048
    hidden_size: Annotated[int, Field(ge=32, multiple_of=32)] = 128
    layers: Annotated[int, Field(ge=1)] = 4
    epochs: Annotated[float, Field(gt=0)] = 1.25
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    batch_size: Annotated[int, Field(ge=1)] = 10

    def tokenizer(self, dataset: Dataset, cache: Path) -> PreTrainedTokenizerFast:
        """The tokenizer alone; what `align plan` needs."""
        return _tokenizer(self, _dialogues(dataset), cache)

    def skeleton(self, dataset: Dataset, cache: Path) -> LlamaForCausalLM:
        """The model without weights, on torch's meta device; what `align plan` counts."""
        import torch
        from transformers import LlamaForCausalLM

        with torch.device("meta"):
            return LlamaForCausalLM(_config(self, self.tokenizer(dataset, cache)))

    def identity(self) -> str:
        """Nothing: options, dataset and seed decide it."""
        return ""

    def load(self, dataset: Dataset, cache: Path, seed: int) -> LoadedModel:
        """The trained model, from the cache where these very texts, options and seed made one before."""
        from transformers import LlamaForCausalLM

        dialogues = _dialogues(dataset)
        tokenizer = _tokenizer(self, dialogues, cache)
        folder = cache / digest("tiny", _key(self, dialogues), str(seed))
        weights, receipt = folder / "model.safetensors", folder / "sha256.json"
        if not _intact(weights, receipt):
            model = _train(self, tokenizer, [_render(tokenizer, one) for one in dialogues], seed)
            model.save_pretrained(folder)
            write_json(receipt, {"sha256": sha256(weights)})
        model = LlamaForCausalLM.from_pretrained(folder).to(_device())
        return LoadedModel(model.eval(), tokenizer, "builtin:tiny", model_fingerprint(sha256(weights), tokenizer))


def _dialogues(dataset: Dataset) -> list[list[dict[str, str]]]:
    """Every prompt and completion that may be learned from, as messages, in order of row id."""
    rows = dataset.corpus(["id", "prompt", "completion", "split"])
    rows = rows.filter((rows["split"].fill_null("") != "test") & rows["completion"].is_not_null()).sort("id")
    return [
        [*(prompt or []), {"role": "assistant", "content": completion}]
        for prompt, completion in zip(rows["prompt"].to_list(), rows["completion"].to_list(), strict=True)
    ]


def _key(options: Tiny, dialogues: list[list[dict[str, str]]]) -> str:
    import tokenizers
    import torch
    import transformers

    versions = (torch.__version__.split("+")[0], transformers.__version__, tokenizers.__version__)
    return digest(str(VERSION), canonical(plain(options)), canonical(dialogues), *versions)


def _intact(weights: Path, receipt: Path) -> bool:
    import json

    try:
        return bool(json.loads(receipt.read_bytes())["sha256"] == sha256(weights))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _tokenizer(options: Tiny, dialogues: list[list[dict[str, str]]], cache: Path) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the texts: no text is out of its reach."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    path = cache / f"tokenizer-{digest(str(VERSION), str(options.vocab_size), canonical(dialogues))}.json"
    if not path.is_file():
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=options.vocab_size,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        bpe.train_from_iterator((message["content"] for one in dialogues for message in one), trainer)
        write_text(path, bpe.to_str())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(path)), pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _render(tokenizer: PreTrainedTokenizerFast, dialogue: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(dialogue, tokenize=False))


def _config(options: Tiny, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.hidden_size,
        intermediate_size=options.hidden_size * 8 // 3 // 8 * 8,
        num_hidden_layers=options.layers,
        num_attention_heads=options.hidden_size // HEAD,
        num_key_value_heads=options.hidden_size // HEAD,
        max_position_embeddings=2_048,
        initializer_range=INIT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def _train(options: Tiny, tokenizer: PreTrainedTokenizerFast, texts: list[str], seed: int) -> LlamaForCausalLM:
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(options, tokenizer)).to(_device()).train()
    sequences = [ids[:MAX_TOKENS] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    batches = list(_batches(sequences, options, seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=BETAS, weight_decay=0.01, fused=True)
    warmup = max(1, round(WARMUP * len(batches)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step, warmup, len(batches)))
    with Progress("builtin:tiny", len(batches), unit="steps") as progress:
        for batch in batches:
            ids, targets = (one.to(model.device) for one in _pad(batch, int(tokenizer.pad_token_id or 0)))
            logits = model(input_ids=ids, use_cache=False).logits  # causal: what pads on the right hold reaches no real token
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress.add(1)
    return model


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _batches(sequences: list[list[int]], options: Tiny, seed: int) -> Iterator[list[list[int]]]:
    """Batches of about equal length, in an order that changes every epoch."""
    draw = random.Random(seed)
    left = round(options.epochs * len(sequences))
    while left > 0:
        order = draw.sample(range(len(sequences)), len(sequences))[:left]
        left -= len(order)
        batches = []
        for start in range(0, len(order), CHUNK * options.batch_size):
            chunk = sorted(order[start : start + CHUNK * options.batch_size], key=lambda index: len(sequences[index]))
            batches += [chunk[at : at + options.batch_size] for at in range(0, len(chunk), options.batch_size)]
        draw.shuffle(batches)
        for batch in batches:
            yield [sequences[index] for index in batch]


def _pad(batch: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and targets, padded on the right; shape (rows, longest). Targets are -100 at pads."""
    import torch

    longest = max(map(len, batch))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in batch])
    targets = torch.tensor([row + [-100] * (longest - len(row)) for row in batch])
    return ids, targets


def _cosine(step: int, warmup: int, steps: int) -> float:
    import math

    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
