"""Our training step against TRL's, as it comes and tuned: the same rows, weights and order, each in a fresh process."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from align.bench.figures import BenchFigures, ScenarioFigures, SideFigures
from align.bench.messages import SIDES, Settings, SetUp, StepTime, Totals
from curate.core.errors import UserError

VERSIONS = ("margins", "torch", "transformers", "trl", "peft", "accelerate")
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense bf16, by the vendor's data sheets
WARMUP = 1  # steps: the first one allocates, and optimizers make their state in it

Message = TypeVar("Message", SetUp, StepTime, Totals)


@dataclass(frozen=True)
class Raced:
    """One side's messages, in order: how it was set up, seconds of the counted steps, and what it told at the end."""

    set_up: SetUp
    seconds: list[float]
    totals: Totals


@dataclass(frozen=True)
class Scenario:
    """What is raced; lengths are lognormal.

    Attributes:
        hidden: width of the random Llama.
        layers: its layers.
        vocabulary: its tokens.
        paired: two completions of each prompt, one of each class; both KTO rows.
        steps: counted steps.
        goals: side -> how many times faster ours is meant to be.
    """

    hidden: int
    layers: int
    vocabulary: int
    paired: bool
    steps: int
    goals: Mapping[str, float]


SCENARIOS: dict[str, Scenario] = {
    "proxy": Scenario(512, 8, 8_192, False, 4, {"trl default": 4.0, "trl tuned": 2.0}),
    "vocabulary": Scenario(512, 8, 131_072, False, 2, {"trl tuned": 3.0}),
    "paired": Scenario(512, 8, 8_192, True, 4, {"trl tuned": 2.5}),
}
"""Stand-ins for LoRA on a GPU that a CPU can run; a large vocabulary is what Llama-3 and its kin have."""


