"""Charts as inline SVG, in the colours of `curate.pages.html`; `standalone` makes a file of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curate.pages.html import COLOURS, PICTURE_STYLE, Html, join, tag

WIDTH = 660
MAP = 420  # side of a map
MOST_POINTS = 400  # of one line; more would only be drawn over each other
LONGEST = 24  # characters of a bar's label


@dataclass(frozen=True)
class Frame:
    """A picture's size and margins, in pixels, and where a share of its axes lies, in [0, 1] from the left and from below."""

    height: int
    left: int
    bottom: int
    right: int = 12
    top: int = 10
    width: int = WIDTH

    @property
    def across(self) -> int:
        """Pixels between the margins."""
        return self.width - self.left - self.right

    @property
    def up(self) -> int:
        """Pixels between the margins."""
        return self.height - self.top - self.bottom

    def rule(self, text: str, y: float) -> list[Html]:
        """A line across, and what it stands for, left of it."""
        line = tag("line", x1=self.left, x2=self.width - self.right, y1=y, y2=y, stroke="var(--line)")
        return [line, tag("text", text, x=self.left - 8, y=y + 4, text_anchor="end", class_="value")]


COLUMNS = Frame(height=220, left=56, bottom=30)  # numbers of columns stand below
STEPS = Frame(height=200, left=64, bottom=26)


def bars(parts: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], caption: str) -> Html:
    """Stacked horizontal bars on one scale, each with its numbers, and a key of the colours.

    Args:
        parts: names of a bar's parts, at most five.
        rows: label, and the size of each part (>= 0).
        caption: what a screen reader says of the picture.
    """
    if not rows:
        return tag("p", "none", class_="quiet")
    label, width, values, height = 170, 460, 250, 26
    scale = width / max(max(sum(sizes) for _, sizes in rows), 1)
    shapes: list[Html] = [tag("title", caption)]
    for at, (name, sizes) in enumerate(rows):
        top = at * height
        short = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
        shapes.append(tag("text", short, x=label - 10, y=top + 17, text_anchor="end"))
        left = float(label)
        for size, colour in zip(sizes, COLOURS, strict=False):
            if size:
                place = {"x": round(left, 1), "y": top + 4, "width": round(size * scale, 1), "height": height - 8}
                shapes.append(tag("rect", **place, fill=colour))
            left += size * scale
        sum_of = " + ".join(f"{size:,}" for size in sizes)
        shapes.append(tag("text", sum_of, x=round(left + 8, 1), y=top + 17, class_="value"))
    return join(key(parts), _svg(shapes, label + width + values, len(rows) * height))


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
    frame = COLUMNS
    wide, scale, floor = frame.across / columns, frame.up / tallest, frame.height - frame.bottom

    def x(value: float) -> float:
        after = next((at for at in range(columns) if value <= edges[at + 1]), columns - 1)
        low, high = edges[after], edges[after + 1]
        return round(frame.left + wide * (after + (value - low) / (high - low)), 1)

    shapes: list[Html] = [tag("title", caption)]
    if len(band) == 2:
        left, right = (x(value) for value in band)
        place = {"x": left, "y": frame.top, "width": round(right - left, 1), "height": frame.up}
        shapes.append(tag("rect", **place, fill="var(--line)", opacity=0.6))
    for value in (tallest, tallest // 2):
        shapes += frame.rule(f"{value:,}", round(floor - value * scale, 1))
    for at in range(columns):
        y = float(floor)
        for counts, colour in zip(parts.values(), COLOURS, strict=False):
            if counts[at]:
                tall = counts[at] * scale
                y -= tall
                place = {"x": round(frame.left + wide * at + 1, 1), "y": round(y, 1), "width": round(wide - 2, 1)}
                shapes.append(tag("rect", height=round(tall, 2), fill=colour, **place))
    every = max(1, columns // 10)
    for at in range(0, columns + 1, every):
        place = {"x": round(frame.left + wide * at, 1), "y": frame.height - 10}
        shapes.append(tag("text", f"{edges[at]:g}", text_anchor="middle", class_="value", **place))
    return join(key(parts), _svg(shapes, frame.width, frame.height))


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
    frame = COLUMNS

    def x(value: float) -> float:
        return round(frame.left + frame.across * (value - low) / (high - low), 1)

    def y(value: float) -> float:
        return round(frame.top + frame.up * (1 - value / top), 1)

    shapes: list[Html] = [tag("title", caption)]
    for value in (0, top / 2, top):
        shapes += frame.rule(f"{value:,.0f}", y(value))
    if mark is not None:
        ends = {"x1": x(mark), "x2": x(mark), "y1": frame.top, "y2": frame.height - frame.bottom}
        shapes.append(tag("line", **ends, stroke=COLOURS[1], stroke_width=2))
    places = " ".join(f"{x(one)},{y(value)}" for one, value in points)
    shapes.append(tag("polyline", points=places, fill="none", stroke=COLOURS[0], stroke_width=2))
    for one, value in points:
        shapes.append(tag("circle", cx=x(one), cy=y(value), r=3, fill=COLOURS[0]))
        shapes.append(tag("text", f"{one:g}", x=x(one), y=frame.height - 10, text_anchor="middle", class_="value"))
    return _svg(shapes, frame.width, frame.height)


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

    frame = STEPS

    def x(step: int) -> float:
        return round(frame.left + frame.across * (step / max(1, steps - 1)), 1)

    def y(value: float) -> float:
        return round(frame.top + frame.up * (high - value) / (high - low), 1)

    shapes: list[Html] = [tag("title", caption)]
    for value in (low, (low + high) / 2, high):
        shapes += frame.rule(f"{value:.3g}", y(value))
    last = frame.width - frame.right
    shapes.append(tag("text", "step 1", x=frame.left, y=frame.height - 8, class_="value"))
    shapes.append(tag("text", f"{steps:,}", x=last, y=frame.height - 8, text_anchor="end", class_="value"))
    for values, colour in zip(drawn.values(), COLOURS, strict=False):
        every = max(1, len(values) // MOST_POINTS)
        points = " ".join(f"{x(step)},{y(values[step])}" for step in range(0, len(values), every))
        shapes.append(tag("polyline", points=points, fill="none", stroke=colour, stroke_width=1.5))
    keys = (
        tag("span", tag("span", class_="key", style=f"background:{c}"), name) for name, c in zip(drawn, COLOURS, strict=False)
    )
    return join(tag("p", *keys, class_="quiet"), _svg(shapes, frame.width, frame.height))


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
    return _svg(shapes, WIDTH, height * len(rows))


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
