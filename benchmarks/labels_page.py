"""The page of `bench-labels`: figures as they are found, each beside what was asked of it."""

from __future__ import annotations

import click


class Page:
    """The figures, as they are found."""

    def __init__(self) -> None:
        self.missed = 0

    def say(
        self, name: str, value: float, wanted: str = "", *, ok: bool | None = None, ends: tuple[float, float] | None = None
    ) -> None:
        """Print one figure; `ok` is whether it is what was asked."""
        between = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else ""
        mark = "" if ok is None else ("  reached" if ok else "  MISSED")
        self.missed += ok is False
        click.echo(f"{name}: {value:.4f}{between}{f'  (wanted {wanted})' if wanted else ''}{mark}")

    def least(self, name: str, value: float, least: float, ends: tuple[float, float] | None = None) -> None:
        """A figure that should be at least so much."""
        self.say(name, value, f">= {least:g}", ok=value >= least, ends=ends)

    def most(self, name: str, value: float, most: float, ends: tuple[float, float] | None = None) -> None:
        """A figure that should be at most so much."""
        self.say(name, value, f"<= {most:g}", ok=value <= most, ends=ends)
