"""Self-contained HTML: one file, no script, no request to anywhere, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content security policy: should a text slip through unescaped, the browser still runs and fetches nothing."""

PICTURE_STYLE = """
:root { --ink: #1c2430; --quiet: #5d6878; --line: #dde2e8; --back: #ffffff; --panel: #f6f7f9;
        --a: #2f6f8f; --b: #d9822b; --c: #7a9a3a; --d: #9a5b8f; --e: #b9c2cc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --quiet: #9aa5b4; --line: #333b46; --back: #14181d; --panel: #1c2128;
          --a: #5fa8cc; --b: #e6a15c; --c: #a3c45f; --d: #c58bbb; --e: #4b5563; } }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .value { fill: var(--quiet); }
"""
"""What a picture needs to have its colours, in a page or in a file of its own."""

STYLE = (
    PICTURE_STYLE
    + """
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .5rem 0; max-width: 46rem; } .quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; } th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--panel); padding: 1rem; overflow-x: auto; border-radius: 6px; }
ul.warnings { background: var(--panel); border-left: 4px solid var(--b); padding: .75rem 1rem .75rem 2rem; }
svg { max-width: 100%; height: auto; display: block; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.key:not(:first-child) { margin-left: 1em; }
details { margin: .25rem 0; } summary { cursor: pointer; }
"""
)

COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)")


class Html(str):
    """Markup that is safe to put into a page; any other text is escaped on its way in."""

    __slots__ = ()


Child = Html | str | int | float | None


def tag(name: str, *children: Child, **attributes: str | int | float) -> Html:
    """An element; children that are not `Html` are escaped.

    Args:
        name: of the element.
        children: in order; None is left out.
        attributes: a trailing `_` is dropped from the name and other `_` become `-` (`class_`, `text_anchor`).

    >>> tag("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children side by side, escaped where they are not `Html`."""
    return Html("".join(child if isinstance(child, Html) else html.escape(_text(child)) for child in children))


def table(header: Sequence[str], rows: Sequence[Sequence[Child]]) -> Html:
    """A table; a column of numbers stands right. Without rows: a line that says so."""
    if not rows:
        return tag("p", "none", class_="quiet")
    number = [all(isinstance(row[at], (int, float)) or row[at] is None for row in rows) for at in range(len(header))]

    def cells(kind: str, row: Sequence[Child]) -> Html:
        return tag(
            "tr",
            *(tag(kind, cell, class_="number") if right else tag(kind, cell) for cell, right in zip(row, number, strict=True)),
        )

    body = tag("tbody", *(cells("td", row) for row in rows))
    return tag("div", tag("table", tag("thead", cells("th", header)), body), class_="scroll")


def section(heading: str, *children: Child) -> Html:
    """A heading and what stands below it."""
    return tag("section", tag("h2", heading), *children)


def page(title: str, *children: Child) -> str:
    """A whole document."""
    head = join(
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{tag("main", tag("h1", title), *children)}</body></html>\n'
    )


def _text(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:,}"
