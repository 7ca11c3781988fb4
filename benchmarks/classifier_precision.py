"""What precision buys a sequence classifier on this processor, and what it costs: texts per CPU-second, one thread.

    python benchmarks/classifier_precision.py

Random weights of two real sizes: speed does not ask what a model knows. int8 is torch's dynamic quantisation; it is not offered,
because it scales a whole batch by its largest value, and a text's logits then depend on its neighbours, as the last column says.
"""

from __future__ import annotations

import copy
import os

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}

import random
import warnings
from time import process_time
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

SIZES = {"6 x 384 (MiniLM)": (384, 6), "12 x 768 (BERT-base)": (768, 12)}
TEXTS, TOKENS = 32, 24  # a batch of chat-length messages
ROUNDS = 4


def main() -> None:
    """Print a line per size and precision; passes take turns, and the fastest of each counts: others use this machine too."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"{'model':24}{'precision':>10}{'texts/CPU-s':>13}{'to fp32':>9}{'largest move with the batch':>30}")
    for name, (width, layers) in SIZES.items():
        torch.manual_seed(0)
        config = BertConfig(hidden_size=width, num_hidden_layers=layers, num_attention_heads=12, intermediate_size=4 * width)
        model = BertForSequenceClassification(config).eval()
        ids = torch.tensor([random.Random(at).choices(range(1000, 30000), k=TOKENS) for at in range(TEXTS)])
        models = {
            "fp32": model,
            "int8": torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8),
            "bf16": copy.deepcopy(model).to(torch.bfloat16),
        }
        spent = {precision: min(times) for precision, times in take_turns(models, ids).items()}
        for precision, one in models.items():
            rate = f"{len(ids) / spent[precision]:13,.0f}{spent['fp32'] / spent[precision]:8.2f}x"
            print(f"{name:24}{precision:>10}{rate}{moved(one, ids[:8]):30.2g}", flush=True)


def take_turns(models: dict[str, Any], ids: torch.Tensor) -> dict[str, list[float]]:
    """CPU-seconds of each pass of each model over all texts, after one to warm up."""
    times: dict[str, list[float]] = {precision: [] for precision in models}
    with torch.inference_mode():
        for turn in range(1 + ROUNDS):
            for precision, one in models.items():
                started = process_time()
                one(input_ids=ids)
                if turn:
                    times[precision].append(process_time() - started)
    return times


def moved(model: Any, ids: torch.Tensor) -> float:  # noqa: ANN401 - a model, quantised or not
    """The largest difference between a text's logits alone and among others."""
    with torch.inference_mode():
        together = model(input_ids=ids).logits
        alone = torch.cat([model(input_ids=row[None]).logits for row in ids])
    return float((together - alone).abs().max())


if __name__ == "__main__":
    main()
