"""The values of a layout: what is to be placed, and where it then is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, final

import attrs

__all__ = ["Box", "Layout", "Line", "Point", "Rect", "Surround"]

Point: TypeAlias = tuple[float, float]


@final
@attrs.frozen(kw_only=True)
class Box:
    """A box to be placed.

    Attributes:
        frame: The id of the frame that it is in.
    """

    id: str
    width: float
    height: float
    frame: str | None = None


@final
@attrs.frozen(kw_only=True)
class Line:
    """An edge from one box to another, or to itself."""

    id: str
    source: str
    target: str


@final
@attrs.frozen(kw_only=True)
class Surround:
    """A frame.

    Attributes:
        width: The least that it has, for its title.
        within: The id of the frame around it.
    """

    id: str
    width: float = 0.0
    within: str | None = None


@final
@attrs.frozen(kw_only=True)
class Rect:
    """A place: the upper left corner and the size."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, dx: float, dy: float) -> Rect:
        """The same, elsewhere."""
        return Rect(x=self.x + dx, y=self.y + dy, width=self.width, height=self.height)


@final
@attrs.frozen(kw_only=True)
class Layout:
    """A picture.

    Attributes:
        boxes: The place of each box, by its id; `frames` likewise.
        routes: The points that each edge goes through. Where two that follow each other have the same height, it turns
            there: from going down to going up, or back.
    """

    width: float
    height: float
    boxes: Mapping[str, Rect]
    frames: Mapping[str, Rect]
    routes: Mapping[str, Sequence[Point]]
