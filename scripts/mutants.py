"""Do the tests fail when the code is wrong? Mutants of the modules that decide what we claim, each run against its tests.

A mutant is one module with one change: a comparison that takes or leaves its bound, a sum for a difference, `and` for `or`, the
ends of an interval swapped, a number that is another. Which changes are tried is drawn by a seed, evenly over the modules, so
that a second run tries the same ones; a rewritten module gets new ones.

    python scripts/mutants.py [--mutants 40] [--seed 0] [--only splits]

Prints a line for each mutant, then the share that was killed and every survivor. Exits 1 below 95 %.
"""

from __future__ import annotations

import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import click

ROOT = Path(__file__).resolve().parent.parent
LEAST = 0.95  # share of mutants that the tests must kill
SECONDS = 400  # a mutant whose tests run for longer hangs, and counts as killed
TARGETS = {
    "align/training/journal.py": "tests/align/training/test_journal.py",
    "align/pipeline/run.py": "tests/align/pipeline/test_run.py -k not(killed_run)",  # which is two runs in other processes
    "align/pipeline/preview.py": "tests/align/pipeline/test_preview.py",
    "align/ablation/report/tables.py": "tests/align/ablation/test_tables.py tests/align/ablation/test_report.py",
    "align/statistics/shares.py": "tests/align/statistics",
    "align/statistics/bootstrap.py": "tests/align/statistics",
    "align/statistics/paired.py": "tests/align/statistics",
    "curate/labelers/consensus.py": "tests/curate/labelers/test_consensus.py",
    "curate/labelers/study/measures.py": "tests/curate/labelers/test_measures.py",
    "curate/pairing/invariants.py": "tests/curate/pairing/test_invariants.py",
    "curate/compose/polarity.py": "tests/curate/compose/test_polarity.py",
    "curate/compose/splits.py": "tests/curate/compose/test_splits.py",
}
"""Module -> the tests that must notice."""

COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARED |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
ROUNDING = 1e-9  # a number no larger allows for floating point, and nobody sees twice as much of it
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One changed module: where, what the change is, and the text with it."""

    path: str
    line: int
    change: str
    source: str


def mutants_of(path: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    mutants = []
    for number, node in enumerate(ast.walk(tree)):
        for way in range(_ways(node)):
            change = _change(copy.deepcopy(node), way)
            if change is None or not isinstance(node, ast.expr | ast.stmt):
                continue
            other = copy.deepcopy(tree)
            twin = next(one for at, one in enumerate(ast.walk(other)) if at == number)
            _change(twin, way)
            mutants.append(Mutant(path, node.lineno, change, ast.unparse(ast.fix_missing_locations(other))))
    return sorted(mutants, key=lambda mutant: (mutant.line, mutant.change))


def _ways(node: ast.AST) -> int:
    return len(node.ops) if isinstance(node, ast.Compare) else 1


def _change(node: ast.AST, way: int) -> str | None:
    """Change a node in place; None where there is nothing to change."""
    before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
    if isinstance(node, ast.Compare) and type(node.ops[way]) in COMPARED:
        node.ops[way] = COMPARED[type(node.ops[way])]()
    elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED and not _text(node.left) and not _text(node.right):
        node.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLED:
        node.func.id = CALLED[node.func.id]
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
        node.value.elts.reverse()
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and not 0 < node.value <= ROUNDING:
        node.value = node.value * 2 or 1
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)  # `not not x` is as true as `x`, and no other error
    else:
        return None
    after = ast.unparse(node)
    return None if after == before else f"{_short(before)}  ->  {_short(after)}"


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:67]}..."


def draw(number: int, seed: int, only: str) -> list[Mutant]:
    """Mutants drawn evenly over the modules, the same for the same seed."""
    dice = random.Random(seed)
    pools = {path: mutants_of(path) for path in TARGETS if only in path}
    for pool in pools.values():
        dice.shuffle(pool)
    drawn: list[Mutant] = []
    while len(drawn) < number and any(pools.values()):
        drawn += [pool.pop() for pool in pools.values() if pool][: number - len(drawn)]
    return drawn


def checkouts(places: Path, count: int) -> Iterator[Path]:
    """Copies of what git tracks, one for each worker, beside the public sets where they are here."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    if (ROOT.parent / "shared").is_dir():
        (places / "shared").symlink_to(ROOT.parent / "shared")
    for index in range(count):
        for name in filter(None, tracked):
            if (ROOT / name).is_file():
                (places / str(index) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, places / str(index) / name)
        yield places / str(index)


def killed(mutant: Mutant, checkout: Path) -> bool:
    """Whether the module's tests fail, or never end, with the mutant in its place."""
    place = checkout / mutant.path
    whole = place.read_bytes()
    place.write_text(mutant.source, "utf-8")
    try:
        return not passes(mutant.path, checkout)
    finally:
        place.write_bytes(whole)


def passes(path: str, checkout: Path) -> bool:
    """Whether a module's tests end in time and find nothing."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TARGETS[path].split()]
    environment = os.environ | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_MAX_EXAMPLES": "25"}
    try:
        return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, timeout=SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@click.command()
@click.option("--mutants", "number", default=40, show_default=True, help="How many to try.")
@click.option("--seed", default=0, show_default=True, help="Draws which.")
@click.option("--only", default="", help="Modules whose path holds this text.")
@click.option("--workers", default=2, show_default=True, help="How many at a time.")
def main(number: int, seed: int, only: str, workers: int) -> None:
    """Try mutants; exit 1 when fewer than 95 % of them are killed."""
    drawn = draw(number, seed, only)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        free: SimpleQueue[Path] = SimpleQueue()
        for checkout in checkouts(Path(folder), workers):
            free.put(checkout)

        def tried(path: str, mutant: Mutant | None) -> bool:
            checkout = free.get()
            try:
                return passes(path, checkout) if mutant is None else killed(mutant, checkout)
            finally:
                free.put(checkout)

        with ThreadPoolExecutor(workers) as pool:
            modules = list(dict.fromkeys(mutant.path for mutant in drawn))
            for path, whole in zip(modules, pool.map(lambda path: tried(path, None), modules), strict=True):
                if not whole:  # tests that fail anyway would kill every mutant
                    raise click.ClickException(f"{path}: its tests fail or time out as it is: {TARGETS[path]}")
            for mutant, dead in zip(drawn, pool.map(lambda one: tried(one.path, one), drawn), strict=True):
                click.echo(f"{'killed  ' if dead else 'SURVIVED'}  {mutant.path}:{mutant.line}  {mutant.change}")
                survivors += [] if dead else [mutant]
    share = 1 - len(survivors) / len(drawn)
    click.echo(f"\n{len(drawn) - len(survivors)} of {len(drawn)} mutants killed ({share:.1%}; at least {LEAST:.0%} asked)")
    for mutant in survivors:
        click.echo(f"survivor: {mutant.path}:{mutant.line}  {mutant.change}")
    sys.exit(share < LEAST)


if __name__ == "__main__":
    main()
