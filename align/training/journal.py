"""`metrics.jsonl`: one line per optimizer step, fetched from the device many at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from align.data.run_folder import read_metrics

if TYPE_CHECKING:
    from torch import Tensor

SUMS = (
    "loss",
    "reward_chosen",
    "reward_rejected",
    "log_prob_chosen",
    "log_prob_rejected",
    "log_ratio_mismatched",
    "kl",  # z, clamped at 0; the mean over rows where they have several
    "grad_norm",
)


@dataclass(frozen=True)
class Counts:
    """What a step's sums are divided by, known before it runs."""

    step: int
    lr: float
    rows: int
    tokens: int
    chosen_rows: int
    rejected_rows: int
    chosen_tokens: int
    rejected_tokens: int
    kl_count: int | None
    reference: bool
    log_ratio_at_start: float | None = None


class Journal:
    """Holds the steps' sums on the device until `drain`, which waits for the device once.

    Args:
        path: the file; lines beyond `step` are cut away, since a resumed run writes them again. None keeps no lines: of
            several processes only one writes.
        step: optimizer steps that are done already.
    """

    def __init__(self, path: Path | None, step: int) -> None:
        """Keep what the resumed checkpoint has seen."""
        self._path = path
        self._lines = [line for line in read_metrics(path) if line["step"] <= step] if path else []
        self._waiting: list[tuple[Counts, Tensor]] = []
        self._since = time.perf_counter()
        if path:
            path.write_text("".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8")

    def add(self, counts: Counts, sums: Tensor) -> None:
        """Note a step.

        Args:
            counts: what the sums are divided by.
            sums: as `SUMS` names them, over the whole optimizer batch; shape (8,), on the device.
        """
        self._waiting.append((counts, sums))

    def drain(self) -> dict[str, float]:
        """Write the waiting steps; return the newest line (empty when there is none yet)."""
        if self._waiting:
            import torch

            now = time.perf_counter()
            values = torch.stack([sums for _, sums in self._waiting]).tolist()
            seconds = max(now - self._since, 1e-9)
            rates = {
                "rows/s": sum(counts.rows for counts, _ in self._waiting) / seconds,
                "tokens/s": sum(counts.tokens for counts, _ in self._waiting) / seconds,
            }
            lines = [
                line_of(counts, dict(zip(SUMS, row, strict=True))) | rates
                for (counts, _), row in zip(self._waiting, values, strict=True)
            ]
            if self._path:
                with self._path.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line) + "\n" for line in lines)
                    file.flush()
                    os.fsync(file.fileno())
            self._lines += lines
            self._waiting, self._since = [], now
        return dict(self._lines[-1]) if self._lines else {}

    def summary(self) -> dict[str, float]:
        """Means over the last tenth of the steps, and the share of all steps with z > 0."""
        return summary(self._lines)


def summary(lines: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the last tenth of a journal's lines, and the share of all steps with z > 0."""
    tail = lines[-max(1, len(lines) // 10) :]
    names = {name for line in tail for name in line} - {"step"}
    means = {}
    for name in sorted(names):
        values = [line[name] for line in tail if name in line]
        means[name] = sum(values) / len(values)
    if lines and "log_ratio_at_start" in lines[0]:
        means["log_ratio_at_start"] = lines[0]["log_ratio_at_start"]
    drifts = [line["kl"] for line in lines if "kl" in line]
    if drifts:
        means["kl_positive_share"] = sum(drift > 0 for drift in drifts) / len(drifts)
    return means


def line_of(counts: Counts, sums: Mapping[str, float]) -> dict[str, float]:
    """A step's line: sums over counts, under the names the field uses; what has no rows is left out."""
    line: dict[str, float] = {"step": counts.step, "loss": sums["loss"], "lr": counts.lr, "grad_norm": sums["grad_norm"]}
    line |= {"rows": counts.rows, "tokens": counts.tokens}
    for side, rows, tokens in (
        ("chosen", counts.chosen_rows, counts.chosen_tokens),
        ("rejected", counts.rejected_rows, counts.rejected_tokens),
    ):
        if rows:
            line[f"logps/{side}"] = sums[f"log_prob_{side}"] / tokens
        if rows and counts.reference:
            line[f"rewards/{side}"] = sums[f"reward_{side}"] / rows
    if "rewards/chosen" in line and "rewards/rejected" in line:
        line["rewards/margins"] = line["rewards/chosen"] - line["rewards/rejected"]
    if counts.kl_count is not None:
        raw = sums["log_ratio_mismatched"] / counts.kl_count if counts.kl_count else 0.0
        line |= {"kl": sums["kl"], "kl_raw": raw, "kl_count": counts.kl_count}
    if counts.log_ratio_at_start is not None:
        line["log_ratio_at_start"] = counts.log_ratio_at_start
    return line
