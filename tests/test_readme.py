"""The README's promises: its commands are those that `make demo` runs, what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
COMMANDS = ("curate build --source examples/raw/ --out pairs/", "align run recipes/kto_s.yaml")


def test_the_readme_opens_with_the_two_commands_that_make_demo_prints_and_runs() -> None:
    first = README.split("```sh\n", 1)[1].split("```", 1)[0]
    assert tuple(first.strip().splitlines()) == COMMANDS
    demo = MAKEFILE.split("\ndemo:", 1)[1].split("\n\n", 1)[0]
    assert all(f'@echo "{command}"' in demo for command in COMMANDS)
    assert " && ".join(COMMANDS) in demo


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "examples/README.md", *(f"docs/{one.name}" for one in DOCS)]
)
def test_every_file_that_a_page_links_to_is_there(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_every_subcommand_and_make_target_that_the_readme_names_exists() -> None:
    from align.commands.cli import cli as align
    from curate.commands.cli import cli as curate

    known = {"curate": set(curate.lazy), "align": set(align.lazy)}
    for program, word in re.findall(r"^(curate|align) ([a-z]+) ", README, re.MULTILINE):
        assert word in known[program], f"{program} {word}"
    for target in re.findall(r"`make ([a-z-]+)`", README + (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for recipe in re.findall(r"recipes/[a-z0-9_/]+\.yaml", README):
        assert (ROOT / recipe).is_file(), recipe


def test_the_house_is_drawn_as_it_stands() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawing = page.split("```")[3]
    for package in ("curate", "align"):
        rooms = {one.parent.name for one in (ROOT / package).glob("*/__init__.py")}
        assert rooms <= set(re.findall(r"(\w+)/ ", drawing)), rooms - set(re.findall(r"(\w+)/ ", drawing))
    for path in re.findall(r"`((?:curate|align|tests|recipes|scripts|docs)/[\w/.]+)`", page):
        assert (ROOT / path).exists(), path


def test_a_page_has_lines_that_a_person_can_read() -> None:
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]:
        long = [line for line in page.read_text("utf-8").splitlines() if len(line) > 130 and not line.startswith(("|", "!["))]
        assert not long, (page.name, long)
