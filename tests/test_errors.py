"""Errors: the page of them is the code's, they leave with their exit code, and an extra that is missing is named."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import polars as pl
import pytest

from curate.core.command import entry
from curate.core.errors import DataError, RecipeError, StorageError, UserError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("errors_reference", ROOT / "scripts" / "errors_reference.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")  # where a script finds its neighbours
        spec.loader.exec_module(module)
    return module


CODE = '''
class PickyError(UserError):
    """Will not do."""
    exit_code: ClassVar[int] = 9

def cure(word):
    return f"did you mean {word}?" if word else "give a word"

def check(path, count):
    if count:
        why = "too | many"
        raise PickyError(f"{path}: {count} is {why}", hint=cure(path))
    raise RecipeError("none" + f" of {path}")
'''


def test_a_message_is_read_from_the_code_with_gaps_for_what_is_known_only_then(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "curate" / "room").mkdir(parents=True)
    (tmp_path / "curate" / "room" / "file.py").write_text(CODE + "\nclass RecipeError(UserError):\n    '''No recipe.'''\n")
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    page = reference.reference()
    assert "| 9 | `PickyError` | will not do |" in page
    assert "| …: … is … | did you mean …? / give a word | 9 | [file.py](../curate/room/file.py) |" in page
    assert "| none of … |  | 1 | [file.py](../curate/room/file.py) |" in page


def test_every_class_of_errors_stands_on_the_page_with_its_exit_code(reference: ModuleType) -> None:
    page = reference.reference()
    for kind in (UserError, RecipeError, DataError, StorageError):
        assert f"| {kind.exit_code} | `{kind.__name__}` |" in page


def test_a_command_prints_the_problem_the_hint_below_it_and_ends_with_the_error_s_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def broken() -> None:
        raise DataError("a.csv: holds\nno row", hint="give another")

    monkeypatch.setattr(sys, "argv", ["broken"])
    with pytest.raises(SystemExit) as done:
        entry(broken)
    assert done.value.code == 3
    assert capsys.readouterr().err == "Error: a.csv: holds no row\n  hint: give another\n"


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Hide a package, as if it were not installed."""
    return lambda package: monkeypatch.setitem(sys.modules, package, None)


def test_a_workbook_asks_for_the_extra_that_reads_it(
    hidden: Callable[[str], None], curate: Callable[..., Any], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "survey.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    hidden("openpyxl")
    ran = curate("inspect", tmp_path)
    assert ran.code == RecipeError.exit_code
    assert ran.err == "Error: survey.xlsx: openpyxl is not installed\n  hint: pip install 'margins[xlsx]'\n"


def test_a_grid_asks_for_the_extra_that_draws_before_it_trains(hidden: Callable[[str], None], tmp_path: Path) -> None:
    from align.ablation.ablate import ablate
    from align.ablation.grid import read_grid

    hidden("matplotlib")
    with pytest.raises(RecipeError, match=r"matplotlib is not installed; pip install 'margins\[figures\]'"):
        ablate(read_grid(Path("ablation")), tmp_path, print)
    assert not list(tmp_path.iterdir())


def test_more_rows_than_are_compared_one_by_one_ask_for_the_extra_that_finds_neighbours(hidden: Callable[[str], None]) -> None:
    from curate.stages.duplicates.semantic_duplicates import SemanticDuplicates

    vectors = pl.Series(np.eye(3, dtype=np.float32), dtype=pl.Array(pl.Float32, 3))
    stage = SemanticDuplicates(exact_up_to=2)
    keys = stage.keys(pl.DataFrame({"vector": vectors, "prompt_vector": vectors}))
    hidden("faiss")
    with pytest.raises(RecipeError, match=r"of 3 different rows: faiss is not installed; pip install 'margins\[faiss\]'"):
        stage.edges(keys.buckets, keys.payload)
