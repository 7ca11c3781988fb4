"""The notebook under examples/ runs from top to bottom without Jupyter, and what it shows is what comes out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
MOST_BYTES = 40_000  # of the committed notebook
TRAINS = "align.run("
AUTHOR = re.compile(r"(author +)\w+")  # keyed by a random key


def shown(cell: dict[str, Any]) -> str:
    """What a cell shows, as one text."""
    parts = [one.get("text") or one["data"]["text/plain"] for one in cell["outputs"]]
    return AUTHOR.sub(r"\1...", "".join("".join(part) for part in parts))


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


COMMITTED = code(EXAMPLES / "quickstart.ipynb")


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The cells of the notebook, run in a fresh process."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(EXAMPLES / "raw", folder / "raw")
    for name in ("truth.txt", "quickstart.ipynb"):
        shutil.copy(EXAMPLES / name, folder / name)
    subprocess.run([sys.executable, ROOT / "scripts" / "notebook.py", folder / "quickstart.ipynb"], check=True, timeout=300)
    return code(folder / "quickstart.ipynb")


def test_what_the_data_cells_show_is_what_comes_out(again: list[dict[str, Any]]) -> None:
    first = next(at for at, cell in enumerate(COMMITTED) if TRAINS in "".join(cell["source"]))
    assert first > 4
    for fresh, committed in zip(again[:first], COMMITTED[:first], strict=True):
        assert shown(fresh) == shown(committed)


def test_the_run_cells_show_tables_of_the_same_shape(again: list[dict[str, Any]]) -> None:
    for fresh, committed in zip(again, COMMITTED, strict=True):
        assert shown(fresh).splitlines()[:3] == shown(committed).splitlines()[:3] or TRAINS not in "".join(committed["source"])
        assert len(shown(fresh).splitlines()) == len(shown(committed).splitlines())


@pytest.mark.parametrize("cells", ["again", "committed"])
def test_the_run_is_a_success(cells: str, request: pytest.FixtureRequest) -> None:
    chosen = COMMITTED if cells == "committed" else request.getfixturevalue("again")
    table = shown(next(cell for cell in chosen if TRAINS in "".join(cell["source"])))
    before, *_, after = (float(line.split("┆")[1]) for line in table.splitlines() if line.startswith("│ ") and "." in line)
    assert after < before / 4


def test_the_notebook_is_small_and_shows_no_text_that_its_words_call_toxic() -> None:
    assert (EXAMPLES / "quickstart.ipynb").stat().st_size < MOST_BYTES
    words = [word for word in (EXAMPLES / "truth.txt").read_text("utf-8").split("\n") if word]
    markers = re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + r")\b")
    assert not [cell for cell in COMMITTED if markers.search(shown(cell).casefold())]
    assert all(cell["outputs"] for cell in COMMITTED[1:]), "every cell but the imports shows something"
