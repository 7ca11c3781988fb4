"""The report is one page that asks nothing of the network and believes no text."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any

from curate.core.manifest import from_json
from curate.dataset.report import report
from curate.pages.charts import bars
from curate.pages.html import tag


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.text = ""
        self.inside = False
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name == "tr":
            self.cells.append([])
        if name in {"td", "th"}:
            self.cells[-1].append("")
            self.inside = True

    def handle_endtag(self, name: str) -> None:
        self.inside = self.inside and name not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.inside:
            self.cells[-1][-1] += data


def test_the_page_asks_for_nothing_from_anywhere(manifest: dict[str, Any]) -> None:
    page = Page(report(from_json(manifest)))
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "img"}
    assert not any(key in {"src", "href"} or key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert "url(" not in report(from_json(manifest)) and "@import" not in report(from_json(manifest))
    policy = next(attributes["content"] for name, attributes in page.tags if attributes.get("http-equiv"))
    assert policy and policy.startswith("default-src 'none'")
    assert len(report(from_json(manifest))) < 300_000


def test_names_from_outside_are_escaped(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest)
    other["name"] = other["sources"][0]["source"] = "<script>alert('x')</script>\"&"
    page = Page(report(from_json(other)))
    assert "script" not in {name for name, _ in page.tags}
    assert "<script>alert('x')</script>\"&" in page.text


def test_every_drop_and_every_output_is_in_a_table_with_its_number(manifest: dict[str, Any]) -> None:
    rows = {tuple(cells) for cells in Page(report(from_json(manifest))).cells}
    assert ("near_duplicates", "near_duplicate", "3") in rows
    for reason, size in manifest["dataset"]["dropped"].items():
        assert ("compose", reason, f"{size:,}") in rows
    paired = manifest["dataset"]["paired"]
    assert ("paired", *(f"{paired[split]:,}" for split in ("train", "validation", "test"))) in rows


def test_ten_thousand_sources_stay_a_small_page_and_lose_no_row(manifest: dict[str, Any]) -> None:
    other = copy.deepcopy(manifest)
    other["sources"] = [{**other["sources"][0], "source": f"{n}.jsonl", "rows": 2, "records": 1} for n in range(10_000)]
    text = report(from_json(other))
    assert len(text) < 300_000
    assert ["and 9,800 more", "9,800", "19,600", "0", "9,800", ""] in Page(text).cells


def test_bars_share_one_scale() -> None:
    drawn = bars(("kept", "dropped"), [("all", (80, 20)), ("half", (50, 0))], "example")
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', drawn)]
    assert widths[0] == widths[1] * 4 and widths[2] == widths[0] * 50 / 80


def test_text_inside_a_tag_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b", tag("b", "&"), title='"') == '<p title="&quot;">a &lt; b<b>&amp;</b></p>'
