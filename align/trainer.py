"""Train a model through one phase, on the shell of `transformers.Trainer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from align.phase import Phase
    from align.rows import Rows


@dataclass(frozen=True)
class TrainResult:
    """What a finished phase leaves behind.

    Attributes:
        metrics: means over the last tenth of the steps, by the names of metrics.jsonl (loss, kl, rewards/margins, ...);
            `kl_positive_share`: share of all steps with z > 0 (absent where the objective has no z);
            `log_ratio_at_start`: largest |log-ratio| of the first batch before any update, nats (absent without a reference).
        steps: optimizer steps of the phase.
        rows: usable rows, each seen once an epoch.
        left_out: rows the objective cannot use or that are longer than `max_length`, by reason.
        seconds: wall-clock time of this call.
        resumed_from: step of the checkpoint that this call went on from; 0 for a fresh start; `steps` when it was done already.
        model: path of the trained weights, `out/model.safetensors`.
    """

    metrics: dict[str, float]
    steps: int
    rows: int
    left_out: dict[str, int]
    seconds: float
    resumed_from: int
    model: Path


def train(
    model: PreTrainedModel,
    rows: Rows,
    phase: Phase,
    out: Path,
    seed: int,
    log: Callable[[dict[str, float]], None] | None = None,
    *,
    threads: int | None = None,
    log_every: int = 10,
) -> TrainResult:
    """Train `model` in place through one phase; the same call again resumes it, or, once it is done, loads its weights.

    Packing needs no padding, so no pad token is asked for. The reference of an objective that has one is the model as it is
    handed over; its log-probabilities are computed before the first step and kept in `out`, and no second model is held.
    Dropout is off. On a CPU the result depends on the arguments alone: a run that was interrupted anywhere and resumed ends
    in the same bits.

    Writes to `out`: `metrics.jsonl` (one line per optimizer step: step, loss, lr, grad_norm, rows, tokens, rows/s, tokens/s,
    logps/chosen and logps/rejected (per token, desirable and undesirable rows), and, where the objective has a reference,
    rewards/chosen, rewards/rejected, rewards/margins (nats times beta), kl, kl_raw, kl_count), `checkpoint-<step>/` while it
    runs, and at the end `model.safetensors`, `config.json` and the receipt `done.json`.

    Args:
        model: a causal language model; fp32 on a CPU. Trained in place.
        rows: what to train on; the phase takes the rows that its objective can use.
        phase: the objective and how it is optimised.
        out: this phase's own folder; made when absent.
        seed: decides the order of rows and the KL partners; with `rows` and `phase`, all there is to decide.
        log: called with a step's metrics once every `log_every` steps and after the last one.
        threads: CPU threads for torch; by default one for models under 20 M parameters (more only wait for each other), else
            torch's own choice. Changing it may change the last bits of the result.
        log_every: optimizer steps between two calls of `log`.

    Returns:
        Figures of the finished phase.

    Raises:
        DataError: no row that the objective can use.
        UserError: the model's architecture cannot be packed exactly.
        NonFiniteError: NaN or infinity in the weights, log-probabilities, loss or gradient; the last good checkpoint is kept.
        Interrupted: SIGINT or SIGTERM came and a checkpoint was saved; the same call goes on from there (exit code 130 or 143).
        StorageError: `out` holds another phase's work, or cannot be written.
    """
    raise NotImplementedError("the training step is not written yet")
