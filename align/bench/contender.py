"""One side of `align bench`, in a process of its own: a real trainer that takes a step when it is told to.

    python -m align.bench.contender < settings.json

Settings come as the first line of standard input; after it, each line lets one step go (on a GPU all go at once). Every line
of standard output is a message as JSON: a `SetUp`, a `StepTime` for each step (on a GPU for the warm-up and the last), `Totals`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from align.bench.messages import SIDES, Say, Settings, SetUp, Totals
from align.bench.meter import Meter

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, Trainer

    from align.data.rows import Rows
    from align.objectives.phase import Phase
    from align.training.plan import Plan

SPREAD = 0.6  # of the logarithm of lengths
EOS = 2
FIRST = 3  # token ids below are pad, bos and eos
SEED = 0
BETA = 0.1  # TRL's and ours
RATE = 1e-4  # large enough that twenty steps show a wrong gradient


def make_rows(count: int, vocabulary: int, *, paired: bool, prompt: int, completion: int) -> Rows:
    """Random tokens with lognormal lengths; half of the rows are desirable."""
    from align.data.rows import Rows

    draw = random.Random(SEED)

    def text(mean: int) -> list[int]:
        centre = mean / math.exp(SPREAD**2 / 2)  # a lognormal's mean lies that much above its median
        return [
            draw.randrange(FIRST, vocabulary)
            for _ in range(min(8 * mean, max(4, round(draw.lognormvariate(0, SPREAD) * centre))))
        ]

    prompts = [text(prompt) for _ in range(count // 2 if paired else count)]
    if paired:
        prompts = [each for each in prompts for _ in range(2)]
    completions = [[*text(completion), EOS] for _ in range(count)]
    pair = [index ^ 1 if paired else -1 for index in range(count)]
    return Rows(prompts, completions, [index % 2 == 0 for index in range(count)], pair, [str(index) for index in range(count)])


def make_phase(settings: Settings) -> Phase:
    """KTO, once over the rows."""
    from align.objectives.phase import parse

    options = {
        "learning_rate": RATE,
        "beta": BETA,
        "batch_size": settings.batch,
        "epochs": 1,
        "warmup_share": 0.0,
        "together": True,
    }
    return parse({"kto": options}, "bench")


def plan_both_can_follow(rows: Rows, phase: Phase) -> Plan:
    """Our plan, but each row's partner is the row before it in its batch: TRL knows no other.

    The chosen rows of a batch stand before the rejected ones, so that no row is its own partner's neighbour by prompt.
    """
    from align.training.plan import Batch, Plan, make_plan

    plan = make_plan(rows, phase, SEED)
    batches = []
    for batch in plan.batches:
        order = sorted(batch.rows, key=lambda row: not rows.desirable[row])
        batches.append(Batch(tuple(order), (order[-1], *order[:-1])))
    return Plan(tuple(batches), plan.rows, plan.left_out)


def bare_model(settings: Settings) -> PreTrainedModel:
    """The model before its adapters; TRL as it comes holds it in fp32, as it loads models by name."""
    import torch

    cuda = settings.device == "cuda"
    dtype = torch.bfloat16 if cuda and settings.side != "trl default" else torch.float32
    if settings.model is not None:
        from transformers import AutoModelForCausalLM

        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(settings.model, dtype=dtype, use_safetensors=True)
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(SEED)
        heads = max(1, settings.hidden // 64)
        config = LlamaConfig(
            vocab_size=settings.vocabulary,
            hidden_size=settings.hidden,
            intermediate_size=round(settings.hidden * 8 / 3 / 32) * 32,
            num_hidden_layers=settings.layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=EOS,
        )
        model = LlamaForCausalLM(config).to(dtype)
    return model.to(settings.device)


def our_trainer(settings: Settings, rows: Rows, plan: Plan, phase: Phase) -> Trainer:
    """Ours, its reference computed."""
    from align.models.adapters import Lora, add_adapters
    from align.training.checkpoints import Signals
    from align.training.job import TrainingJob
    from align.training.journal import Journal
    from align.training.reference import reference_for
    from align.training.shell import PackedTrainer, training_arguments
    from align.training.step import Preparation

    model = bare_model(settings)
    add_adapters(model, Lora(rank=settings.rank), SEED)
    job = TrainingJob(model, rows, phase, Path(settings.folder), SEED)
    return PackedTrainer(
        job,
        training_arguments(job, len(plan.batches)),
        Preparation(plan, reference=reference_for(model, rows, plan, job.folder, phase.token_budget, lambda count: None)),
        Journal(job.folder / "metrics.jsonl", 0),
        key="bench",
        signals=Signals(),
        on_step=lambda steps: None,
    )


def their_trainer(settings: Settings, rows: Rows, plan: Plan) -> Trainer:
    """TRL's, by its public arguments, on the plan's rows in the plan's order."""
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast
    from trl import KTOConfig, KTOTrainer

    names = ["<pad>", "<bos>", "<eos>", *(f"t{index}" for index in range(FIRST, settings.vocabulary))]
    words = Tokenizer(WordLevel({name: index for index, name in enumerate(names)}, unk_token="<bos>"))
    words.pre_tokenizer = WhitespaceSplit()
    spoken = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<bos>", padding_side="left"
    )
    order = [row for batch in plan.batches for row in batch.rows]
    texts = {
        "prompt": [" ".join(names[token] for token in rows.prompts[row]) for row in order],
        "completion": ["".join(f" {names[token]}" for token in rows.completions[row]) for row in order],
        "label": [rows.desirable[row] for row in order],
    }
    tuned = settings.side == "trl tuned"
    arguments = KTOConfig(
        settings.folder,
        beta=BETA,
        learning_rate=RATE,
        use_cpu=settings.device == "cpu",
        bf16=settings.device == "cuda",
        per_device_train_batch_size=settings.batch,
        num_train_epochs=1,
        max_length=None,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=SEED,
        **({"gradient_checkpointing": False, "precompute_ref_log_probs": True} if tuned else {}),
    )
    adapters = LoraConfig(r=settings.rank, lora_alpha=32, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")
    return KTOTrainer(
        model=bare_model(settings),
        args=arguments,
        train_dataset=Dataset.from_dict(texts),
        processing_class=spoken,
        peft_config=adapters,
    )


def race(settings: Settings, say: Say, wait: Callable[[], None]) -> None:
    """Set a side up and take its steps.

    Args:
        settings: which side, and of what.
        say: called with each message.
        wait: called before each step on a CPU, and once before the first on a GPU.
    """
    if settings.side not in SIDES:
        raise ValueError(f"no side {settings.side!r}")
    import torch

    from align.training.packing.attention import packed

    torch.set_num_threads(settings.threads)
    phase = make_phase(settings)
    rows = make_rows(
        settings.batch * settings.steps,
        settings.vocabulary,
        paired=settings.paired,
        prompt=settings.prompt,
        completion=settings.completion,
    )
    plan = plan_both_can_follow(rows, phase)
    before = time.process_time()
    ours = settings.side == "ours"
    trainer = our_trainer(settings, rows, plan, phase) if ours else their_trainer(settings, rows, plan)
    meter = Meter(settings, say, wait)
    losses: list[Tensor] = []
    step = trainer.training_step

    def keeping_its_loss(model: nn.Module, inputs: object, num_items_in_batch: object = None) -> Tensor:
        losses.append(step(model, inputs, num_items_in_batch))
        return losses[-1]

    trainer.training_step = keeping_its_loss  # no callback is shown the loss of every step
    trainer.add_callback(meter.callback())
    say(SetUp(time.process_time() - before))
    with packed(trainer.model) if ours else contextlib.nullcontext():
        trainer.train()
    tokens = [sum(rows.lengths[row] for row in batch.rows) for batch in plan.batches]
    say(Totals([float(loss) for loss in losses], tokens, needed_flops(trainer.model, rows, plan), meter.peak()))


def needed_flops(model: nn.Module, rows: Rows, plan: Plan) -> list[float]:
    """Floating-point operations that a step cannot do without, by the usual estimate of 2 per weight and token.

    Forward and backward through every token of the batch, the gradient of the trained weights, and a forward pass over the
    mismatched completions; a frozen weight has no gradient, attention itself is left out.
    """
    weights = sum(value.numel() for name, value in model.named_parameters() if "embed_tokens" not in name)
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return [
        2.0 * (2 * weights + trained) * sum(rows.lengths[row] for row in batch.rows)
        + 2.0 * weights * sum(len(rows.completions[row]) for row in batch.rows)
        for batch in plan.batches
    ]


def main() -> None:
    """Read settings, race, and keep everything that libraries print away from the answers."""
    settings = Settings(**json.loads(sys.stdin.readline()))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    race(settings, lambda message: print(json.dumps(dataclasses.asdict(message)), file=answers), _wait)  # noqa: T201 - this is its output


def _wait() -> None:
    if not sys.stdin.readline():
        sys.exit("the other side has gone")


if __name__ == "__main__":
    main()
