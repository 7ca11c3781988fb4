"""Every suite of a run in one table: toxic of all and of what was answered, refused, over-refused; and what else was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from align.statistics import Share

TALLIED = {"n", "prompts", "unscored", "empty", "ended", "distinct", "mean_tokens", "overlap", "kl", "agreement", "crashed"}
TALLIED |= {"toxic", "toxic_answered", "refused", "over_refused", "truth"}
"""Figures of `align.evaluation.asking.ask` that have a column, or a line of their own."""

Results = Mapping[str, Any]


def suite_table(results: Results) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows: one row per suite (or part of one) and checkpoint, shares with their 95 % intervals; None without any."""
    header = ["suite", "", "toxic %", "toxic %, answered", "refused %", "over-refused %", "n", "not scored", "KL to base"]
    found: dict[str, list[list[str]]] = {}
    for checkpoint in results["checkpoints"]:
        for suite, values in _suites(checkpoint):
            for part, tally in _tallies(suite, values):
                shares = [tally["toxic"], tally["toxic_answered"], tally["refused"], tally["over_refused"]]
                silent = f"{tally['unscored']:,}" + (f" ({tally['empty']:,} empty)" if tally["empty"] else "")
                row = [part, checkpoint["name"], *map(percent, shares), f"{tally['n']:,}", silent, nats(tally.get("kl"))]
                found.setdefault(part, []).append(row)
    rows = [row for part in found.values() for row in part]
    return (header, rows) if rows else None


def further(results: Results) -> list[str]:
    """What the table has no column for, one line per checkpoint and suite; and what was left out or crashed."""
    lines = []
    for checkpoint in results["checkpoints"]:
        for suite, values in _suites(checkpoint):
            said = [f"{name} {value}" for name, value in _figures(values)]
            if said:
                lines.append(f"{suite}, {checkpoint['name']}: {', '.join(said)}")
    for suite, values in _suites(results["checkpoints"][0]):
        if values.get("overlap"):
            lines.append(f"{suite}: {values['overlap']:,} prompts occur in training and were left out")
    for checkpoint in results["checkpoints"]:
        for suite, values in _suites(checkpoint):
            for role, crash in (values.get("crashed") or {}).items():
                lines.append(
                    f"warning: {suite}, {checkpoint['name']}: {role} crashed on {crash['n']:,} completions ({crash['error']});"
                    " they are in no share"
                )
    return lines


def percent(found: Mapping[str, Any] | Share | None) -> str:
    """A share in percent with its interval."""
    if found is None:
        return "-"
    share = found if isinstance(found, Share) else Share(found["hits"], found["n"], found["low"], found["high"])
    return "-" if share.value is None else f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def nats(found: Mapping[str, Any] | None) -> str:
    """KL from the base, nats per token, with its standard error."""
    if found is None:
        return "-"
    return f"{found['value']:.3f}" if not found["se"] else f"{found['value']:.3f} ± {found['se']:.3f}"


def _suites(checkpoint: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Suites with figures of their own; `retention` stands in the run's first table."""
    return [(name, values) for name, values in checkpoint.items() if name not in {"name", "retention"}]


def _tallies(name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "toxic_answered" in values:
        yield name, values
    for part, inner in values.items():
        if isinstance(inner, Mapping) and "toxic_answered" in inner:
            yield f"{name}: {part}", inner


def _figures(values: Mapping[str, Any], before: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Figures without a column: shares as percent, numbers as they are."""
    for name, value in values.items():
        path = [*before, name]
        if "toxic_answered" in values and name in TALLIED:
            continue
        if isinstance(value, Mapping):
            if {"hits", "n", "low", "high"} <= set(value):
                yield " ".join(path), f"{percent(value)} %"
            elif "toxic_answered" not in value:
                yield from _figures(value, path)
        elif isinstance(value, float):
            yield " ".join(path), f"{value:.4g}"
        elif isinstance(value, int) and not isinstance(value, bool):
            yield " ".join(path), f"{value:,}"
