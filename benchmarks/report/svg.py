"""The least of SVG that a chart needs: shapes, text that is always escaped, and a scale."""

from __future__ import annotations

import math
from html import escape
from typing import Literal

import attrs

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


def number(value: float) -> str:
    """A coordinate, short and the same on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


class Drawing:
    """Collects elements from top to bottom; `document` wraps them up."""

    def __init__(self, width: float) -> None:
        self.width = width
        self._elements: list[str] = []

    def text(self, place: Point, content: str, look: str, anchor: Anchor = "start") -> None:
        attributes = _attributes({"x": place[0], "y": place[1]})
        if anchor != "start":
            attributes += f' text-anchor="{anchor}"'
        self._elements.append(f'<text {attributes} class="{escape(look)}">{escape(content)}</text>')

    def line(self, start: Point, end: Point, look: str) -> None:
        ends = _attributes({"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]})
        self._elements.append(f'<line {ends} class="{escape(look)}"/>')

    def bar(self, box: tuple[float, float, float, float], look: str, tip: str) -> None:
        """A rectangle (left, top, width, height) that says what it stands for when it is pointed at."""
        box_attributes = _attributes(dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"rx": 1.5})
        self._elements.append(
            f'<rect {box_attributes} class="{escape(look)}"><title>{escape(tip)}</title></rect>'
        )

    def dot(self, centre: Point, radius: float, look: str, tip: str) -> None:
        place = _attributes({"cx": centre[0], "cy": centre[1], "r": radius})
        self._elements.append(f'<circle {place} class="{escape(look)}"><title>{escape(tip)}</title></circle>')

    def diamond(self, centre: Point, radius: float, look: str, tip: str) -> None:
        x, y = centre
        corners = ((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y))
        points = " ".join(f"{number(left)},{number(top)}" for left, top in corners)
        self._elements.append(
            f'<polygon points="{points}" class="{escape(look)}"><title>{escape(tip)}</title></polygon>'
        )

    def document(self, *, height: float, title: str, description: str, style: str) -> str:
        """The whole file: it names itself to those who cannot see it and needs nothing from elsewhere."""
        size = f'viewBox="0 0 {number(self.width)} {number(height)}"'
        ground = _attributes({"width": self.width, "height": height, "rx": 10})
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
                f'<title id="title">{escape(title)}</title>',
                f'<desc id="desc">{escape(description)}</desc>',
                f"<style>{style}</style>",
                f'<rect {ground} class="ground"/>',
                *self._elements,
                "</svg>\n",
            ]
        )


def _attributes(values: dict[str, float]) -> str:
    return " ".join(f'{name}="{number(value)}"' for name, value in values.items())


@attrs.frozen
class LogScale:
    """Maps figures from `low` to `high` to pixels from `start` to `end`, each factor the same length."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel for a figure; what lies outside is put at the edge."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round figures as far as the scale goes: 1, 2, 5, 10 and so on, or 1, 10, 100 if those are many."""
        found = [value for value in _steps() if self.low <= value <= self.high]
        return found if len(found) <= 5 else [value for value in found if f"{value:e}".startswith("1")]


def around(values: list[float]) -> tuple[float, float]:
    """The round figures that enclose all values and are not the same."""
    low = max((step for step in _steps() if step <= min(values)), default=_steps()[0])
    high = min((step for step in _steps() if step >= max(values)), default=_steps()[-1])
    return (low, high) if low < high else (low, low * 10)


def _steps() -> list[float]:
    return [float(f"{digit}e{power}") for power in range(-9, 9) for digit in (1, 2, 5)]
