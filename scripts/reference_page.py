"""A page of docs/ that is made from the code: written, or, with `--check`, compared."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(target: Path, text: str) -> int:
    """Write the page, or with `--check` on the command line say whether it is as the code would write it.

    Args:
        target: the page's file.
        text: what it should hold.

    Returns:
        The exit code: 1 for a page that is stale, else 0.
    """
    if "--check" not in sys.argv[1:]:
        target.write_text(text, encoding="utf-8", newline="\n")
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{target.name} is stale; run `make docs` and commit it\n")
    return 1
