"""The subcommands of `align`; heavy imports happen when a command runs."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import click

from align.processes import ranks

FILE = click.Path(path_type=Path)
RECIPE = click.argument("recipe", metavar="R.yaml", type=FILE)
SETS = click.option("--set", "sets", multiple=True, metavar="a.b=c", help="Change one setting of the recipe; repeatable.")
RUNS = click.option("--runs", type=FILE, default=Path("runs"), show_default=True, help="Folder that run folders are made in.")


def _seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f"found {value!r}, expected numbers such as 0,1,2") from None
    if any(seed < 0 for seed in seeds):
        raise click.BadParameter("a seed is 0 or more")
    return seeds


def _say(line: str) -> None:
    if ranks.is_main():
        click.echo(line, err=True)


@click.command()
@RECIPE
@SETS
@click.option("--seed", type=click.IntRange(min=0), help="In place of the recipe's seed.")
@click.option("--seeds", callback=_seeds, metavar="0,1,2", help="Several seeds, one run each, and a summary of them.")
@RUNS
@click.option("--show-text", is_flag=True, help="Put sampled completions into report.html; they may be toxic.")
def run(recipe: Path, sets: tuple[str, ...], seed: int | None, seeds: tuple[int, ...], runs: Path, show_text: bool) -> None:
    """Train and evaluate what a recipe says.

    Leaves a folder in --runs that is named by the recipe, the data and the versions: the same command again does nothing
    and prints the same table; a run that was stopped goes on where it was. `accelerate launch -m align run R.yaml` trains on
    several GPUs.
    """
    from align.commands.compare import seeds_summary
    from align.pipeline import run as running
    from align.pipeline.recipe import read_recipe
    from align.report.page import report
    from align.report.results import summary
    from curate.core.errors import RecipeError
    from curate.core.store import write_text

    if seed is not None and seeds:
        raise RecipeError("--seed and --seeds: found both", hint="give one of them")
    made = read_recipe(recipe, sets)
    finished: list[dict[str, Any]] = []
    with ranks.joined():
        for each in seeds or ((made.seed if seed is None else seed),):
            since = time.process_time() if finished else 0.0  # the first run pays for the imports
            each_recipe = dataclasses.replace(made, seed=each)
            folder, results, unchanged = running.run(each_recipe, runs, _say, cpu_since=since)
            if unchanged:
                click.echo(f"{folder}: nothing to do; the same recipe, data and versions made what stands there\n")
            if show_text and ranks.is_main():
                write_text(folder / "report.html", report(results, folder, show_text=True))
            click.echo(f"{summary(results)}\n\nreport: {folder / 'report.html'}\n")
            finished.append(results)
    if len(finished) > 1:
        click.echo(seeds_summary(finished))


@click.command("eval")
@click.argument("model", metavar="MODEL")
@click.option(
    "--recipe", type=FILE, metavar="R.yaml", help="Whose data, suites, judges, sampling; else the run's, or plain ones."
)
@click.option("--data", metavar="DIR", help="Dataset folder, in place of the recipe's.")
@click.option("--suites", metavar="A,B", help="Suites in place of the recipe's; options by --set eval.suites=[...].")
@click.option("--judge", metavar="NAME", help="In place of the recipe's judge; not the labeler that built the data.")
@SETS
@RUNS
@click.option("--show-text", is_flag=True, help="Put sampled completions into report.html; they may be toxic.")
def evaluate(
    model: str,
    recipe: Path | None,
    data: str | None,
    suites: str | None,
    judge: str | None,
    sets: tuple[str, ...],
    runs: Path,
    show_text: bool,
) -> None:
    """Judge a model as it is: nothing is trained.

    MODEL is a run's folder (its last phase, or RUN:kto_s for another), a model's folder, a Hub id, or builtin:tiny. Leaves a
    folder in --runs as `align run` does, with one line per completion and suite; stopped, it goes on where it was. `align
    compare A B` of two such folders tests them prompt by prompt.
    """
    from align.pipeline import run as running
    from align.pipeline.recipe import eval_recipe
    from align.report.page import report
    from align.report.results import summary
    from curate.core.store import write_text

    asked = [name.strip() for name in suites.split(",")] if suites else ()
    made = eval_recipe(model, recipe, sets, data=data, suites=asked, judge=judge)
    folder, results, unchanged = running.run(made, runs, _say)
    if unchanged:
        click.echo(f"{folder}: nothing to do; the same model, data, suites and versions made what stands there\n")
    if show_text:
        write_text(folder / "report.html", report(results, folder, show_text=True))
    click.echo(f"{summary(results)}\n\nreport: {folder / 'report.html'}")


@click.command()
@RECIPE
@SETS
@click.option("--runs", type=FILE, default=Path("runs"), show_default=True, help="Folder whose cache may hold the tokenizer.")
@click.option("--show-text", is_flag=True, help="Print the example row's text too; it may be toxic or personal.")
@click.option("--probe-kl", is_flag=True, help="Train briefly in several settings: does z rise, so that KTO-S is not KTO?")
def plan(recipe: Path, sets: tuple[str, ...], runs: Path, show_text: bool, probe_kl: bool) -> None:
    """What a recipe would do: rows per class, lengths, steps, one example with its mask, memory.

    Trains nothing, but with --probe-kl, which loads the model and keeps no weights.
    """
    from align.commands.plan import preview
    from align.pipeline.recipe import read_recipe

    made = read_recipe(recipe, sets)
    click.echo(preview(made, runs / "cache", show_text=show_text))
    if probe_kl:
        from align.commands.drift import preview_drift

        click.echo("\n" + preview_drift(made, runs / "cache", _say))


@click.command()
@RECIPE
@SETS
@RUNS
@click.option("--plan", "only_plan", is_flag=True, help="Say what the grid is and what it will cost; train nothing.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that train side by side.")
def ablate(recipe: Path, sets: tuple[str, ...], runs: Path, only_plan: bool, workers: int) -> None:
    """Data size x objective x with and without SFT x seed: how many labels does each need?

    Stop it at any time: the same command fills what is missing or failed, and ends in the same report.
    """
    from align.ablation.ablate import ablate as run_grid
    from align.ablation.ablate import conclude
    from align.ablation.grid import read_grid
    from align.ablation.price import price
    from align.ablation.report.words import headline

    grid = read_grid(recipe, sets)
    if only_plan:
        click.echo(price(grid, runs, workers))
        return
    click.echo(price(grid, runs, workers), err=True)
    finished = run_grid(grid, runs, _say, workers=workers)
    outcome = conclude(grid, finished)
    for line in headline(outcome):
        click.echo(line)
    for line in [*(f"failed: {one}" for one in outcome.failures), *(f"missing: {one}" for one in outcome.missing)]:
        click.echo(line)
    click.echo(f"\nreport: {finished.folder / 'report.html'}")


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FILE)
@click.option("--markdown", is_flag=True, help="Tables for papers.")
def compare(folders: tuple[Path, ...], markdown: bool) -> None:
    """Finished runs side by side: the base and the last checkpoint of each; or the tables of a grid."""
    from align.commands.compare import compare as table

    click.echo(table(folders, markdown=markdown))


@click.command()
@click.option("--scenario", "scenarios", multiple=True, help="proxy, vocabulary or paired; repeatable. By default all of them.")
@click.option("--model", type=FILE, metavar="PATH", help="Folder of a model, in place of the scenario's random one.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="By default cuda where there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON in place of tables.")
def bench(scenarios: tuple[str, ...], model: Path | None, device: str | None, as_json: bool) -> None:
    """Our training step against TRL's, as it comes and tuned, on the same rows.

    Each side is a process of its own. Prints seconds a step, rows/s, tokens/s, share of the GPU's peak, peak memory, and how
    far the losses are apart. On a CPU seconds are CPU seconds, and the sides take their steps in turn.
    """
    import json

    from align.bench import bench as racing
    from curate.core.errors import RecipeError

    for name in scenarios:
        if name not in racing.SCENARIOS:
            raise RecipeError(f"--scenario {name}: found no such scenario", hint=f"one of {', '.join(racing.SCENARIOS)} will do")
    results = racing.bench(scenarios or tuple(racing.SCENARIOS), _say, model=model, device=device)
    click.echo(json.dumps(results, indent=1) if as_json else racing.table(results))


@click.command()
@click.argument("run", metavar="RUN", type=FILE)
@click.option("--to", required=True, type=FILE, help="Folder to make.")
@click.option("--phase", help="Which phase's model, such as kto_s or 2-kto_s; the last one by default.")
@click.option("--merge", is_flag=True, help="Fold adapters into the weights.")
def export(run: Path, to: Path, phase: str | None, merge: bool) -> None:
    """Write the model of a finished run as a folder that `from_pretrained` opens, with its tokenizer and chat template."""
    from align.models.export import export as write

    for line in write(run, to, phase=phase, merge=merge):
        click.echo(line)
