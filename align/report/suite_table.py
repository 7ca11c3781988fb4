"""Every suite of a run in one table: toxic of all and of what was answered, refused, over-refused; and what else was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from align.data.figures import Divergence, SuiteFigures, Tally
from align.data.results import Checkpoint, RunResults
from align.statistics import Share

HEADER = ["suite", "", "toxic %", "toxic %, answered", "refused %", "over-refused %", "n", "not scored", "KL to base"]


def suite_table(results: RunResults) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows: one row per suite (or part of one) and checkpoint, shares with their 95 % intervals; None without any."""
    by_part: dict[str, list[list[str]]] = {}
    for checkpoint in results.checkpoints:
        for suite, figures in _suites(checkpoint):
            for part, tally in _tallies(suite, figures):
                by_part.setdefault(part, []).append([part, checkpoint.name, *_cells(tally)])
    rows = [row for part in by_part.values() for row in part]
    return (HEADER, rows) if rows else None


def further(results: RunResults) -> list[str]:
    """What the table has no column for, one line per checkpoint and suite; and what was left out or crashed."""
    measured = [
        (f"{suite}, {checkpoint.name}", figures) for checkpoint in results.checkpoints for suite, figures in _suites(checkpoint)
    ]
    lines = []
    for where, figures in measured:
        if words := [f"{name} {value}" for name, value in _flat(_without_column(figures))]:
            lines.append(f"{where}: {', '.join(words)}")
    for suite, figures in _suites(results.checkpoints[0]):
        if figures.tally and figures.tally.overlap:
            lines.append(f"{suite}: {figures.tally.overlap:,} prompts occur in training and were left out")
    for where, figures in measured:
        for role, crash in figures.tally.crashed.items() if figures.tally else ():
            lines.append(f"warning: {where}: {role} crashed on {crash.n:,} completions ({crash.error}); they are in no share")
    return lines


def percent(share: Share | None) -> str:
    """A share in percent with its interval.

    >>> percent(Share(1, 4, 0.05, 0.7)), percent(None)
    ('25.0 [5.0, 70.0]', '-')
    """
    if share is None or share.value is None:
        return "-"
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def nats(divergence: Divergence | None) -> str:
    """KL from the base, nats per token, with its standard error."""
    if divergence is None:
        return "-"
    return f"{divergence.value:.3f}" if not divergence.se else f"{divergence.value:.3f} ± {divergence.se:.3f}"


def _suites(checkpoint: Checkpoint) -> list[tuple[str, SuiteFigures]]:
    """Suites with figures of their own; how likely given texts are stands in the run's first table."""
    return [(suite, figures) for suite, figures in checkpoint.suites.items() if not figures.texts]


def _tallies(suite: str, figures: SuiteFigures) -> Iterator[tuple[str, Tally]]:
    if figures.tally:
        yield suite, figures.tally
    for part, tally in figures.parts.items():
        yield f"{suite}: {part}", tally


def _cells(tally: Tally) -> list[str]:
    shares = (tally.toxic, tally.toxic_answered, tally.refused, tally.over_refused)
    silent = f"{tally.unscored:,}" + (f" ({tally.empty:,} empty)" if tally.empty else "")
    return [*map(percent, shares), f"{tally.n:,}", silent, nats(tally.kl)]


def _without_column(figures: SuiteFigures) -> Mapping[str, object]:
    """Shares by further judges but the truth, which the run's first table has, and the suite's own figures."""
    others = figures.tally.others if figures.tally else {}
    return {role: share for role, share in others.items() if role != "truth"} | dict(figures.extras)


def _flat(figures: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    """Shares as percent, numbers as they are; a group's name stands before its figures'."""
    for name, value in figures.items():
        path = f"{before}{name}"
        if isinstance(value, Share):
            yield path, f"{percent(value)} %"
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{path} ")
        elif isinstance(value, float):
            yield path, f"{value:.4g}"
        elif isinstance(value, int) and not isinstance(value, bool):
            yield path, f"{value:,}"
