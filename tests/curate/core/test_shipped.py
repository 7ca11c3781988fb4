"""What ships is found by its name from any folder, and a file of one's own comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.core.config import load
from curate.core.errors import RecipeError
from curate.core.shipped import located, shipped, shipped_recipes


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_a_bare_name_is_a_recipe_that_ships(name: str) -> None:
    assert load(Path(name)) == load(shipped_recipes()[name])


def test_no_two_recipes_that_ship_share_a_name() -> None:
    assert len(shipped_recipes()) == sum(len(list(shipped("recipes").glob(kind))) for kind in ("*.yaml", "curate/*.yaml"))


def test_a_recipe_of_one_s_own_extends_one_that_ships_or_one_beside_it(elsewhere: Path) -> None:
    (elsewhere / "mine").mkdir()
    (elsewhere / "mine" / "base.yaml").write_text("extends: kto_s\nseed: 7\n")
    (elsewhere / "mine" / "recipe.yaml").write_text("extends: base.yaml\nname: mine\n")
    recipe = load(Path("mine/recipe.yaml"))
    assert recipe == load(Path("kto_s")) | {"seed": 7, "name": "mine"}


def test_a_file_here_comes_before_what_ships(elsewhere: Path) -> None:
    (elsewhere / "kto_s").write_text("name: mine\n")
    (elsewhere / "examples").mkdir()
    (elsewhere / "examples" / "truth.txt").write_text("durian\n")
    assert load(Path("kto_s")) == {"name": "mine"}
    assert located(Path("examples/truth.txt")) == Path("examples/truth.txt")


def test_the_examples_are_found_from_any_folder() -> None:
    assert located(Path("examples/truth.txt")) == shipped("examples/truth.txt")
    assert located(Path("examples/raw/")).is_dir()
    assert located(Path("recipes/kto_s.yaml")) == Path("recipes/kto_s.yaml")


@pytest.mark.parametrize(
    ("name", "problem", "hint"),
    [
        ("recipes/kto_s.yaml", "cannot read this recipe (No such file or directory)", "'kto_s' alone names the one that ships"),
        ("recipes/mine.yaml", "cannot read this recipe (No such file or directory)", "check the path"),
        ("kto_z", "neither a file here nor a recipe that ships", "did you mean 'kto_s'?"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_would(name: str, problem: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(Path(name))
    assert problem in caught.value.problem and caught.value.hint == hint
