"""What the training of one phase is given, and what it leaves: both engines take the one and return the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align.data.rows import Rows
from align.objectives.phase import Phase
from align.training.trackers import NO_TRACKERS, Trackers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainingJob:
    """One phase to train. Model, rows, phase and seed decide the result; the rest says where, and who is told.

    Attributes:
        model: a causal language model; fp32 on a CPU. Trained in place.
        rows: what to train on; the phase takes the rows that its objective can use.
        phase: the objective and how it is optimised.
        folder: this phase's own; made when absent.
        seed: decides the order of rows and the KL partners.
        log: called with a step's metrics once every `log_every` steps and after the last one.
        log_every: optimizer steps between two calls of `log`.
        threads: CPU threads for torch; by default one for models under 20 M parameters (more only wait for each other), else
            torch's own choice. Changing it may change the last bits of the result.
        cache: folder where runs share the reference's log-probabilities; by default one in `folder`.
        trackers: where what `log` hears goes too.
    """

    model: PreTrainedModel
    rows: Rows
    phase: Phase
    folder: Path
    seed: int
    _: KW_ONLY
    log: Callable[[dict[str, float]], None] | None = None
    log_every: int = 10
    threads: int | None = None
    cache: Path | None = None
    trackers: Trackers = NO_TRACKERS


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
        model: path of the trained weights, `model.safetensors` in the job's folder.
        damaged: checkpoints that were passed over, and what was wrong with each.
        notes: what was done otherwise than asked, a line each: rows padded, a smaller token budget.
    """

    metrics: dict[str, float]
    steps: int
    rows: int
    left_out: dict[str, int]
    seconds: float
    resumed_from: int
    model: Path
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
