"""Run a notebook's cells in this process and write their outputs into it: `python scripts/notebook.py examples/quickstart.ipynb`.

Needs no Jupyter. The working folder is the notebook's, as Jupyter has it; what is printed to standard error is left out.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Output = dict[str, Any]


def main() -> None:
    """Fill in the outputs of the notebook that is named."""
    path = Path(sys.argv[1]).resolve()
    book = json.loads(path.read_text("utf-8"))
    os.chdir(path.parent)
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    for number, (cell, outputs) in enumerate(zip(cells, run(cells), strict=True), start=1):
        cell |= {"execution_count": number, "outputs": outputs}
        for one in outputs:
            if one["output_type"] == "execute_result":
                one["execution_count"] = number
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run(cells: list[dict[str, Any]]) -> Iterator[list[Output]]:
    """The outputs of each cell, in order: what it prints, and the value of its last line."""
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in cells:
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, "<cell>", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last is not None else None
        outputs: list[Output] = []
        if printed.getvalue():
            outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())})
        if value is not None:
            data = {"text/plain": _lines(repr(value))}
            outputs.append({"data": data, "execution_count": None, "metadata": {}, "output_type": "execute_result"})
        yield outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    main()
