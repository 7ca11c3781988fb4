"""The front doors in Python: light to import, typed, and their examples are true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import align
import curate
from tests.test_extending import BLOCK, PAGE

ROOT = Path(__file__).resolve().parent.parent
LIGHT = 0.1  # CPU seconds beyond the interpreter's own
HEAVY = ("polars", "torch", "pydantic", "numpy", "click", "yaml")
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

FRONT = (ROOT / "docs" / "python.md").read_text("utf-8")
RECIPES = {
    **{text.splitlines()[0].removeprefix("# "): text for kind, text in BLOCK.findall(FRONT) if kind == "yaml"},
    "grid.yaml": """
name: grid
data: elsewhere/
model: {"builtin:tiny": {vocab_size: 400, hidden_size: 32, layers: 1, epochs: 1, batch_size: 16}}
ablation:
  sizes: [8]
  seeds: [0]
  objectives: [sft: {batch_size: 8}, kto: {batch_size: 8}]
  after_sft: false
  steps: 1
  checkpoints: [1]
  tuning: {rates: [1.0e-3, 2.0e-3], extra: 0, suites: [{heldout: {max_prompts: 4}}, {retention: {max_rows: 3}}]}
  contrasts: [kto - sft]
eval:
  suites: [{heldout: {max_prompts: 8}}, {retention: {max_rows: 3}}]
  judge: {lexicon: {terms: terms.txt}}
  sampling: {max_new_tokens: 8}
""",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with the raw folder of docs/extending.md, and recipes that take seconds."""
    folder = tmp_path_factory.mktemp("front")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(next(text for kind, text in BLOCK.findall(PAGE) if kind == "python"), {})
        for name, text in RECIPES.items():
            Path(name).write_text(text)
        Path("terms.txt").write_text("clown\n")
        yield folder


@pytest.fixture(scope="module")
def dataset(place: Path) -> curate.Dataset:
    return curate.build("raw/", place / "pairs", recipe="small.yaml")


@pytest.fixture(scope="module")
def run(dataset: curate.Dataset) -> Any:
    return align.run("tiny.yaml", data=dataset)


def examples() -> list[doctest.DocTest]:
    from align.report import frames as runs
    from curate.dataset.look import frames as datasets

    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for module in (curate, align, datasets, runs) for test in finder.find(module) if test.examples]


@pytest.mark.parametrize("name", [test.name for test in examples()])
def test_the_examples_in_the_docstrings_are_true(name: str, run: Any, dataset: curate.Dataset) -> None:
    test = next(one for one in examples() if one.name == name)
    test.globs |= {"curate": curate, "align": align, "pl": pl, "run": run, "dataset": curate.open("pairs/")}
    lines: list[str] = []
    assert not doctest.DocTestRunner(optionflags=LIKE, verbose=False).run(test, out=lines.append).failed, "".join(lines)


