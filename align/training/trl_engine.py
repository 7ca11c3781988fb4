"""`engine: trl`: a phase through TRL's own trainers by their public arguments, for those who want the peer's numbers.

Rows, order and tokens are ours: TRL shuffles no KTO rows, and tokenises by itself. So it is given texts in which every token is
a word, and a tokenizer that knows these words; what it trains on is what `align plan` shows.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.rows import Rows
from align.objectives.phase import Phase
from align.processes import ranks
from align.training.plan import Plan, make_plan
from align.training.trackers import NO_TRACKERS, Trackers
from curate.core.config import plain
from curate.core.errors import NonFiniteError, RecipeError
from curate.core.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

    from align.training.trainer import TrainResult

OBJECTIVES = ("sft", "dpo", "kto")
NOT_TRLS = ("token_budget", "together", "save_steps")
"""Options of a phase without a counterpart: TRL takes a batch in one pass, computes a shared prompt twice, and is not resumed."""

NAMES = {"learning_rate": "lr", "loss": "loss", "grad_norm": "grad_norm", "kl": "kl"}
NAMES |= {name: name for name in ("rewards/chosen", "rewards/rejected", "rewards/margins")}
"""TRL's metrics -> ours, where they mean the same."""


def check(phases: Sequence[Phase], where: str) -> None:
    """Refuse what TRL's trainers cannot express.

    Args:
        phases: a recipe's phases.
        where: what to call the recipe in an error.

    Raises:
        RecipeError: an objective or an option without a counterpart, by name.
    """
    for at, phase in enumerate(phases):
        place = f"{where}: phases[{at}]: {phase.name}"
        if phase.name not in OBJECTIVES:
            raise RecipeError(
                f"{place}: TRL has no such trainer", hint=f"engine trl can {', '.join(OBJECTIVES)}, leave engine out"
            )
        for field in dataclasses.fields(Phase):
            if field.name in NOT_TRLS and getattr(phase, field.name) != field.default:
                raise RecipeError(
                    f"{place}: {field.name}: engine trl has nothing like it", hint="leave it out, or leave engine out"
                )
        if phase.name == "kto" and phase.kl_scope != "batch" and phase.batch_size % phase.kl_scope.micro:
            raise RecipeError(
                (
                    f"{place}: kl_scope: {phase.kl_scope.micro} does not divide batch_size {phase.batch_size}, and TRL's "
                    "micro-batches are all of one size"
                ),
                hint="choose one that does",
            )


def train(
    model: PreTrainedModel,
    rows: Rows,
    phase: Phase,
    out: Path,
    seed: int,
    tokenizer: PreTrainedTokenizerBase,
    *,
    threads: int = 1,
    trackers: Trackers = NO_TRACKERS,
) -> TrainResult:
    """Train `model` in place through one phase; the same call again loads its weights.

    A phase that was stopped starts again: TRL's checkpoints are not verified, so none is kept. The order of rows is the plan's
    of `align.training.trainer`; a batch holds as many rows as the largest of the plan's, so that the number of steps is the same.
    z is TRL's: over a micro-batch, against the row before.

    Writes to `out` what `align.training.trainer.train` does, but for what TRL does not say: kl_raw, kl_count, log_ratio_at_start.

    Args:
        model: a causal language model; trained in place.
        rows: what to train on.
        phase: the objective and how it is optimised; see `check`.
        out: this phase's own folder.
        seed: decides the order of rows.
        tokenizer: says which tokens pad and end a turn.
        threads: CPU threads of torch.
        trackers: where metrics go too.

    Raises:
        DataError: no row that the objective can use.
        NonFiniteError: NaN or infinity in the loss or the gradient.
        RecipeError: there are several processes.
        StorageError: `out` holds another phase's work, or cannot be written.
    """
    import torch

    from align.data.run_folder import WEIGHTS, read_metrics
    from align.models.base import tensor_hashes
    from align.training.checkpoints import finish, finished, key_of, load_weights
    from align.training.journal import summary
    from align.training.trainer import TrainResult, quiet

    if ranks.count() > 1:
        raise RecipeError(
            f"engine: trl: found {ranks.count()} processes", hint="start it without a launcher, or leave engine out"
        )
    started = time.perf_counter()
    plan = make_plan(rows, phase, seed)
    out.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("trl")
    key = key_of("trl", version, plain(phase), seed, rows.fingerprint, sorted(tensor_hashes(model).items()))
    steps = len(plan.batches)
    done = finished(out, key)
    if done is None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        path = out / "metrics.jsonl"
        with Progress(f"{phase.name} (trl {version})", steps, "steps") as progress, quiet():
            trainer = _trainer(model, rows, plan, phase, out, seed, tokenizer, trackers)
            trackers.follow(trainer, out)
            trainer.add_callback(_scribe(path, rows, plan, phase, progress))
            trainer.train()
        model.eval()
        lines = read_metrics(path)
        steps = len(lines)
        done = summary(lines)
        finish(model, out, key, done)
        seconds, resumed = time.perf_counter() - started, 0
    else:
        load_weights(model, out)
        seconds, resumed = time.perf_counter() - started, steps
    notes = (f"trained by TRL {version}: a phase that is stopped starts again",)
    return TrainResult(done, steps, plan.rows, plan.left_out, seconds, resumed, out / WEIGHTS, (), notes)