def bench(
    scenarios: Sequence[str],
    say: Callable[[str], None],
    *,
    model: Path | None = None,
    device: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> BenchFigures:
    """Race each scenario.

    On a CPU the sides take their steps in turn, so that what else the machine does costs each the same; on a GPU one after
    another, so that none holds memory while another runs.

    Args:
        scenarios: keys of `SCENARIOS`.
        say: called with a line as each begins.
        model: folder of a model in place of the scenarios' random one.
        device: "cpu" or "cuda"; by default cuda where there is one.
        changes: settings in place of the scenario's, for small runs (see `messages.Settings`).

    Returns:
        Figures by scenario, versions and the kind of machine.

    Raises:
        UserError: a side failed, or there is no such device.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("align bench: found no CUDA device", hint="leave --device out, or pass --device cpu")
    if device == "cpu" and not Path("/proc/self").is_dir():
        raise UserError("align bench: on a CPU memory is measured by /proc, which only Linux has", hint="pass --device cuda")
    figures = {}
    for name in scenarios:
        scenario = SCENARIOS[name]
        say(f"bench: {name}")
        settings = dataclasses.replace(_settings(scenario, model, device), **(changes or {}))
        raced = _lockstep(settings, name) if device == "cpu" else _in_turn(settings)
        figures[name] = _figures(raced, settings, scenario)
    return BenchFigures(_machine(device), {name: importlib.metadata.version(name) for name in VERSIONS}, figures)


def _settings(scenario: Scenario, model: Path | None, device: str) -> Settings:
    vocabulary = scenario.vocabulary
    if model is not None:
        try:
            vocabulary = int(json.loads((model / "config.json").read_bytes())["vocab_size"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{model}: holds no model config ({error})", hint="pass a folder with config.json and weights"
            ) from None
    return Settings(
        side="",
        folder="",
        model=None if model is None else str(model.resolve()),
        hidden=scenario.hidden,
        layers=scenario.layers,
        vocabulary=vocabulary,
        device=device,
        paired=scenario.paired,
        batch=8,
        steps=scenario.steps + WARMUP,
        warmup=WARMUP,
        prompt=60,
        completion=40,
        rank=16,
        threads=1 if device == "cpu" else (os.cpu_count() or 1),
    )


class _Side:
    """A contender's process."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._log, self._name = log, settings.side
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "align.bench.contender"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": str(settings.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"},
            )
        self.tell(json.dumps(dataclasses.asdict(settings)))

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def hear(self, kind: type[Message]) -> Message:
        """The next message, which is of this kind."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._failed()
        return kind(**json.loads(line))

    def _failed(self) -> UserError:
        last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
        return UserError(
            f"align bench: {self._name} failed ({last[0][:200]})", hint="install what it lacks, or give it more memory"
        )


@contextmanager
def _started(settings: Settings, side: str) -> Iterator[_Side]:
    with tempfile.TemporaryDirectory() as folder:
        contender = _Side(dataclasses.replace(settings, side=side, folder=folder), Path(folder) / "log")
        try:
            yield contender
        finally:
            contender.process.kill()
            contender.process.communicate()


def _lockstep(settings: Settings, name: str) -> dict[str, Raced]:
    """Every side up at once, a step of each in turn; who goes first changes from step to step."""
    from curate.core.progress import Progress

    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    with ExitStack() as stack, Progress(f"bench {name}", settings.steps, "steps") as progress:
        sides, set_ups = {}, {}
        for side in SIDES:  # set up one by one, for the machine's sake
            sides[side] = stack.enter_context(_started(settings, side))
            set_ups[side] = sides[side].hear(SetUp)
        for step in range(settings.steps):
            for place in range(len(SIDES)):
                side = SIDES[(place + step) % len(SIDES)]
                sides[side].tell()
                seconds[side].append(sides[side].hear(StepTime).seconds)
            progress.add(1)
        return {side: Raced(set_ups[side], seconds[side][settings.warmup :], sides[side].hear(Totals)) for side in SIDES}


def _in_turn(settings: Settings) -> dict[str, Raced]:
    """One side after another, undisturbed; the clock is read after the warm-up and after the last step."""
    raced = {}
    for side in SIDES:
        with _started(settings, side) as contender:
            set_up = contender.hear(SetUp)
            contender.tell()
            contender.hear(StepTime)  # the warm-up
            raced[side] = Raced(set_up, [contender.hear(StepTime).seconds], contender.hear(Totals))
    return raced


def _figures(raced: Mapping[str, Raced], settings: Settings, scenario: Scenario) -> ScenarioFigures:
    """Rates over the counted steps, ratios, and how far the losses are apart."""
    ours = raced["ours"].totals
    steps = settings.steps - settings.warmup
    tokens, flops = sum(ours.tokens[settings.warmup :]), sum(ours.flops[settings.warmup :])
    peak = peak_flops(_gpu()) if settings.device == "cuda" else None
    sides = {}
    for side, one in raced.items():
        total = sum(one.seconds)
        sides[side] = SideFigures(
            seconds_per_step=total / steps,
            rows_per_second=steps * settings.batch / total,
            tokens_per_second=tokens / total,
            mfu=None if peak is None else flops / total / peak,
            bytes_at_peak=one.totals.bytes_at_peak,
            set_up_cpu_seconds=one.set_up.cpu_seconds,
            losses=one.totals.losses,
        )
    others = [side for side in SIDES if side != "ours"]
    return ScenarioFigures(
        settings=settings,
        tokens_per_step=tokens / steps,
        clock="CPU seconds" if settings.device == "cpu" else "seconds",
        sides=sides,
        times_faster={side: sides[side].seconds_per_step / sides["ours"].seconds_per_step for side in others},
        loss_differences={
            side: [abs(a - b) for a, b in zip(ours.losses, raced[side].totals.losses, strict=True)] for side in others
        },
        goals={} if settings.model else dict(scenario.goals),
    )


def peak_flops(gpu: str) -> float | None:
    """Floating-point operations a second that a GPU could do, by its name; None for one that is not in the table.

    >>> peak_flops("NVIDIA H200")
    989000000000000.0
    """
    return next((peak for kind, peak in PEAK_FLOPS.items() if kind in gpu), None)


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name()


def _machine(device: str) -> str:
    return f"{_gpu()}, bf16" if device == "cuda" else f"CPU with {os.cpu_count()} cores, one thread a side, fp32"
