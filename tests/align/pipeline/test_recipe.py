"""A run's recipe: what is typed is what is meant, and a slip is named with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from align.ablation.grid import read_grid
from align.pipeline.recipe import phase_names, read_recipe, resolved
from curate.core.config import load
from curate.core.errors import RecipeError

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(path for path in (ROOT / "recipes").glob("*.yaml"))
WHOLE = """
name: a
model: builtin:tiny
phases: [{sft: {learning_rate: 1e-3}}, {kto_s: {learning_rate: 1e-4, beta: 0.2}}]
eval: {suites: [heldout, retention], judge: ngram}
"""


def write(folder: Path, text: str = WHOLE) -> Path:
    (folder / "r.yaml").write_text(text)
    return folder / "r.yaml"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.name))
def test_every_recipe_that_ships_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = read_grid(path).recipe if "ablation" in load(path) else read_recipe(path)
    assert (recipe.phases or recipe.name == "eval") and recipe.name.replace("_", "").isalnum()


def test_a_resolved_recipe_gives_itself_back(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path), ["model.builtin:tiny.epochs=1.5", "phases.kto_s.steps=7"])
    again = read_recipe(write(tmp_path, yaml.safe_dump(resolved(recipe))))
    assert resolved(again) == resolved(recipe)
    assert again.model.epochs == 1.5 and again.phases[1].steps == 7 and again.phases[1].objective.beta == 0.2


def test_phase_folders_are_numbered(tmp_path: Path) -> None:
    assert phase_names(read_recipe(write(tmp_path))) == ["1-sft", "2-kto_s"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("builtin:tiny", "builtin:tinny"), r"r\.yaml: model: no model 'builtin:tinny'; did you mean 'builtin:tiny'\?"),
        (("kto_s:", "ktos:"), r"phases\[1\]: no objective 'ktos'; did you mean 'kto_s'\?"),
        (("beta:", "betta:"), r"phases\[1\]: kto_s has no option 'betta'; did you mean 'beta'\?"),
        (("beta: 0.2", "beta: -1"), r"phases\[1\]: kto_s: beta: .*greater than 0, found -1"),
        (("heldout", "held_out"), r"eval: suites\[0\]: no suite 'held_out'; did you mean 'heldout'\?"),
        (("judge: ngram", "judge: ngrams"), r"eval: judge: no labeler 'ngrams'; did you mean 'ngram'\?"),
        (("judge: ngram", "judge: column"), r"eval: judge: column cannot score a text by itself; one of .*ngram.* can"),
        (("name: a", "nmae: a"), r"r\.yaml has no option 'nmae'; did you mean 'name'\?"),
        (("name: a", "name: ../a"), r"r\.yaml: name: string should match pattern"),
        (("judge: ngram", "judge: ngram, sampling: {temprature: 1}"), r"no option 'temprature'; did you mean 'temperature'\?"),
        (("[heldout, retention]", "[]"), r"eval: suites: expected a list with at least one suite"),
        (("eval:", "evals:"), r"r\.yaml has no option 'evals'; did you mean 'eval'\?"),
    ],
)
def test_a_slip_is_one_line_with_its_cure(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        read_recipe(write(tmp_path, WHOLE.replace(*change, 1)))
    assert "\n" not in str(caught.value)


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml: phases: "):
        read_recipe(write(tmp_path, WHOLE.replace("phases:", "# phases:")))
