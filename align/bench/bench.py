"""Our training step against TRL's, as it comes and tuned: the same rows, weights and order, each in a fresh process.

python -m align.bench FIGURES.json   # the table of figures that `align bench --json` printed
"""

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
from typing import Any

from align.bench.contender import SIDES, Settings
from curate.core.errors import UserError
from curate.pages.tables import table_lines

VERSIONS = ("margins", "torch", "transformers", "trl", "peft", "accelerate")
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense bf16, by the vendor's data sheets
WARMUP = 1  # steps: the first one allocates, and optimizers make their state in it


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
) -> dict[str, Any]:
    """Race each scenario.

    On a CPU the sides take their steps in turn, so that what else the machine does costs each the same; on a GPU one after
    another, so that none holds memory while another runs.

    Args:
        scenarios: keys of `SCENARIOS`.
        say: called with a line as each begins.
        model: folder of a model in place of the scenarios' random one.
        device: "cpu" or "cuda"; by default cuda where there is one.
        changes: settings in place of the scenario's, for small runs (see `contender.Settings`).

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
        settings = _settings(scenario, model, device, changes or {})
        raced = _lockstep(settings, name) if device == "cpu" else _in_turn(settings, name)
        figures[name] = _figures(raced, settings, scenario)
    return {
        "format": 1,
        "machine": _machine(device),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "scenarios": figures,
    }


def _settings(scenario: Scenario, model: Path | None, device: str, changes: Mapping[str, Any]) -> Settings:
    vocabulary = scenario.vocabulary
    if model is not None:
        try:
            vocabulary = int(json.loads((model / "config.json").read_bytes())["vocab_size"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{model}: holds no model config ({error})", hint="pass a folder with config.json and weights"
            ) from None
    made = Settings(
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
    return dataclasses.replace(made, **changes)


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

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._failed()
        heard: dict[str, Any] = json.loads(line)
        return heard

    def _failed(self) -> UserError:
        last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
        return UserError(
            f"align bench: {self._name} failed ({last[0][:200]})", hint="its dependencies may be missing or memory too small"
        )


@contextmanager
def _started(settings: Settings) -> Iterator[_Side]:
    with tempfile.TemporaryDirectory() as folder:
        side = _Side(dataclasses.replace(settings, folder=folder), Path(folder) / "log")
        try:
            yield side
        finally:
            side.process.kill()
            side.process.communicate()


def _lockstep(settings: Settings, name: str) -> dict[str, dict[str, Any]]:
    """Every side up at once, a step of each in turn; who goes first changes from step to step."""
    from curate.core.progress import Progress

    found: dict[str, dict[str, Any]] = {side: {"seconds": []} for side in SIDES}
    with ExitStack() as stack, Progress(f"bench {name}", settings.steps, "steps") as progress:
        sides = {}
        for side in SIDES:  # set up one by one, for the machine's sake
            sides[side] = stack.enter_context(_started(dataclasses.replace(settings, side=side)))
            found[side] |= sides[side].hear()
        for step in range(settings.steps):
            for place in range(len(SIDES)):
                side = SIDES[(place + step) % len(SIDES)]
                sides[side].tell()
                found[side]["seconds"].append(sides[side].hear()["seconds"])
            progress.add(1)
        for side in SIDES:
            found[side] |= sides[side].hear()
    return {side: values | {"seconds": values["seconds"][settings.warmup :]} for side, values in found.items()}


def _in_turn(settings: Settings, name: str) -> dict[str, dict[str, Any]]:
    """One side after another, undisturbed; the clock is read after the warm-up and after the last step."""
    found: dict[str, dict[str, Any]] = {}
    for side in SIDES:
        with _started(dataclasses.replace(settings, side=side)) as process:
            found[side] = process.hear()
            process.tell()
            process.hear()  # the warm-up
            found[side]["seconds"] = [process.hear()["seconds"]]
            found[side] |= process.hear()
    return found


def _figures(raced: Mapping[str, dict[str, Any]], settings: Settings, scenario: Scenario) -> dict[str, Any]:
    """Rates over the counted steps, ratios, and how far the losses are apart."""
    ours = raced["ours"]
    steps = settings.steps - settings.warmup
    tokens, flops = sum(ours["tokens"][settings.warmup :]), sum(ours["flops"][settings.warmup :])
    peak = _peak_flops(settings.device)
    sides = {}
    for side, values in raced.items():
        total = sum(values["seconds"])
        sides[side] = {
            "seconds_per_step": total / steps,
            "rows_per_second": steps * settings.batch / total,
            "tokens_per_second": tokens / total,
            "mfu": None if peak is None else flops / total / peak,
            "bytes_at_peak": values["bytes_at_peak"],
            "set_up_cpu_seconds": values["set_up_cpu_s"],
            "losses": values["losses"],
        }
    others = [side for side in SIDES if side != "ours"]
    return {
        "settings": {key: value for key, value in dataclasses.asdict(settings).items() if key not in {"side", "folder", "model"}},
        "tokens_per_step": tokens / steps,
        "clock": "CPU seconds" if settings.device == "cpu" else "seconds",
        "sides": sides,
        "times_faster": {side: sides[side]["seconds_per_step"] / sides["ours"]["seconds_per_step"] for side in others},
        "loss_differences": {
            side: [abs(a - b) for a, b in zip(ours["losses"], raced[side]["losses"], strict=True)] for side in others
        },
        "goals": {} if settings.model else dict(scenario.goals),
    }


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [abs(a - b) for a, b in zip(ours, theirs, strict=True)]


def _peak_flops(device: str) -> float | None:
    import torch

    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((peak for kind, peak in PEAK_FLOPS.items() if kind in name), None)


def _machine(device: str) -> str:
    import torch

    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, bf16"
    return f"CPU with {os.cpu_count()} cores, one thread a side, fp32"


def table(results: Mapping[str, Any]) -> str:
    """The figures as text: a table per scenario, and a verdict on every goal."""
    lines = [results["machine"] + "; " + ", ".join(f"{name} {version}" for name, version in results["versions"].items())]
    for name, found in results["scenarios"].items():
        settings = found["settings"]
        what = f"{settings['vocabulary']:,} tokens of vocabulary, batch {settings['batch']}"
        what += ", shared prompts" if settings["paired"] else ""
        lines += ["", f"{name}: {what}, {found['tokens_per_step']:.0f} tokens a step, {found['clock']}"]
        header = ["", "s/step", "rows/s", "tokens/s", "MFU", "peak MB", "ours is", "losses within"]
        rows = []
        for side, values in found["sides"].items():
            mfu = "-" if values["mfu"] is None else f"{values['mfu']:.1%}"
            other = side in found["times_faster"]
            rows.append(
                [
                    side,
                    f"{values['seconds_per_step']:.3f}",
                    f"{values['rows_per_second']:.2f}",
                    f"{values['tokens_per_second']:.0f}",
                    mfu,
                    f"{values['bytes_at_peak'] / 1e6:,.0f}",
                    f"{found['times_faster'][side]:.2f} x" if other else "",
                    f"{max(found['loss_differences'][side]):.1e}" if other else "",
                ]
            )
        lines += table_lines(header, rows)
        lines += [f"goal {text}: {'reached' if holds else 'MISSED'}" for text, holds in goals(found)]
    return "\n".join(lines)


def goals(found: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What a scenario is meant to reach, in words, and whether it does."""
    reached = [
        (f">= {goal:g} x {side}: {found['times_faster'][side]:.2f}", found["times_faster"][side] >= goal)
        for side, goal in found["goals"].items()
    ]
    ours, theirs = (found["sides"][side]["bytes_at_peak"] for side in ("ours", "trl tuned"))
    if found["goals"]:
        reached.append((f"peak memory <= trl tuned: {ours / theirs:.2f} of it", ours <= theirs))
    return reached


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(Path(sys.argv[1]).read_bytes())) + "\n")
