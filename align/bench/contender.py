"""One side of `align bench`, in a process of its own: a real trainer that takes a step when it is told to.

    python -m align.contender < settings.json

Settings come as the first line of standard input; after it, each line lets one step go (on a GPU all go at once). Every line
of standard output is a JSON object: what was set up, what each step cost, and at the end the losses and the peak of memory.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align.data.rows import Rows
    from align.objectives.phase import Phase
    from align.training.plan import Plan

SIDES = ("ours", "trl default", "trl tuned")
SPREAD = 0.6  # of the logarithm of lengths
EOS = 2
FIRST = 3  # token ids below are pad, bos and eos
SEED = 0
BETA = 0.1  # TRL's and ours
RATE = 1e-4  # large enough that twenty steps show a wrong gradient


@dataclass(frozen=True)
class Settings:
    """What every side is given.

    Attributes:
        side: one of `SIDES`.
        folder: where the trainer may write.
        model: folder of a model, or None for a Llama of `hidden` x `layers` with random weights.
        hidden: width.
        layers: how many.
        vocabulary: tokens.
        device: "cpu" or "cuda".
        paired: two completions of each prompt, one of each class.
        batch: rows in an optimizer batch.
        steps: optimizer steps, the warm-up among them.
        warmup: steps that are not counted.
        prompt: mean tokens of a prompt.
        completion: mean tokens of a completion, end of turn left out.
        rank: of the adapters.
        threads: of torch.
    """

    side: str
    folder: str
    model: str | None
    hidden: int
    layers: int
    vocabulary: int
    device: str
    paired: bool
    batch: int
    steps: int
    warmup: int
    prompt: int
    completion: int
    rank: int
    threads: int


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

    made = make_plan(rows, phase, SEED)
    batches = []
    for batch in made.batches:
        order = sorted(batch.rows, key=lambda row: not rows.desirable[row])
        batches.append(Batch(tuple(order), (order[-1], *order[:-1])))
    return Plan(tuple(batches), made.rows, made.left_out)


def bare_model(settings: Settings) -> Any:  # noqa: ANN401 - a transformers model
    """The model before its adapters; TRL as it comes holds it in fp32, as it loads models by name."""
    import torch

    cuda = settings.device == "cuda"
    dtype = torch.bfloat16 if cuda and settings.side != "trl default" else torch.float32
    if settings.model is not None:
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(settings.model, dtype=dtype, use_safetensors=True)
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(SEED)
        heads = max(1, settings.hidden // 64)
        made = LlamaConfig(
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
        model = LlamaForCausalLM(made).to(dtype)
    return model.to(settings.device)


def our_trainer(settings: Settings, rows: Rows, plan: Plan, phase: Phase) -> Any:  # noqa: ANN401 - a trainer
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


def their_trainer(settings: Settings, rows: Rows, plan: Plan) -> Any:  # noqa: ANN401 - a trainer
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


def race(settings: Settings, say: Callable[[dict[str, Any]], None], wait: Callable[[], None]) -> None:
    """Set a side up and take its steps.

    Args:
        settings: which side, and of what.
        say: called with what was found.
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
    meter = _Meter(settings, say, wait)
    losses: list[Any] = []
    step = trainer.training_step

    def kept(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - handed through
        losses.append(step(*args, **options))
        return losses[-1]

    trainer.training_step = kept
    trainer.add_callback(meter.callback())
    say({"set_up_cpu_s": time.process_time() - before})
    with packed(trainer.model) if ours else contextlib.nullcontext():
        trainer.train()
    tokens = [sum(rows.lengths[row] for row in batch.rows) for batch in plan.batches]
    say(
        {"losses": [float(loss) for loss in losses], "tokens": tokens, "flops": needed_flops(trainer.model, rows, plan)}
        | meter.memory()
    )


def needed_flops(model: Any, rows: Rows, plan: Plan) -> list[float]:  # noqa: ANN401 - a transformers model
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


class _Meter:
    """What a step costs, from the end of one to the end of the next: collating, forward, backward, clipping, AdamW, logging."""

    def __init__(self, settings: Settings, say: Callable[[dict[str, Any]], None], wait: Callable[[], None]) -> None:
        self._settings, self._say, self._wait = settings, say, wait
        self._since = 0.0

    def callback(self) -> Any:  # noqa: ANN401 - a TrainerCallback
        from transformers import TrainerCallback

        meter = self

        class Lockstep(TrainerCallback):  # type: ignore[misc]
            def on_train_begin(self, args: object, state: object, control: object, **_: object) -> None:
                meter.begin()

            def on_step_end(self, args: object, state: Any, control: object, **_: object) -> None:  # noqa: ANN401
                meter.end(int(state.global_step))

        return Lockstep()

    def begin(self) -> None:
        """Before the first step."""
        if self._settings.device == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here, what is held already with it
        else:
            import torch

            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._wait()
        self._since = self._now()

    def end(self, step: int) -> None:
        """After a step; on a GPU only where the clock must be read, for a read waits for the device."""
        last = step == self._settings.steps
        if self._settings.device != "cpu" and step != self._settings.warmup and not last:
            return
        now = self._now()
        self._say({"step": step, "seconds": now - self._since})
        if self._settings.device == "cpu" and not last:
            self._wait()
        self._since = self._now()

    def memory(self) -> dict[str, int]:
        """Most bytes held while there were steps."""
        if self._settings.device == "cpu":
            return {"bytes_at_peak": _peak_resident()}
        import torch

        return {"bytes_at_peak": torch.cuda.max_memory_allocated()}

    def _now(self) -> float:
        """Seconds: of CPU, or of the clock once the GPU is done."""
        if self._settings.device == "cpu":
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()


def _peak_resident() -> int:
    """Most bytes of this process in memory since the peak was last cleared; getrusage cannot clear its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Read settings, race, and keep everything that libraries print away from the answers."""
    settings = Settings(**json.loads(sys.stdin.readline()))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    race(settings, lambda found: print(json.dumps(found), file=answers), _wait)  # noqa: T201 - this is its output


def _wait() -> None:
    if not sys.stdin.readline():
        sys.exit("the other side has gone")


if __name__ == "__main__":
    main()
