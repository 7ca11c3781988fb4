"""Texts from a language model of transformers: a local folder or a model on the Hub."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from curate.core.errors import DataError, StorageError
from curate.core.store import folder_hash
from curate.generation.generator import Ask
from curate.text.encoders import fetch
from curate.text.prompts import transcript

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


@cache
def folder_of(name: str) -> Path:
    """Where a model lies: the folder of that name, or the Hub's (the only case that may use the network)."""
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else fetch(name, what="model", files=MODEL_FILES)


@cache
def model_hash(name: str) -> str:
    """Hash of the files that decide what the model says."""
    return folder_hash(folder_of(name))


def sample(name: str, ask: Ask, *, samples: int, temperature: float, top_p: float, max_new_tokens: int) -> list[str]:
    """Answers to one question.

    One question at a time, with a seed of its own: what a model says to one does not depend on which others are asked, nor on
    where a stopped build went on. All its samples are one batch.

    Args:
        name: folder or Hub id.
        ask: the question.
        samples: how many answers.
        temperature: of the sampling; 0 takes the likeliest token each time.
        top_p: share of probability to sample from, in (0, 1].
        max_new_tokens: most tokens of an answer.

    Raises:
        StorageError: the model cannot be loaded.
        DataError: a question is longer than the model reads.
    """
    import torch

    model, tokenizer = _loaded(name)
    ids = _tokens(ask, tokenizer, encoder_decoder=model.config.is_encoder_decoder).to(model.device)
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and not model.config.is_encoder_decoder and ids.shape[1] + max_new_tokens > limit:
        raise DataError(
            f"{name}: a prompt of {ids.shape[1]} tokens and {max_new_tokens} new ones are more than its {limit}",
            hint="lower max_new_tokens",
        )
    how = (
        {"do_sample": False} if temperature == 0 else {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
    )
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(ask.seed)
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            num_return_sequences=samples,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
            **how,
        )
    new = out if model.config.is_encoder_decoder else out[:, ids.shape[1] :]
    return [str(text) for text in tokenizer.batch_decode(new, skip_special_tokens=True)]


@cache
def _loaded(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    folder = folder_of(name)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        gpu = torch.cuda.is_available()
        model = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.bfloat16 if gpu else torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StorageError(
            f"{folder}: not a language model that transformers loads ({type(error).__name__})",
            hint="name a folder that `save_pretrained` made, or a Hub id",
        ) from None
    return model.to("cuda" if gpu else "cpu").eval(), tokenizer


def _tokens(ask: Ask, tokenizer: Any, *, encoder_decoder: bool) -> Any:  # noqa: ANN401 - tensors; torch is imported late
    """Shape (1, tokens): by the chat template where there is one; else as the standard form of the dataset writes prompts.

    A model that reads and writes apart (a paraphraser) is given the last message alone.
    """
    messages = [{"role": role, "content": content} for role, content in ask.messages]
    if encoder_decoder:
        return tokenizer(messages[-1]["content"], return_tensors="pt")["input_ids"]
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    return tokenizer(transcript(messages), return_tensors="pt")["input_ids"]
