"""Line charts and intervals as inline SVG, in the colours of `curate.pages.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curate.pages.html import COLOURS, Html, join, tag

WIDTH, HEIGHT = 660, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 10, 26
MOST_POINTS = 400  # of one line; more would only be drawn over each other


def lines(series: Mapping[str, Sequence[float]], caption: str) -> Html:
    """A chart of values by step, one line per name, and a key of the colours.

    Args:
        series: name -> finite values by step, from step 1; at most five.
        caption: what a screen reader says of the picture.
    """
    drawn = {name: values for name, values in series.items() if len(values) > 0}
    if not drawn:
        return tag("p", "none", class_="quiet")
    low = min(min(values) for values in drawn.values())
    high = max(max(values) for values in drawn.values())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    steps = max(len(values) for values in drawn.values())

    def x(step: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (step / max(1, steps - 1)), 1)

    def y(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low), 1)

    shapes: list[Html] = [tag("title", caption)]
    for value in (low, (low + high) / 2, high):
        shapes.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), stroke="var(--line)"))
        shapes.append(tag("text", f"{value:.3g}", x=LEFT - 8, y=y(value) + 4, text_anchor="end", class_="value"))
    shapes.append(tag("text", "step 1", x=LEFT, y=HEIGHT - 8, class_="value"))
    shapes.append(tag("text", f"{steps:,}", x=WIDTH - RIGHT, y=HEIGHT - 8, text_anchor="end", class_="value"))
    for values, colour in zip(drawn.values(), COLOURS, strict=False):
        every = max(1, len(values) // MOST_POINTS)
        points = " ".join(f"{x(step)},{y(values[step])}" for step in range(0, len(values), every))
        shapes.append(tag("polyline", points=points, fill="none", stroke=colour, stroke_width=1.5))
    keys = (
        tag("span", tag("span", class_="key", style=f"background:{c}"), name) for name, c in zip(drawn, COLOURS, strict=False)
    )
    return join(tag("p", *keys, class_="quiet"), _svg(shapes, HEIGHT))


def intervals(rows: Sequence[tuple[str, float, float, float]], caption: str) -> Html:
    """A dot and its interval per row, on a scale from 0 to 100 %.

    Args:
        rows: label, value, lower and upper end, in [0, 1].
        caption: what a screen reader says of the picture.
    """
    label, height = 200, 30
    scale = WIDTH - label - 90
    shapes: list[Html] = [tag("title", caption)]
    for at, (name, value, low, high) in enumerate(rows):
        middle = at * height + height // 2
        ends = [round(label + scale * part, 1) for part in (low, value, high)]
        shapes.append(tag("line", x1=label, x2=label + scale, y1=middle, y2=middle, stroke="var(--line)"))
        shapes.append(tag("line", x1=ends[0], x2=ends[2], y1=middle, y2=middle, stroke=COLOURS[0], stroke_width=4))
        shapes.append(tag("circle", cx=ends[1], cy=middle, r=5, fill=COLOURS[1]))
        shapes.append(tag("text", name, x=label - 12, y=middle + 4, text_anchor="end"))
        shapes.append(tag("text", f"{100 * value:.1f} %", x=label + scale + 12, y=middle + 4, class_="value"))
    return _svg(shapes, height * len(rows))


def _svg(shapes: Sequence[Html], height: int) -> Html:
    return tag("svg", *shapes, viewBox=f"0 0 {WIDTH} {height}", width=WIDTH, height=height, role="img")
