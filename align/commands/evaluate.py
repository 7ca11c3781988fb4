"""`align eval`: judge a model as it is."""

from __future__ import annotations

from pathlib import Path

import click

from align.commands.options import FILE, RUNS, SETS, SHOW_TEXT, say


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
@SHOW_TEXT
def command(
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
    from align.pipeline.recipe import eval_recipe
    from align.pipeline.run import run
    from align.report.page import report
    from align.report.results import summary
    from curate.core.store import write_text

    named = [name.strip() for name in suites.split(",")] if suites else ()
    base = eval_recipe(model, recipe, sets, data=data, suites=named, judge=judge)
    folder, results, unchanged = run(base, runs, say)
    if unchanged:
        click.echo(f"{folder}: nothing to do; the same model, data, suites and versions made what stands there\n")
    if show_text:
        write_text(folder / "report.html", report(results, folder, show_text=True))
    click.echo(f"{summary(results)}\n\nreport: {folder / 'report.html'}")
