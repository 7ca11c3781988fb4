"""What `gpu.sh` runs: packed attention against one row at a time on this device, then the step against TRL's.

A line per check; the race's table; what the figures are beside what they are meant to be. On a GPU the figures are also kept in
benchmarks/results/gpu.json.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from align.bench import bench as racing
from align.bench.figures import BenchFigures, table
from align.training.packing.layout import PACKED
from align.training.packing.pack import Segment
from align.training.packing.probe import probe
from align.training.packing.score import log_probs

RESULTS = Path(__file__).resolve().parent / "results" / "gpu.json"
LLAMA_3_8B = {
    "vocab_size": 128_256,
    "hidden_size": 4_096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "rope_theta": 500_000.0,
}  # the model's published config
TOY = LLAMA_3_8B | {"vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
TOY |= {"num_attention_heads": 4, "num_key_value_heads": 1}
CHECKED = TOY | {"hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2}  # heads of 64: what varlen kernels take
LENGTHS = ((1, 1), (3, 2), (17, 9), (64, 64), (65, 63), (127, 1), (128, 33), (255, 130))  # about multiples of a kernel's tile
WITHIN = {torch.float32: 1e-5, torch.bfloat16: 3e-2}  # of a token's log-probability, nats; bf16 has 8 bits
FLOOR_MS = 4.4  # a row of 60 + 40 tokens at the GPU's peak: arithmetic, for an H200 and Llama-3-8B
GOALS = {"times_faster": 2.0, "mfu": 0.45, "times_floor": 2.0}


def model_of(shape: dict[str, Any], dtype: torch.dtype, device: str) -> Any:  # noqa: ANN401 - a transformers model
    """Random weights of a shape, made on the device."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return LlamaForCausalLM(LlamaConfig(**shape, pad_token_id=0, bos_token_id=1, eos_token_id=2)).eval()
    finally:
        torch.set_default_dtype(before)


def alone(model: nn.Module, segment: Segment, device: str) -> float:
    """A completion's log-probability by the model's own eager attention, nats."""
    prompt, completion = segment
    tokens = torch.tensor([[*prompt, *completion]], device=device)
    model.set_attn_implementation("eager")
    logits = model(input_ids=tokens, use_cache=False).logits[0].float().log_softmax(-1)
    return float(sum(logits[len(prompt) - 1 + place, token] for place, token in enumerate(completion)))


@torch.no_grad()
def check(dtype: torch.dtype, device: str) -> str:
    """Packed rows of awkward lengths under grouped queries against one row at a time; then the probe that every run makes.

    Raises:
        SystemExit: they differ.
    """
    draw = random.Random(0)
    segments = [tuple([draw.randrange(3, 512) for _ in range(part)] for part in lengths) for lengths in LENGTHS]
    model = model_of(CHECKED, dtype, device)
    expected = [alone(model, segment, device) for segment in segments]
    with PACKED.attended(model):
        found = log_probs(model, PACKED.lay(segments, device)).tolist()
    apart = max(abs(a - b) / len(segment[1]) for a, b, segment in zip(found, expected, segments, strict=True))
    line = f"packed against alone, grouped queries, {str(dtype).removeprefix('torch.')}: {apart:.1e} nats a token"
    if not apart <= WITHIN[dtype]:
        sys.exit(f"{line}: more than {WITHIN[dtype]:.0e}; nothing is raced on a device where packing is not exact")
    probe(model, max(map(sum, LENGTHS)))
    return line


def race(device: str) -> BenchFigures:
    """The step of each side on one random model that lies on the disk for the while."""
    cuda = device == "cuda"
    names = ("proxy", "paired") if cuda else ("proxy",)
    changes = {"batch": 32, "steps": 9} if cuda else {"batch": 4, "steps": 3, "prompt": 12, "completion": 8}
    with tempfile.TemporaryDirectory() as folder:
        model = model_of(LLAMA_3_8B if cuda else TOY, torch.bfloat16 if cuda else torch.float32, device)
        model.save_pretrained(folder)
        del model
        if cuda:
            torch.cuda.empty_cache()
        return racing.bench(names, lambda line: print(line, file=sys.stderr), model=Path(folder), device=device, changes=changes)


def verdicts(results: dict[str, Any]) -> list[str]:
    """What the figures are beside what they are meant to be."""
    lines = []
    for name, found in results["scenarios"].items():
        ours = found["sides"]["ours"]
        row_ms = 1e3 / ours["rows_per_second"]
        faster = found["times_faster"]["trl tuned"]
        said = [(f">= {GOALS['times_faster']:g} x trl tuned: {faster:.2f}", faster >= GOALS["times_faster"])]
        if ours["mfu"] is not None:
            said.append((f"MFU >= {GOALS['mfu']:.0%}: {ours['mfu']:.1%}", ours["mfu"] >= GOALS["mfu"]))
            text = f"<= {GOALS['times_floor']:g} x the floor of {FLOOR_MS} ms a row: {row_ms:.1f} ms"
            said.append((text, row_ms <= GOALS["times_floor"] * FLOOR_MS))
        lines += [f"{name}: goal {text}: {'reached' if holds else 'MISSED'}" for text, holds in said]
    return lines


def main() -> None:
    """Check, then race."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checks", action="store_true", help="stop before the race")
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    machine = f"{torch.cuda.get_device_name()} " if device == "cuda" else "no GPU, toy size; "
    print(f"{machine}torch {torch.__version__.split('+')[0]}")
    for dtype in (torch.float32, torch.bfloat16) if device == "cuda" else (torch.float32,):
        print(check(dtype, device))
    if asked.checks:
        return
    figures = race(device)
    print(table(figures))
    if device == "cuda":
        results = figures.to_json()
        print("\n".join(verdicts(results)))
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
