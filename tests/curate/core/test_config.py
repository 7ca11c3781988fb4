"""Recipes: what is typed is what is meant, and a slip is named with its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from curate.core.config import build, choose, config, load, plain
from curate.core.errors import RecipeError


@config
class Inner:
    share: Annotated[float, Field(ge=0, le=1)] = 0.5


@config
class Example:
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    rate: float = 1e-4
    name: str = "x"
    inner: Inner = Inner()


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_an_exponent_without_a_point_is_a_number(tmp_path: Path) -> None:
    tree = load(write(tmp_path, "a.yaml", "rate: 5e-6\n"))
    assert build(Example, tree, "a.yaml").rate == 5e-6


def test_a_bare_no_is_not_taken_for_a_name(tmp_path: Path) -> None:
    tree = load(write(tmp_path, "a.yaml", "name: no\n"))
    with pytest.raises(RecipeError, match=r"a\.yaml: name: .*found False"):
        build(Example, tree, "a.yaml")


def test_a_misspelt_option_names_its_neighbour() -> None:
    with pytest.raises(RecipeError) as caught:
        choose({"near": Example}, {"near": {"treshold": 0.8}}, "r.yaml: stages[2]", "stage")
    assert str(caught.value) == "r.yaml: stages[2]: near has no option 'treshold'; did you mean 'threshold'?"


def test_a_misspelt_option_deep_inside_names_its_neighbour() -> None:
    with pytest.raises(RecipeError, match="inner has no option 'shaer'; did you mean 'share'"):
        build(Example, {"inner": {"shaer": 1}}, "r.yaml")


def test_a_value_out_of_range_says_what_was_found() -> None:
    with pytest.raises(RecipeError, match="threshold: .*less than or equal to 1.*found 80"):
        build(Example, {"threshold": 80}, "r.yaml")


def test_an_unknown_entry_lists_what_there_is() -> None:
    with pytest.raises(RecipeError, match="no stage 'zzz'; one of near"):
        choose({"near": Example}, "zzz", "r.yaml: stages[0]", "stage")


def test_a_recipe_extends_another_and_settings_come_last(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "threshold: 0.7\ninner: {share: 0.1}\n")
    child = write(tmp_path, "child.yaml", "extends: base.yaml\nname: child\n")
    made = build(Example, load(child, ["inner.share=0.3"]), "child.yaml")
    assert plain(made) == {"threshold": 0.7, "rate": 1e-4, "name": "child", "inner": {"share": 0.3}}


def test_a_setting_reaches_a_named_entry_of_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "stages:\n- repair\n- length: {min_chars: 1}\n")
    assert load(path, ["stages.length.min_chars=3"])["stages"][1] == {"length": {"min_chars": 3}}
    assert load(path, ["stages.repair.x=1"])["stages"][0] == {"repair": {"x": 1}}
    with pytest.raises(RecipeError, match="did you mean 'length'"):
        load(path, ["stages.lenght.min_chars=3"])


def test_a_setting_reaches_an_entry_whose_name_holds_dots(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "stages:\n- repair\n- ./parts/mine.py:Part\n- {}\n")
    assert load(path, ["stages../parts/mine.py:Part.most=3"])["stages"][1] == {"./parts/mine.py:Part": {"most": 3}}
    assert load(path, ["stages../parts/mine.py:Part=pii"])["stages"][1] == "pii"
    with pytest.raises(RecipeError, match="one of repair, ./parts/mine.py:Part"):
        load(path, ["stages../parts/other.py:Part.most=3"])


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    with pytest.raises(RecipeError, match="comes back to itself"):
        load(write(tmp_path, "b.yaml", "extends: a.yaml\n"))


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "a: [1\n", "a: \x00b\n", "&a [*a]\n"])
def test_a_broken_recipe_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, "a.yaml", text))
    assert "\n" not in str(caught.value) and "a.yaml" in str(caught.value)


def test_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(RecipeError, match="aliases"):
        load(write(tmp_path, "a.yaml", "\n".join(lines)))


def test_a_missing_recipe_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read this recipe"):
        load(tmp_path / "none.yaml")
