"""Tables as text: for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    r"""A table as lines for the terminal.

    Args:
        header: names of the columns.
        rows: their cells.
        left: places of the columns whose cells stand left, -1 for the last; the others stand right.

    Example:
        >>> print("\n".join(table_lines(("stage", "kept"), [("pii", "1,204"), ("length", "98")])))
        stage    kept
        pii     1,204
        length     98
    """
    places = {at % len(header) for at in left}
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if at in places else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """The same for papers and cards; a bar within a cell does not end it.

    Example:
        >>> print(markdown(("stage", "kept"), [("pii", "1,204")]))
        | stage | kept |
        | --- | ---: |
        | pii | 1,204 |
    """
    rule = ["---" if at in left else "---:" for at in range(len(header))]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (header, rule, *rows))
