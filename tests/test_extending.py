"""docs/extending.md is run as it stands, and what is a user's own is known by its file."""

from __future__ import annotations

import doctest
import pickle
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from align.objectives import OBJECTIVES
from align.objectives.phase import parse
from curate.core import config, contracts
from curate.core.config import choose, chosen_name, load, plain
from curate.core.errors import DataError, RecipeError
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe
from curate.stages.table import STAGES

Command = Callable[..., Any]

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MOST_LINES = 25  # of code in a part


def blocks() -> Iterator[tuple[str, str]]:
    """Kind and text of the page's blocks, in order."""
    return ((match[1], match[2]) for match in BLOCK.finditer(PAGE))


def write(text: str) -> Path:
    """A block into the file that its first line names."""
    name, _, body = text.removeprefix("# ").partition("\n")
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body, encoding="utf-8")
    return path


def write_files() -> None:
    for kind, text in blocks():
        if kind in {"python", "yaml"}:
            write(text)
    runpy.run_path("make_raw.py")


@pytest.fixture
def align(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Call `align` with arguments, in this process."""
    from align.commands.cli import main

    def call(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["align", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=int(done.value.code or 0), out=printed.out, err=printed.err)

    return call


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with every file of the page."""
    monkeypatch.chdir(tmp_path)
    write_files()
    return tmp_path


def run_command(line: str, wanted: str, curate: Command, align: Command) -> None:
    program, *arguments = shlex.split(line)
    if program == "python":
        runpy.run_path(arguments[0])
        return
    ran = {"curate": curate, "align": align}[program](*arguments)
    shown = ran.out if ran.code == 0 else ran.err
    assert doctest.OutputChecker().check_output(wanted, shown, LIKE), f"$ {line}\n{shown}\nwanted:\n{wanted}"


def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, curate: Command, align: Command) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for kind, text in blocks():
        if kind in {"python", "yaml"}:
            write(text)
        elif kind == "console":
            for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                line, _, wanted = command.partition("\n")
                run_command(line, wanted, curate, align)
        elif kind == "pycon":
            lines: list[str] = []
            test = doctest.DocTestParser().get_doctest(text, names, "docs/extending.md", None, 0)
            failed = doctest.DocTestRunner(optionflags=LIKE, verbose=False).run(test, out=lines.append, clear_globs=False).failed
            names = test.globs
            assert not failed, "".join(lines)


def test_every_part_on_the_page_fits_in_a_few_lines() -> None:
    parts = [text for kind, text in blocks() if kind == "python" and "@dataclass" in text]
    assert len(parts) == 6
    for text in parts:
        assert len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES


def test_an_edited_stage_is_run_again_and_the_manifest_says_which_it_was(place: Path) -> None:
    def dropped() -> tuple[int, str]:
        manifest = build(place / "raw", place / "out", read_recipe(place / "stage.yaml")).manifest
        options = next(
            stage["no_shouting:NoShouting"] for stage in manifest.recipe["stages"] if "no_shouting:NoShouting" in stage
        )
        return sum(stage.dropped.get("shouting", 0) for stage in manifest.stages), options["source_hash"]

    before = dropped()
    assert before[0] == 24 and dropped() == before
    path = place / "no_shouting.py"
    path.write_text(path.read_text().replace("shouts = share > self.most", "shouts = share > 2"))
    assert dropped()[0] == 0 and dropped()[1] != before[1]
    path.write_text(path.read_text().replace("shouts = share > 2", "shouts = share > self.most"))
    assert dropped() == before


def test_a_part_is_known_by_the_name_that_was_written(place: Path) -> None:
    (place / "recipes" / "parts").mkdir(parents=True)
    (place / "no_shouting.py").rename(place / "recipes" / "parts" / "calm.py")
    (place / "recipes" / "mine.yaml").write_text(
        (place / "stage.yaml").read_text().replace("no_shouting:NoShouting", "./parts/calm.py:NoShouting")
    )
    recipe = read_recipe(Path("recipes/mine.yaml"))
    stage = recipe.stages[4]
    assert chosen_name(STAGES, stage) == "./parts/calm.py:NoShouting" and stage.most == 0.5
    manifest = build(place / "raw", place / "out", recipe).manifest
    assert manifest.stages[4].dropped == {"shouting": 24}
    assert [path.name for path in (place / "out.work" / "columns").glob("parts-calm-py-NoShouting-*")]
    assert not list(place.glob("out.work/parts-calm*")), "nothing is written beside the columns"


