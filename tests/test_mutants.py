"""The script that changes our code to see whether the tests notice: what it names is there, and a change is one."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_every_module_and_test_that_it_names_is_there(script: ModuleType) -> None:
    for module, tests in script.TARGETS.items():
        for path in (module, *tests.partition(" -k ")[0].split()):
            assert (ROOT / path).exists(), f"{module}: {path}"


def test_the_same_seed_draws_the_same_mutants_evenly_over_the_modules(script: ModuleType) -> None:
    drawn = script.draw(40, 0, "curate/compose")
    assert drawn == script.draw(40, 0, "curate/compose") != script.draw(40, 1, "curate/compose")
    assert {mutant.path for mutant in drawn[:2]} == {"curate/compose/polarity.py", "curate/compose/splits.py"}


@pytest.mark.parametrize(
    ("code", "mutants"),
    [
        ("a <= b", {"a < b"}),
        ("0 <= a < 3", {"0 < a < 3", "0 <= a <= 3", "1 <= a < 3", "0 <= a < 6"}),
        ("a * b", {"a / b"}),
        ("not a", {"not not a"}),
        ("max(a, b)", {"min(a, b)"}),
        ("def f():\n    return low, high", {"def f():\n    return (high, low)"}),
        ("def f():\n    return nan, nan", set()),
        ("a - 1e-12", {"a + 1e-12"}),
        ("a + 'text'", set()),
    ],
)
def test_each_mutant_is_the_module_with_one_change(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, mutants: set[str]
) -> None:
    (tmp_path / "module.py").write_text(code)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    assert {mutant.source for mutant in script.mutants_of("module.py")} == mutants
    assert ast.unparse(ast.parse(code)) not in mutants
