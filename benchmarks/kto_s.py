"""KTO-S against KTO where z is large: maximum KL and spread of the gradient's norm, in paired seeds.

    python benchmarks/kto_s.py --data pairs/ --out benchmarks/results

KTO-S differs from KTO only where z > 0. On the example data as they are z stays near 0 (`align plan R --probe-kl`). It rises
where a completion says little about its prompt, so that mismatched completions gain as the matched ones do: here every
desirable completion is one of a few stock replies, drawn from the data's own, and 95 % of the rows are desirable. Both
objectives take the same rows, batches, partners and base model (`builtin:tiny`, seed 0) in each seed.

Two settings stand beside it: 97 % desirable rows with a high beta and replies as they are, where beta*z passes 0.5 in half of
the steps, and the data as they are, where the two objectives are one.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from align.data.dataset import open_dataset, phase_rows
from align.data.rows import Rows
from align.models.table import MODELS
from align.objectives.phase import parse
from align.pipeline.drift import FELT, skewed
from align.training.journal import read
from align.training.trainer import train
from curate.core.progress import Progress
from curate.core.store import write_json

OBJECTIVES = ("kto", "kto_s")
SETTINGS: dict[str, dict[str, Any]] = {
    "stock replies": {"share": 0.95, "stock": 8, "beta": 0.5, "learning_rate": 1e-3},
    "few undesirable rows": {"share": 0.97, "stock": None, "beta": 3.0, "learning_rate": 1e-4},
    "as the data are": {"share": None, "stock": None, "beta": 0.5, "learning_rate": 1e-3},
}
STEPS, BATCH = 30, 16
DRAWS = 10_000  # of the bootstrap


def rows_of(whole: Rows, share: float | None, stock: int | None, seed: int) -> Rows:
    """A seed's rows: the share of desirable ones, and stock replies in their place where the setting has them."""
    rows = whole if share is None else skewed(whole, share, seed)
    if stock is None:
        return rows
    draw = random.Random(f"stock:{seed}")
    desirable = [index for index, side in enumerate(rows.desirable) if side]
    replies = [rows.completions[index] for index in draw.sample(desirable, stock)]
    said = [draw.choice(replies) if side else own for side, own in zip(rows.desirable, rows.completions, strict=True)]
    return dataclasses.replace(rows, completions=said)


def figures(lines: list[dict[str, float]], beta: float) -> dict[str, Any]:
    """What a run showed, from its second step on: before the first nothing has moved."""
    kl, norms = [line["kl"] for line in lines[1:]], [line["grad_norm"] for line in lines[1:]]
    return {
        "max_kl": max(kl),
        "grad_norm_spread": statistics.stdev(norms),
        "grad_norm_mean": statistics.fmean(norms),
        "z_positive_share": statistics.fmean(value > 0 for value in kl),
        "beta_z_felt_share": statistics.fmean(beta * value >= FELT for value in kl),
        "beta_z_mean": beta * statistics.fmean(kl),
        "kl": kl,
        "grad_norm": norms,
        "margin": [line["rewards/margins"] for line in lines[1:] if "rewards/margins" in line],
    }


def compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Ratio KTO-S to KTO of each figure by seed: geometric mean, its 95 % interval by bootstrap over seeds, wins."""
    found = {}
    for name in ("max_kl", "grad_norm_spread"):
        pairs = [(one[name], other[name]) for one, other in zip(runs["kto_s"], runs["kto"], strict=True)]
        if any(value <= 0 for pair in pairs for value in pair):
            found[name] = {"ratio": None, "low": None, "high": None, "smaller": sum(a < b for a, b in pairs)}
            continue
        logs = [math.log(a / b) for a, b in pairs]
        draw = random.Random(0)
        means = sorted(statistics.fmean(draw.choices(logs, k=len(logs))) for _ in range(DRAWS))
        low, high = means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]
        ratio = math.exp(statistics.fmean(logs))
        found[name] = {"ratio": ratio, "low": math.exp(low), "high": math.exp(high), "smaller": sum(a < b for a, b in pairs)}
    return found


def draw_plot(results: dict[str, Any], path: Path) -> None:
    """Drift (z) and the gradient's norm by step: every seed thin, the median thick."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "kto_s", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    names = list(results["settings"])
    figure, axes = plt.subplots(len(names), 2, figsize=(9, 3.1 * len(names)), squeeze=False)
    colours = {"kto": "#b3541e", "kto_s": "#1f5fa8"}
    for row, name in zip(axes, names, strict=True):
        runs = results["settings"][name]["runs"]
        for axis, key, label in ((row[0], "kl", "z, nats"), (row[1], "grad_norm", "gradient norm")):
            for word in OBJECTIVES:
                series = [run[key] for run in runs[word]]
                steps = range(2, len(series[0]) + 2)
                for one in series:
                    axis.plot(steps, one, color=colours[word], alpha=0.25, linewidth=0.8)
                median = [statistics.median(values) for values in zip(*series, strict=True)]
                axis.plot(steps, median, color=colours[word], linewidth=2, label=word.upper().replace("_", "-"))
            axis.set_xlabel("step")
            axis.set_ylabel(label)
            axis.set_title(name, fontsize=10)
        row[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def table(results: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [f"{results['seeds']} paired seeds, {STEPS} steps of {BATCH} rows; ratios are KTO-S to KTO with a 95 % interval"]
    for name, found in results["settings"].items():
        options = ", ".join(f"{key} {value}" for key, value in found["options"].items() if value is not None)
        lines += ["", f"{name} ({options})"]
        for word in OBJECTIVES:
            runs = found["runs"][word]
            z, felt, mean, most, spread = (
                statistics.fmean(run[key] for run in runs)
                for key in ("z_positive_share", "beta_z_felt_share", "beta_z_mean", "max_kl", "grad_norm_spread")
            )
            lines.append(
                f"  {word:6} z > 0 in {z:.0%} of steps, beta*z >= {FELT} in {felt:.0%}, mean beta*z {mean:.2f},"
                f" max z {most:.2f} nats, spread of the gradient's norm {spread:.3f}"
            )
        for key, said in (("max_kl", "max z"), ("grad_norm_spread", "spread of the gradient's norm")):
            one = found["compared"][key]
            ratio = (
                "no ratio (a value is 0)" if one["ratio"] is None else f"{one['ratio']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
            )
            lines.append(f"  {said}: {ratio}, smaller under KTO-S in {one['smaller']} of {results['seeds']} seeds")
    return "\n".join(lines)


def main() -> None:
    """Run every setting and write kto_s.json and kto_s.svg."""
    import torch
    from transformers.utils import logging

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("pairs"))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--only", choices=list(SETTINGS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    dataset = open_dataset(given.data)
    loaded = MODELS["builtin:tiny"]().load(dataset, given.cache, 0)
    whole = phase_rows(dataset, frozenset({"unpaired"}), loaded.tokenizer)
    start = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    chosen = {name: options for name, options in SETTINGS.items() if given.only in (None, name)}
    results: dict[str, Any] = {"format": 1, "seeds": given.seeds, "steps": STEPS, "batch": BATCH, "settings": {}}
    with Progress("kto_s", len(chosen) * given.seeds * len(OBJECTIVES), "runs") as progress:
        for name, options in chosen.items():
            runs: dict[str, list[dict[str, Any]]] = {word: [] for word in OBJECTIVES}
            for seed in range(given.seeds):
                rows = rows_of(whole, options["share"], options["stock"], seed)
                for word in OBJECTIVES:
                    given_phase = {"beta": options["beta"], "learning_rate": options["learning_rate"], "batch_size": BATCH}
                    phase = parse({word: given_phase | {"steps": STEPS, "scheduler": "constant"}}, "benchmarks/kto_s.py")
                    with tempfile.TemporaryDirectory() as folder:
                        loaded.model.load_state_dict(start)
                        train(loaded.model, rows, phase, Path(folder), seed, cache=given.cache / "reference")
                        runs[word].append(figures(read(Path(folder) / "metrics.jsonl"), options["beta"]))
                    progress.add(1)
            results["settings"][name] = {"options": options, "compared": compared(runs), "runs": runs}
    results["versions"] = {name: version(name) for name in ("margins", "torch", "transformers")}
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / "kto_s.json", results)
    draw_plot(results, given.out / "kto_s.svg")
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main()
