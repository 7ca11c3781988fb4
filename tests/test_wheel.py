"""The wheel holds what is needed and nothing else, and works in a folder of its own, away from the repository."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 6_000_000
BACKEND = ("hatchling", "hatch_fancy_pypi_readme")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := [name for name in BACKEND if importlib.util.find_spec(name) is None]:
        pytest.skip(f"the wheel cannot be built here: {', '.join(missing)} is not installed")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installer makes of the wheel."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def page(site: Path) -> Message:
    (metadata,) = site.glob("margins-*.dist-info/METADATA")
    return message_from_string(metadata.read_text("utf-8"))


def run(site: Path, folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the wheel's own, with the packages of this environment, but none of the repository."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", program, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


def test_it_holds_every_module_recipe_template_weight_and_example(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {path.relative_to(ROOT).as_posix() for package in ("align", "curate") for path in (ROOT / package).rglob("*")}
    ours = {name for name in ours if (ROOT / name).is_file() and "__pycache__" not in name}
    for folder in ("recipes", "data_cards", "examples/raw"):
        ours |= {f"curate/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / folder).rglob("*") if path.is_file()}
    ours.add("curate/examples/truth.txt")
    assert {"align/py.typed", "curate/py.typed"} <= ours
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert wheel.stat().st_size < MOST_BYTES


def test_its_page_has_no_link_or_picture_that_leads_nowhere(page: Message) -> None:
    text = str(page.get_payload())
    assert page["Description-Content-Type"].startswith("text/markdown") and text.startswith("# Margins")
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    assert all(target.startswith("https://") for target in targets)


def test_it_says_what_it_runs_on_and_which_extras_there_are(page: Message) -> None:
    assert page["Requires-Python"] == ">=3.11" and "Typing :: Typed" in page.get_all("Classifier", [])
    extras = {"all", "dev", "faiss", "figures", "lingua", "lionguard", "lm-eval", "openvino", "tracking", "vllm", "xlsx"}
    assert set(page.get_all("Provides-Extra", [])) == extras
    core = [line for line in page.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in core if line.startswith(("matplotlib", "faiss", "openpyxl", "pytest"))]


def test_every_extra_that_the_code_asks_for_exists(page: Message) -> None:
    asked = set()
    for package in ("align", "curate"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            asked |= set(re.findall(r"margins\[([a-z-]+)\]", text)) | set(re.findall(r"\brequire\(\"\w+\", \"([a-z-]+)\"", text))
    assert {"faiss", "figures", "xlsx", "lingua"} <= asked <= set(page.get_all("Provides-Extra", []))


def test_it_builds_the_example_and_plans_a_run_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    built = run(site, tmp_path, "curate", "build", "--source", "examples/raw/", "--out", "pairs/", "--limit", "1500")
    assert built.returncode == 0, built.stderr
    assert built.stdout.endswith("next: open pairs/report.html, or `curate show pairs`, or `align run kto_s`\n")
    planned = run(site, tmp_path, "align", "plan", "kto_s")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith("kto_s, seed 0: data pairs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs", "pairs.work", "runs"]


def test_a_recipe_is_named_bare_where_there_is_no_repository(site: Path, tmp_path: Path) -> None:
    missing = run(site, tmp_path, "align", "run", "recipes/kto_s.yaml")
    assert missing.returncode == 2
    assert missing.stderr.endswith("  hint: 'kto_s' alone names the one that ships\n")