def test_what_a_recipe_extends_brings_its_own_files(place: Path) -> None:
    (place / "base").mkdir()
    for name in ("no_shouting.py", "stage.yaml"):
        (place / name).rename(place / "base" / name)
    (place / "top.yaml").write_text("extends: base/stage.yaml\nseed: 3\n")
    assert chosen_name(STAGES, read_recipe(place / "top.yaml").stages[4]) == "no_shouting:NoShouting"


def test_a_resolved_recipe_gives_the_same_part_back(place: Path) -> None:
    stage = choose(STAGES, {"no_shouting:NoShouting": {"most": 0.7}}, "here", "stage")
    again = choose(STAGES, {"no_shouting:NoShouting": plain(stage)}, "here", "stage")
    assert again == stage and plain(again) == plain(stage)


def test_a_part_goes_to_another_process_by_its_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = choose(OBJECTIVES, {"hinge:Hinge": {"margin": 3}}, "here", "objective")
    carried = pickle.dumps(objective)
    monkeypatch.setattr(config, "_OWN", {})
    monkeypatch.setattr(contracts, "_MODULES", {})
    arrived = pickle.loads(carried)
    assert arrived.margin == 3 and chosen_name(OBJECTIVES, arrived) == "hinge:Hinge"


def test_the_labeler_that_built_the_data_is_refused_as_their_judge(place: Path, curate: Command, align: Command) -> None:
    rude = place / "rude.py"
    rude.write_text(
        rude.read_text() + "\n    threshold: float = 0.5\n\n    def score(self, texts):\n        return [0.5 for _ in texts]\n"
    )
    assert curate("build", "--source", "raw", "--out", "pairs", "--recipe", "labeler.yaml").code == 0
    ran = align("run", "run.yaml", "--set", "eval.judge=./rude.py:Rude")
    assert ran.code == 2 and "labelled pairs" in ran.err


WRONG = {
    "no such file": ("nowhere:Part", "found no nowhere.py beside the recipe"),
    "no such path": ("./nowhere.py:Part", "found no nowhere.py beside the recipe"),
    "no such class": ("no_shouting:NoShoutin", "did you mean 'NoShouting'?"),
    "not a class": ("no_shouting:pl", "has no class 'pl'"),
    "a class of another kind": ("shortest:Shortest", "has no writes"),
    "not frozen": ("thawed:Part", "put @dataclass(frozen=True) above the class"),
    "one text for names": ("bare:Part", "write a tuple: ('completion',)"),
    "a slip in the file": ("broken:Part", "NameError: name 'polars' is not defined (line 2)"),
    "no Python": ("syntax:Part", "SyntaxError"),
    "a script that ends": ("script:Part", "SystemExit: 0 (line 2)"),
    "of the standard library": ("json:JSONEncoder", "is not a frozen dataclass"),
}


