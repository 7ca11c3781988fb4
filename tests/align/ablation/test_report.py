"""A report comes from its outcome.json alone: the committed one gives the committed text, tables and numbers."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import pytest
import yaml

from align.ablation.report.analysis import _pooled
from align.ablation.report.card import grid_card
from align.ablation.report.figures import NO_PICTURES, draw_all, save
from align.ablation.report.outcome import MeanDivergence, Outcome, read_outcome
from align.ablation.report.page import grid_page
from align.ablation.report.words import headline
from align.commands.compare import compare
from align.data.figures import Divergence
from curate.core.errors import DataError
from curate.core.store import write_json

COMMITTED = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "ablation"


@pytest.fixture(scope="module")
def committed() -> Outcome:
    return read_outcome(COMMITTED / "outcome.json")


def body(page: str) -> str:
    """What a page says; its style is the house's, and a picture's bytes are its matplotlib's."""
    return re.sub(r"<img [^>]*>", "", page[page.index("<main>") :])


def recipe_of(page: str) -> dict[str, object]:
    text = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert text is not None
    recipe: dict[str, object] = yaml.safe_load(html.unescape(text.group(1)))
    return recipe


def test_an_outcome_is_read_and_written_byte_for_byte(committed: Outcome, tmp_path: Path) -> None:
    write_json(tmp_path / "outcome.json", committed.to_json())
    assert (tmp_path / "outcome.json").read_bytes() == (COMMITTED / "outcome.json").read_bytes()


def test_a_grid_with_missing_cells_is_read_and_written(committed: Outcome, tmp_path: Path) -> None:
    tree = committed.to_json()
    for name in ("fitted", "n50", "n90", "area"):
        del tree["views"]["best"]["methods"]["kto"][name]
    write_json(tmp_path / "outcome.json", tree)
    short = read_outcome(tmp_path / "outcome.json")
    assert short.views["best"].methods["kto"].n90 is None and short.to_json() == tree
    assert "KTO: cells are missing" in grid_card(short)


def test_what_is_no_outcome_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", "{}", '{"stability": {"kto": {"kl": [0.1]}}}'):
        (tmp_path / "outcome.json").write_text(text)
        with pytest.raises(DataError, match=r"outcome.json: is not the outcome of a grid .* run `align ablate` again"):
            read_outcome(tmp_path / "outcome.json")


def test_the_committed_report_comes_from_the_committed_outcome(committed: Outcome, tmp_path: Path) -> None:
    figures = draw_all(committed)
    save(figures, tmp_path)
    page = (COMMITTED / "report.html").read_text("utf-8")
    assert grid_card(committed) == (COMMITTED / "MODEL_CARD.md").read_text("utf-8")
    assert body(grid_page(committed, figures, recipe_of(page))) == body(page)
    for figure in figures:
        assert (tmp_path / f"{figure.name}.csv").read_bytes() == (COMMITTED / "figures" / f"{figure.name}.csv").read_bytes()
        assert figure.svg is not None and figure.svg.startswith("<?xml") and (tmp_path / f"{figure.name}.png").is_file()


def test_a_grids_folder_is_compared_by_itself_with_the_tables_of_its_card(committed: Outcome) -> None:
    card = (COMMITTED / "MODEL_CARD.md").read_text("utf-8")
    parts = compare([COMMITTED], markdown=True).split("\n\n")
    assert len(parts) == 5 and all(part in card for part in parts)
    assert compare([COMMITTED]).startswith("\n".join(headline(committed)))


def test_without_matplotlib_the_numbers_are_written_and_the_page_says_so(
    committed: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    figures = draw_all(committed)
    save(figures, tmp_path)
    page = grid_page(committed, figures, recipe_of((COMMITTED / "report.html").read_text("utf-8")))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{figure.name}.csv" for figure in figures)
    assert page.count(html.escape(NO_PICTURES)) == 1 and "<img" not in page and "<figure" not in page


def test_a_seeds_difference_adds_to_the_error_of_the_distance() -> None:
    alike, apart = ([Divergence(0.2 + gap, 0.03, 1.0, 5), Divergence(0.2 - gap, 0.03, 1.0, 5)] for gap in (0.0, 0.04))
    assert _pooled(alike) == MeanDivergence(pytest.approx(0.2), pytest.approx(0.03))
    assert _pooled(apart) == MeanDivergence(pytest.approx(0.2), pytest.approx(0.05))
    assert _pooled([*alike, None]) is None
