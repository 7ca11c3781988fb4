"""`align bench`: our training step against TRL's."""

from __future__ import annotations

from pathlib import Path

import click

from align.commands.options import FILE, say


@click.command("bench")
@click.option("--scenario", "scenarios", multiple=True, help="proxy, vocabulary or paired; repeatable. By default all of them.")
@click.option("--model", type=FILE, metavar="PATH", help="Folder of a model, in place of the scenario's random one.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="By default cuda where there is one.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON in place of tables.")
def command(scenarios: tuple[str, ...], model: Path | None, device: str | None, as_json: bool) -> None:
    """Our training step against TRL's, as it comes and tuned, on the same rows.

    Each side is a process of its own. Prints seconds a step, rows/s, tokens/s, share of the GPU's peak, peak memory, and how
    far the losses are apart. On a CPU seconds are CPU seconds, and the sides take their steps in turn.
    """
    import json

    from align.bench.bench import SCENARIOS, bench, table
    from curate.core.errors import RecipeError

    for name in scenarios:
        if name not in SCENARIOS:
            raise RecipeError(f"--scenario {name}: found no such scenario", hint=f"one of {', '.join(SCENARIOS)} will do")
    results = bench(scenarios or tuple(SCENARIOS), say, model=model, device=device)
    click.echo(json.dumps(results, indent=1) if as_json else table(results))