@pytest.mark.parametrize("package", ["curate", "align"])
def test_importing_is_light(package: str) -> None:
    program = (
        f"import resource, sys, time\nbefore = time.process_time()\nimport {package}\nprint(time.process_time() - before)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    used = []
    for _ in range(3):  # the machine may be busy: the best of three is what it costs
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        seconds, heavy = done.stdout.splitlines()
        assert heavy == "[]"
        used.append(float(seconds))
    assert min(used) < LIGHT


def test_the_doors_stay_functions_whatever_is_imported() -> None:
    for package in (curate, align):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", ".sharding")):
                importlib.import_module(module.name)
    for door in (curate.build, curate.open, curate.inspect, align.run, align.evaluate, align.ablate, align.open):
        assert inspect.isfunction(door), door


def test_every_door_is_typed_and_says_what_it_takes_gives_and_raises() -> None:
    for package in (curate, align):
        for name in package.__all__:
            door = getattr(package, name)
            if inspect.isfunction(door):
                assert set(door.__annotations__) == {*inspect.signature(door).parameters, "return"}
                assert all(f"{part}:" in (door.__doc__ or "") for part in ("Args", "Returns", "Raises")), name
                parameters = [
                    one for one in inspect.signature(door).parameters if f"\n        {one}: " not in (door.__doc__ or "")
                ]
                assert not parameters, f"{name}: {parameters} not documented"


def test_strings_and_paths_both_do(place: Path, dataset: curate.Dataset) -> None:
    again = curate.build(Path("raw"), "pairs/", recipe=place / "small.yaml", work="pairs.work")
    assert again.manifest == dataset.manifest
    assert repr(curate.open("pairs")) == repr(curate.open(Path("pairs")))


def test_settings_take_any_value(place: Path) -> None:
    built = curate.build(
        "raw", "other", recipe="small.yaml", limit=200,
        settings={"seed": 3, "name": "été: 😀 'x'", "dataset.splits.test": 0.3, "stages.near_duplicates.threshold": 0.5},
    )  # fmt: skip
    assert built.manifest["recipe"]["seed"] == 3 and built.manifest["name"] == "été: 😀 'x'"
    assert built.manifest["recipe"]["dataset"]["splits"]["test"] == 0.3
    assert built.manifest["records"]["read"] == 200


def test_frames_have_all_rows_with_their_split(dataset: curate.Dataset) -> None:
    for name in ("paired", "unpaired", "sft"):
        frame = getattr(dataset, name)
        counts = dict(frame.group_by("split").len().iter_rows())
        files = dataset.folder.glob(f"{name}/*.parquet")
        assert counts == {path.name.split("-")[0]: pl.read_parquet(path).height for path in files}
        assert getattr(dataset, name) is frame, "read once"
    assert dataset.corpus.height == dataset.manifest["records"]["rows"]


def test_an_output_without_rows_is_a_frame_without_rows(place: Path) -> None:
    built = curate.build("raw", "unpaired", recipe="small.yaml", settings={"pairing": ["given"]})
    assert built.paired.is_empty() and {"prompt", "chosen", "rejected", "split"} <= set(built.paired.columns)


def test_rethreshold_decides_as_a_build_with_that_threshold_does(place: Path, dataset: curate.Dataset) -> None:
    wide = curate.build("raw", "wide", recipe="small.yaml", settings={"stages.near_duplicates.threshold": 0.3})
    narrow = curate.build("raw", "narrow", recipe="small.yaml", settings={"stages.near_duplicates.threshold": 0.5})
    dropped = narrow.corpus.filter(pl.col("stage") == "near_duplicates")
    assert dropped.height > 5
    assert set(wide.rethreshold("near_duplicates", 0.5)["id"]) == set(dropped["id"])
    assert wide.rethreshold("near_duplicates", 0.5).columns == ["id", "twin", "score"]


@pytest.mark.parametrize("stage", ["exact_duplicates", "column", "nonsense"])
def test_a_stage_without_a_threshold_says_which_have_one(dataset: curate.Dataset, stage: str) -> None:
    with pytest.raises(curate.UserError, match="one of near_duplicates"):
        dataset.rethreshold(stage, 0.5)


def test_progress_goes_to_the_callback_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[Any] = []
    curate.build("raw", "watched", recipe="small.yaml", progress=steps.append)
    assert {"read", "repair", "near_duplicates"} <= {step.label for step in steps}
    last = [step for step in steps if step.label == "repair"][-1]
    assert (last.done, last.total, last.unit) == (432, 432, "rows") and str(last) == "repair: 432 of 432 rows"
    assert capsys.readouterr().err == ""


def test_frames_are_found_from_another_working_folder(place: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, again = curate.open("pairs"), align.open(run.folder)
    monkeypatch.chdir(place / "raw")
    assert opened.paired.height and opened.corpus.height and opened.explain(opened.corpus["id"][0])
    assert opened.manifest["name"] == "small" and opened.rethreshold("near_duplicates", 0.5).height
    assert again.table.height == 3 and again.metrics.height and again.samples.height


def test_the_example_that_ships_is_found_from_any_folder(place: Path) -> None:
    assert "threads_2021.jsonl" in curate.inspect("examples/raw", recipe="small.yaml", limit=2)


def test_errors_are_the_command_lines_own(place: Path) -> None:
    with pytest.raises(curate.UserError, match="found no manifest.json") as caught:
        curate.open("raw")
    assert caught.value.hint == "pass a folder that `curate build` made"
    with pytest.raises(curate.UserError, match="no stage 'lenght'.*did you mean 'length'"):
        curate.build("raw", "wrong", recipe="small.yaml", settings={"stages": ["lenght"]})
    with pytest.raises(align.UserError, match="no finished run"):
        align.open("pairs")
    assert align.UserError is curate.UserError


def test_a_bare_name_is_a_recipe_that_ships(place: Path) -> None:
    with pytest.raises(curate.UserError, match="reads 'vector'"):
        curate.build("raw", "wrong", recipe="singlish", settings={"stages": ["pii", "semantic_duplicates", "consensus"]})
    with pytest.raises(align.UserError, match="no objective 'dop'"):
        align.run("kto_s", data="pairs", settings={"phases": [{"dop": {}}]})


def test_a_run_is_frames(run: Any) -> None:
    assert run.report.is_file()
    assert run.table.height == 3 and run.table["toxic"].is_between(run.table["toxic_low"], run.table["toxic_high"]).all()
    toxic = run.checkpoints.filter(pl.col("suite") == "heldout", pl.col("figure") == "toxic")
    assert toxic["value"].to_list() == run.table["toxic"].to_list() and toxic["n"].to_list() == run.table["n"].to_list()
    assert run.metrics["phase"].unique(maintain_order=True).to_list() == ["1-sft", "2-kto_s"]
    assert run.metrics.filter(pl.col("phase") == "2-kto_s")["step"].to_list() == list(range(1, 11))
    samples = run.samples.filter(pl.col("checkpoint") == "base")
    assert samples["judge_toxic"].sum() / samples.height == pytest.approx(run.table["toxic"][0])


def test_a_run_follows_the_dataset_it_is_given(run: Any, dataset: curate.Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.results["data"]["name"] == "small"
    steps: list[Any] = []
    assert align.run(Path("tiny.yaml"), data="pairs", progress=steps.append).folder == run.folder  # nothing to do
    assert not steps and capsys.readouterr().err == ""


def test_a_model_is_judged_by_its_run(run: Any) -> None:
    steps: list[Any] = []
    judged = align.evaluate(run, progress=steps.append)
    assert judged.table["toxic"].to_list() == run.table["toxic"].to_list()[-1:]
    assert judged.metrics.is_empty() and any(str(step).startswith("evaluating") for step in steps)
    assert align.evaluate(str(run.folder)).folder == judged.folder


def test_a_grid_is_frames(place: Path, dataset: curate.Dataset) -> None:
    grid = align.ablate("grid.yaml", data=dataset, progress=lambda step: None)
    assert grid.report.is_file() and "2 methods, 1 sizes, 1 seeds; 0 cells missing, 0 failed" in repr(grid)
    assert grid.table.select("method", "size").rows() == [("sft", 8), ("kto", 8)]
    assert grid.contrasts.select("a", "b").rows() == [("kto", "sft")]


def test_the_reference_is_up_to_date() -> None:
    script = ROOT / "scripts" / "python_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