def _trainer(
    model: PreTrainedModel,
    rows: Rows,
    plan: Plan,
    phase: Phase,
    out: Path,
    seed: int,
    tokenizer: PreTrainedTokenizerBase,
    trackers: Trackers,
) -> Any:  # noqa: ANN401 - one of three trainers
    """TRL's trainer of the objective, with every argument that decides something spelt out."""
    import torch
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    paired = phase.name == "dpo"
    micro, passes = _sizes(plan, phase)
    cuda = torch.cuda.is_available()
    shared: dict[str, Any] = {
        "output_dir": str(out),
        "use_cpu": not cuda,
        "bf16": cuda,
        "per_device_train_batch_size": micro // 2 if paired else micro,
        "gradient_accumulation_steps": passes,
        "num_train_epochs": 1,  # the rows of every epoch are laid out one after the other
        "train_sampling_strategy": "sequential",
        "learning_rate": phase.learning_rate,
        "lr_scheduler_type": phase.scheduler if phase.scheduler != "constant" else "constant_with_warmup",
        "warmup_steps": math.ceil(phase.warmup_share * len(plan.batches)),
        "weight_decay": phase.weight_decay,
        "max_grad_norm": phase.max_grad_norm,
        "adam_beta1": phase.adam_beta1,
        "adam_beta2": phase.adam_beta2,
        "optim": "adamw_torch",
        "max_length": None,  # longer rows are left out of the plan
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": seed,
        **trackers.arguments(),
    }
    words = _words(rows, model.config.vocab_size, tokenizer)
    data = Dataset.from_dict(_texts(rows, plan, words, paired=paired, labelled=phase.name == "kto"))
    given: dict[str, Any] = {"model": model, "train_dataset": data, "processing_class": words}
    if phase.name == "sft":
        return SFTTrainer(args=SFTConfig(**shared, completion_only_loss=True), **given)
    reference = copy.deepcopy(model).eval()
    objective = phase.objective
    shared |= {"beta": objective.beta, "precompute_ref_log_probs": True, "disable_dropout": True}
    if paired:
        return DPOTrainer(args=DPOConfig(**shared, loss_type="sigmoid"), ref_model=reference, **given)
    weights = {"desirable_weight": objective.lambda_desirable, "undesirable_weight": objective.lambda_undesirable}
    return KTOTrainer(args=KTOConfig(**shared, **weights, loss_type="kto"), ref_model=reference, **given)


def _sizes(plan: Plan, phase: Phase) -> tuple[int, int]:
    """Rows of a micro-batch, and how many of those are a batch."""
    size = max(len(batch.rows) for batch in plan.batches)
    micro = size if phase.kl_scope == "batch" else min(size, phase.kl_scope.micro)
    return micro, math.ceil(size / micro)


def _order(plan: Plan) -> list[int]:
    return [row for batch in plan.batches for row in batch.rows]


def _words(rows: Rows, vocabulary: int, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast:
    """A tokenizer under which the word "t12" is token 12."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    end = tokenizer.eos_token_id
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    special = {number: f"<{number}>" for number in (pad, end)}  # never found within another word
    spoken = Tokenizer(
        WordLevel({special.get(number, f"t{number}"): number for number in range(vocabulary)}, unk_token=special[end])
    )
    spoken.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=spoken, pad_token=special[pad], eos_token=special[end], unk_token=special[end], padding_side="left"
    )


def _texts(rows: Rows, plan: Plan, words: PreTrainedTokenizerFast, *, paired: bool, labelled: bool) -> dict[str, list[Any]]:
    """The plan's rows in its order, a word per token."""
    special = {words.convert_tokens_to_ids(word): word for word in words.all_special_tokens}

    def text(tokens: Sequence[int]) -> str:
        return " ".join(special.get(token, f"t{token}") for token in tokens)

    def behind(tokens: Sequence[int]) -> str:
        return f" {text(tokens)}"

    order = _order(plan)
    if paired:  # chosen and rejected alternate
        chosen, rejected = order[::2], order[1::2]
        return {
            "prompt": [text(rows.prompts[row]) for row in chosen],
            "chosen": [behind(rows.completions[row]) for row in chosen],
            "rejected": [behind(rows.completions[row]) for row in rejected],
        }
    texts: dict[str, list[Any]] = {
        "prompt": [text(rows.prompts[row]) for row in order],
        "completion": [behind(rows.completions[row]) for row in order],
    }
    return texts | {"label": [rows.desirable[row] for row in order]} if labelled else texts


def _scribe(path: Path, rows: Rows, plan: Plan, phase: Phase, progress: Progress) -> Any:  # noqa: ANN401 - a TrainerCallback
    """Writes each step's line, and stops at NaN."""
    from transformers import TrainerCallback

    order, size, since = _order(plan), math.prod(_sizes(plan, phase)), time.perf_counter()
    path.write_text("", encoding="utf-8")

    class Scribe(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: object, state: Any, control: object, logs: dict[str, float], **_: object) -> None:  # noqa: ANN401
            nonlocal since
            if "loss" not in logs:
                return
            step = int(state.global_step)
            for name in ("loss", "grad_norm"):
                if not math.isfinite(logs.get(name, 0.0)):
                    raise NonFiniteError(
                        f"phase {phase.name}: step {step}: NaN or infinity in {name}", hint="lower learning_rate"
                    )
            batch, now = order[(step - 1) * size : step * size], time.perf_counter()
            tokens = sum(rows.lengths[row] for row in batch)
            line: dict[str, float] = {"step": step, "rows": len(batch), "tokens": tokens}
            line |= {ours: float(logs[theirs]) for theirs, ours in NAMES.items() if theirs in logs}
            line |= {"rows/s": len(batch) / (now - since), "tokens/s": tokens / (now - since)}
            for side, desirable in (("chosen", True), ("rejected", False)):
                lengths = [len(rows.completions[row]) for row in batch if rows.desirable[row] == desirable]
                if lengths and f"logps/{side}" in logs:  # theirs are per row, ours per token
                    line[f"logps/{side}"] = float(logs[f"logps/{side}"]) * len(lengths) / sum(lengths)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            since = now
            progress.add(1)

    return Scribe()
