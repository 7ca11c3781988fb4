"""Seconds of a step and the peak of memory, on a CPU or a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from align.bench.messages import Say, Settings, StepTime

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerState


class Meter:
    """What a step costs, from the end of one to the end of the next: collating, forward, backward, clipping, AdamW, logging.

    Args:
        settings: which device, and how many steps.
        say: called with each message.
        wait: called before each step on a CPU, and once before the first on a GPU.
    """

    def __init__(self, settings: Settings, say: Say, wait: Callable[[], None]) -> None:
        self._settings, self._say, self._wait = settings, say, wait
        self._since = 0.0

    def callback(self) -> TrainerCallback:
        """What lets a trainer's steps be measured."""
        from transformers import TrainerCallback

        meter = self

        class Lockstep(TrainerCallback):  # type: ignore[misc]
            def on_train_begin(self, args: object, state: object, control: object, **_: object) -> None:
                meter.begin()

            def on_step_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
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
        self._say(StepTime(step, now - self._since))
        if self._settings.device == "cpu" and not last:
            self._wait()
        self._since = self._now()

    def peak(self) -> int:
        """Most bytes held while there were steps."""
        if self._settings.device == "cpu":
            return peak_resident()
        import torch

        return torch.cuda.max_memory_allocated()

    def _now(self) -> float:
        """Seconds: of CPU, or of the clock once the GPU is done."""
        if self._settings.device == "cpu":
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()


def peak_resident() -> int:
    """Most bytes of this process in memory since the peak was last cleared; getrusage cannot clear its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
