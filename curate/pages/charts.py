"""Histograms, curves and maps as inline SVG, in the colours of `curate.pages.html`; `standalone` makes a file of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curate.pages.html import COLOURS, PICTURE_STYLE, Html, join, tag

WIDTH, HEIGHT = 660, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 30
MAP = 420  # side of a map


def histogram(edges: Sequence[float], parts: Mapping[str, Sequence[int]], caption: str, band: Sequence[float] = ()) -> Html:
    """Stacked columns over a number line, and a key of the colours.

    Args:
        edges: n + 1 ascending bounds of n columns; all columns are drawn equally wide.
        parts: name -> n counts; at most five names.
        caption: what a screen reader says of the picture.
        band: two places on the number line between which the ground is shaded, or none.
    """
    columns = len(edges) - 1
    tallest = max((sum(counts) for counts in zip(*parts.values(), strict=True)), default=0)
    if not tallest:
        return tag("p", "none", class_="quiet")
    wide = (WIDTH - LEFT - RIGHT) / columns
    scale = (HEIGHT - TOP - BOTTOM) / tallest

    def x(value: float) -> float:
        after = next((at for at in range(columns) if value <= edges[at + 1]), columns - 1)
        low, high = edges[after], edges[after + 1]
        return round(LEFT + wide * (after + (value - low) / (high - low)), 1)

    shapes: list[Html] = [tag("title", caption)]
    if len(band) == 2:
        left, right = (x(value) for value in band)
        shapes.append(
            tag(
                "rect", x=left, y=TOP, width=round(right - left, 1), height=HEIGHT - TOP - BOTTOM, fill="var(--line)", opacity=0.6
            )
        )
    for value in (tallest, tallest // 2):
        y = round(HEIGHT - BOTTOM - value * scale, 1)
        shapes.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke="var(--line)"))
        shapes.append(tag("text", f"{value:,}", x=LEFT - 8, y=y + 4, text_anchor="end", class_="value"))
    for at in range(columns):
        y = float(HEIGHT - BOTTOM)
        for counts, colour in zip(parts.values(), COLOURS, strict=False):
            if counts[at]:
                tall = counts[at] * scale
                y -= tall
                place = {"x": round(LEFT + wide * at + 1, 1), "y": round(y, 1), "width": round(wide - 2, 1)}
                shapes.append(tag("rect", height=round(tall, 2), fill=colour, **place))
    every = max(1, columns // 10)
    for at in range(0, columns + 1, every):
        place = {"x": round(LEFT + wide * at, 1), "y": HEIGHT - 10}
        shapes.append(tag("text", f"{edges[at]:g}", text_anchor="middle", class_="value", **place))
    return join(key(parts), _svg(shapes, WIDTH, HEIGHT))


def curve(points: Sequence[tuple[float, float]], caption: str, mark: float | None = None) -> Html:
    """A line through points, from 0 on the vertical scale up; the place of `mark` stands out.

    Args:
        points: (x, y >= 0), ascending in x; at least one.
        caption: what a screen reader says of the picture.
        mark: an x to draw a line at.
    """
    low, high = points[0][0], points[-1][0]
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    top = max(value for _, value in points) or 1

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low), 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top), 1)

    shapes: list[Html] = [tag("title", caption)]
    for value in (0, top / 2, top):
        shapes.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), stroke="var(--line)"))
        shapes.append(tag("text", f"{value:,.0f}", x=LEFT - 8, y=y(value) + 4, text_anchor="end", class_="value"))
    if mark is not None:
        shapes.append(tag("line", x1=x(mark), x2=x(mark), y1=TOP, y2=HEIGHT - BOTTOM, stroke=COLOURS[1], stroke_width=2))
    places = " ".join(f"{x(one)},{y(value)}" for one, value in points)
    shapes.append(tag("polyline", points=places, fill="none", stroke=COLOURS[0], stroke_width=2))
    for one, value in points:
        shapes.append(tag("circle", cx=x(one), cy=y(value), r=3, fill=COLOURS[0]))
        shapes.append(tag("text", f"{one:g}", x=x(one), y=HEIGHT - 10, text_anchor="middle", class_="value"))
    return _svg(shapes, WIDTH, HEIGHT)


def scatter(points: Sequence[tuple[float, float, str]], names: Sequence[str], caption: str) -> Html:
    """A dot per point, coloured by name, without scales, and a key of the colours.

    Args:
        points: (x, y, name).
        names: every name in order of colour, at most five.
        caption: what a screen reader says of the picture.
    """
    if not points:
        return tag("p", "none", class_="quiet")
    across, up = [one for one, _, _ in points], [one for _, one, _ in points]
    colour = dict(zip(names, COLOURS, strict=False))

    def place(value: float, among: Sequence[float]) -> float:
        low, high = min(among), max(among)
        return round(8 + (MAP - 16) * ((value - low) / (high - low) if high > low else 0.5), 1)

    shapes: list[Html] = [tag("title", caption)]
    for one, other, name in points:
        shapes.append(tag("circle", cx=place(one, across), cy=round(MAP - place(other, up), 1), r=2, fill=colour[name]))
    return join(key(names), _svg(shapes, MAP, MAP))


def key(names: Sequence[str] | Mapping[str, object]) -> Html:
    """Which colour stands for which name."""
    spans = (join(tag("span", class_="key", style=f"background:{c}"), name) for name, c in zip(names, COLOURS, strict=False))
    return tag("p", *spans, class_="quiet")


def standalone(picture: Html, names: Sequence[str] = ()) -> str:
    """The SVG within a picture as a file of its own: colours and key inside, no request to anywhere.

    Args:
        picture: with exactly one `<svg>`.
        names: of the colours, in order; drawn below the picture.
    """
    start, end = picture.index("<svg"), picture.rindex("</svg>")
    head, body = picture[start:end].split(">", 1)
    width, height = (int(part) for part in head.split('viewBox="0 0 ')[1].split('"')[0].split())
    tall = height + 28 * bool(names)
    legend: list[Html] = []
    left = 8
    for name, colour in zip(names, COLOURS, strict=False):
        legend.append(tag("rect", x=left, y=height + 8, width=11, height=11, fill=colour))
        legend.append(tag("text", name, x=left + 17, y=height + 18))
        left += 40 + 8 * len(name)
    size = f'viewBox="0 0 {width} {tall}" width="{width}" height="{tall}" role="img" xmlns="http://www.w3.org/2000/svg"'
    return f"<svg {size}><style>{PICTURE_STYLE}</style>{body}{join(*legend)}</svg>\n"


def _svg(shapes: Sequence[Html], width: int, height: int) -> Html:
    return tag("svg", *shapes, viewBox=f"0 0 {width} {height}", width=width, height=height, role="img")