@pytest.mark.parametrize("entry, message", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_with_a_part_is_said_before_any_work(place: Path, entry: str, message: str) -> None:
    (place / "thawed.py").write_text("class Part: pass\n")
    (place / "bare.py").write_text(
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Part:\n    reads = 'completion'\n    writes = {}\n"
        "    def __call__(self, rows): ...\n"
    )
    (place / "broken.py").write_text("import os\npolars.col\n")
    (place / "syntax.py").write_text("class Part\n")
    (place / "script.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(RecipeError, match=re.escape(message)):
        choose(STAGES, entry, "mine.yaml: stages[4]", "stage")


@pytest.mark.parametrize(
    "change, message",
    [
        (('"unpaired", "ref', '"unpaird", "ref'), "needs has 'unpaird'; did you mean 'unpaired'"),
        (('"unpaired", "reference"', '"reference"'), "needs names 0 kinds of rows"),
        (('"unpaired", "reference"', '"unpaired"'), "do not give; add 'reference' to needs"),
        (
            ('("log_ratio",', '("log_ratioo",'),
            "reads 'log_ratioo', which its needs and per do not give; did you mean 'log_ratio'",
        ),
        (('per = "row"', 'per = "rows"'), "per is 'rows'; one of"),
    ],
)
def test_an_objective_asks_for_what_there_is(place: Path, change: tuple[str, str], message: str) -> None:
    path = place / "hinge.py"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse({"hinge:Hinge": {}}, "mine.yaml: phases[0]")


STAGE = """
from dataclasses import dataclass
import polars as pl

@dataclass(frozen=True)
class Part:
    reads = ("completion",)
    writes = {{"words": pl.UInt32}}

    def __call__(self, rows):
        words = pl.col("completion").str.len_chars()
        return {}
"""
SLIPS = {
    "an unknown column": ('rows.select(words=pl.col("text").len())', 'ColumnNotFoundError: .*"text".*line 12', "mend slip.py"),
    "a message that may quote texts": (
        'rows["completion"].str.to_integer()',
        r"^slip:Part: \w+Error \(line 12\)$",
        "mend slip.py",
    ),
    "one line for all rows": ("rows.select(words=pl.lit(1))", "432 rows in, 1 lines out", "rows.with_columns gives all"),
    "a series": ('rows["completion"].str.len_chars()', "gave back Series", "rows.select"),
    "texts for numbers": ('rows.select(words="completion")', "words is String, not UInt32$", "cast it"),
    "another name": ("rows.select(word=words)", "promised words and did not write it", "`writes` names"),
}


@pytest.mark.parametrize("body, message, hint", SLIPS.values(), ids=list(SLIPS))
def test_a_stage_that_goes_wrong_at_work_is_told_where(place: Path, body: str, message: str, hint: str) -> None:
    (place / "slip.py").write_text(STAGE.format(body))
    path = place / "stage.yaml"
    path.write_text(path.read_text().replace("no_shouting:NoShouting: {most: 0.5}", "slip:Part"))
    with pytest.raises((RecipeError, DataError)) as caught:
        build(place / "raw", place / "out", read_recipe(path))
    assert re.search(message, caught.value.problem) and hint in str(caught.value.hint)


def test_a_score_that_is_no_probability_is_refused(place: Path) -> None:
    path = place / "rude.py"
    path.write_text(path.read_text().replace(".then(0.9)", ".then(9)"))
    with pytest.raises(DataError, match=r"rude:Rude: score_rude leaves \[0, 1\]; it is a probability"):
        build(place / "raw", place / "out", read_recipe(place / "labeler.yaml"))


WORDS = {
    "a tensor that is none": (
        '"log_ratio", "desirable"',
        '"logratio", "desirable"',
        "reads 'logratio'",
        "did you mean 'log_ratio'",
    ),
    "no reference": ('{"unpaired", "reference"}', '{"unpaired"}', "reads 'log_ratio'", "add 'reference' to needs"),
    "a divisor that is none": ('per = "row"', 'per = "rows"', "per is 'rows'", "one of token, row, pair"),
    "rows that are none": (
        '{"unpaired", "reference"}',
        '{"unpairs", "reference"}',
        "needs has 'unpairs'",
        "did you mean 'unpaired'",
    ),
    "no rows": ('{"unpaired", "reference"}', '{"reference"}', "needs names 0 kinds of rows", "desirable, unpaired, paired"),
}


@pytest.mark.parametrize("old, new, message, hint", WORDS.values(), ids=list(WORDS))
def test_an_objective_that_asks_for_what_is_not_there_is_told_before_any_work(
    place: Path, old: str, new: str, message: str, hint: str
) -> None:
    from align.pipeline.recipe import read_recipe as read_run

    path = place / "hinge.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecipeError) as caught:
        read_run(place / "run.yaml")
    assert message in caught.value.problem and hint in str(caught.value.hint)


def test_losses_of_a_wrong_shape_and_a_suite_that_gives_something_else_are_told(
    place: Path, curate: Command, align: Command
) -> None:
    assert curate("build", "--source", "raw", "--out", "pairs", "--recipe", "stage.yaml").code == 0
    greetings = place / "greetings.py"
    greetings.write_text(
        greetings.read_text().replace("return Measured.of(*ask(", "return list(ask(").replace("prompts))", "prompts))")
    )
    ran = align("run", "run.yaml")
    assert ran.code == 2 and "greetings:Greetings: TypeError: gave back list, not Measured" in ran.err, ran.err
    hinge = place / "hinge.py"
    hinge.write_text(hinge.read_text().replace("clamp(min=0)", "clamp(min=0).mean()"))
    ran = align("run", "run.yaml", "--set", "eval.suites=[heldout]")
    assert ran.code == 2 and re.search(r"hinge:Hinge: TypeError: gave 1 losses for \d+ rows", ran.err), ran.err


def test_an_unknown_option_of_a_part_is_named(place: Path) -> None:
    with pytest.raises(RecipeError, match="has no option 'mots'.*did you mean 'most'"):
        choose(STAGES, {"no_shouting:NoShouting": {"mots": 0.7}}, "mine.yaml: stages[4]", "stage")


def test_nothing_is_imported_that_a_recipe_does_not_name(place: Path) -> None:
    (place / "trap.py").write_text("raise SystemExit('imported')\n")
    (place / "stage.yaml").write_text((place / "stage.yaml").read_text() + "# trap:Part\n")
    read_recipe(place / "stage.yaml")
    load(place / "run.yaml")
    assert "trap" not in sys.modules


def test_models_stay_a_closed_list(place: Path) -> None:
    from align.pipeline.recipe import read_recipe as read_run

    with pytest.raises(RecipeError, match="no model 'hinge:Hinge'"):
        read_run(place / "run.yaml", ["model=hinge:Hinge"])


@pytest.mark.parametrize(
    "change, message",
    [
        (("name: manglish\n", ""), "has no 'name'"),
        (("weight: 4.0", "weight: much"), "could not convert"),
        (("groups:", "groups: [a\n"), "markers.yaml"),
    ],
)
def test_a_variety_that_is_not_whole_says_what_is_missing(place: Path, change: tuple[str, str], message: str) -> None:
    path = place / "manglish" / "markers.yaml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(RecipeError, match=message):
        read_recipe(place / "variety.yaml")


def test_an_edited_variety_is_read_again(place: Path) -> None:
    def varieties() -> set[str]:
        build(place / "raw", place / "out", read_recipe(place / "variety.yaml"))
        found = pl.concat([pl.read_parquet(path) for path in (place / "out" / "corpus").glob("*.parquet")])["variety"]
        return set(found.drop_nulls())

    assert varieties() == {"manglish"}
    path = place / "manglish" / "markers.yaml"
    path.write_text(path.read_text().replace("bias: -2.0", "bias: -99.0"))
    assert varieties() == set()


def test_a_run_records_the_files_of_its_parts(place: Path) -> None:
    from align.pipeline.recipe import read_recipe as read_run
    from align.pipeline.recipe import resolved

    recipe = resolved(read_run(place / "run.yaml"))
    assert len(recipe["phases"][1]["hinge:Hinge"]["source_hash"]) == 16
    before = recipe["eval"]["judge"]["insults:Insults"]["source_hash"]
    (place / "insults.py").write_text((place / "insults.py").read_text().replace('"fool"', '"donkey"'))
    assert resolved(read_run(place / "run.yaml"))["eval"]["judge"]["insults:Insults"]["source_hash"] != before


def test_forgetting_builds_again_with_the_part_where_it_lies_and_says_so_where_it_does_not(
    place: Path, curate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert curate("build", "--source", "raw", "--out", "pairs", "--recipe", "stage.yaml").code == 0
    ids = pl.read_parquet("pairs/corpus/*.parquet")["id"]
    for at, folder, code in ((0, place, 0), (2, place / "raw", 2)):
        (place / "ids.txt").write_text(ids[at] + "\n")
        monkeypatch.chdir(folder)
        ran = curate("forget", place / "pairs", "--ids", place / "ids.txt")
        assert ran.code == code, ran.err
    assert "no_shouting:NoShouting: found no no_shouting.py" in ran.err and "run this in the folder where it lies" in ran.err


def test_a_pair_that_must_not_be_names_the_pairer_that_proposed_it(place: Path) -> None:
    path = place / "shortest.py"
    path.write_text(path.read_text().replace('["prompt_key", "split"]', '["split"]'))
    with pytest.raises(DataError, match="both sides have one prompt.*shortest:Shortest") as caught:
        build(place / "raw", place / "out", read_recipe(place / "pairer.yaml"))
    assert caught.value.hint and "mend the pairer" in caught.value.hint
    assert not (place / "out").exists()


@pytest.mark.parametrize("name", ["extending.md", "python.md"])
def test_every_file_that_a_page_links_to_is_there(name: str) -> None:
    page = ROOT / "docs" / name
    for target in re.findall(r"\]\(([^)#:]+)[)#]", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
