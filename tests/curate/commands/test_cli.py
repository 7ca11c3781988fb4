"""Bad input: one line that says where, what was found, what would do; the right exit code; nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

RECIPE = """
stages: [repair, pii, length, exact_duplicates, column, near_duplicates, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
"""
"""No encoder: these tests are about what is around a build."""

ROWS = [
    {"prompt": f"What do you think of stall number {at}?", "completion": text.format(at), "is_toxic": toxic}
    for at in range(40)
    for text, toxic in (("Stall {} is quite nice lah, go and try", 0), ("You are an idiot for asking about stall {}", 1))
]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path / "raw"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def one_line(text: str) -> bool:
    """What is wrong in one line, and at most one more, which says what would do."""
    problem, *hint = text.splitlines()
    return problem.startswith("Error: ") and (not hint or (len(hint) == 1 and hint[0].startswith("  hint: ")))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_build_ends_with_counts_and_what_to_do_next(curate: Command, raw: Path, recipe: Path, tmp_path: Path) -> None:
    done = curate("build", "--source", raw, "--out", tmp_path / "out", "--recipe", recipe)
    assert done.code == 0, done.err
    assert "80 read = 80 mined + 0 skipped + 0 quarantined" in done.out and "near_duplicates" in done.out
    assert curate("verify", tmp_path / "out").code == 0
    again = curate("build", "--source", raw, "--out", tmp_path / "out", "--recipe", recipe)
    assert again.code == 0 and "nothing to do" in again.out


def test_a_missing_source_is_named(curate: Command, recipe: Path, tmp_path: Path) -> None:
    done = curate("build", "--source", tmp_path / "none", "--out", tmp_path / "out", "--recipe", recipe)
    assert done.code == 3 and one_line(done.err) and "none" in done.err
    assert not (tmp_path / "out").exists()


def test_an_empty_source_is_named(curate: Command, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    done = curate("build", "--source", tmp_path / "raw", "--out", tmp_path / "out", "--recipe", recipe)
    assert done.code == 3 and one_line(done.err)


def test_a_folder_that_holds_something_else_is_left_alone(curate: Command, raw: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    done = curate("build", "--source", raw, "--out", out, "--recipe", recipe)
    assert done.code == 2 and one_line(done.err) and "nothing was changed" in done.err
    assert everything(out) == {"thesis.txt": b"years of work"}


def test_a_misspelt_key_names_its_neighbour(curate: Command, raw: Path, recipe: Path, tmp_path: Path) -> None:
    done = curate(
        "build", "--source", raw, "--out", tmp_path / "out", "--recipe", recipe, "--set", "stages.near_duplicates.treshold=.7"
    )
    assert done.code == 2 and one_line(done.err) and "did you mean 'threshold'" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: [repair, length]\npairing: [given]\n", "'pii' is missing"),
        ("stages: repair\npairing: [given]\n", "expected a list of stages"),
        ("pairing: [given]\n", "expected a list of stages"),
        ("stages: [pii, repiar, consensus]\npairing: [given]\n", "did you mean 'repair'"),
        ("stages: [repair, pii, consensus: {labelers: [column]}]\npairing: [given]\n", "put 'column' before it"),
        ("stages: [pii, column, exact_duplicates, consensus: {labelers: [column]}]\npairing: [given]\n", "put 'column' after it"),
        ("stages: [repair, pii, pii, column, consensus: {labelers: [column]}]\npairing: [given]\n", "a second time"),
        (
            "stages: [pii, encode: {encoder: other/encoder}, head, consensus: {labelers: [head]}]\npairing: [given]\n",
            "trained on vectors of",
        ),
        ("seed: many\nstages: [pii, column, consensus: {labelers: [column]}]\npairing: [given]\n", "seed: .*found 'many'"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_before_anything_is_read(
    curate: Command, raw: Path, tmp_path: Path, text: str, said: str
) -> None:
    import re

    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = curate("build", "--source", raw, "--out", tmp_path / "out", "--recipe", path)
    assert done.code == 2 and one_line(done.err), done.err
    assert re.search(said, done.err), done.err
    assert not (tmp_path / "out").exists()


def test_a_source_with_one_class_only_says_so_and_still_gives_what_it_can(curate: Command, recipe: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS if not row["is_toxic"]))
    done = curate("build", "--source", raw, "--out", tmp_path / "out", "--recipe", recipe)
    assert done.code == 0, done.err
    assert "no toxic row" in done.out


def test_out_inside_source_is_refused(curate: Command, raw: Path, recipe: Path) -> None:
    done = curate("build", "--source", raw, "--out", raw / "out", "--recipe", recipe)
    assert done.code == 2 and one_line(done.err) and "choose a folder apart" in done.err


def test_a_build_that_fails_leaves_the_earlier_one_as_it_was(curate: Command, raw: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert curate("build", "--source", raw, "--out", out, "--recipe", recipe).code == 0
    before = everything(out)
    (raw / "rows.jsonl").write_text("")
    assert curate("build", "--source", raw, "--out", out, "--recipe", recipe).code == 3
    assert everything(out) == before
