"""What is in the picture of a workflow: nodes for its steps and events, edges between them, frames around them.

Every form of the picture, whether for a browser, a terminal or another program, is made from this one reading of a
blueprint. Steps and event classes are nodes alike: an edge goes from a step to what it returns, and from an event to
the steps that take it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import final

import attrs

from .._step_spec import StepSpec
from ..events import Event

__all__ = ["Edge", "Frame", "Graph", "How", "Node", "Role"]


@final
class Role(enum.StrEnum):
    """What a node is."""

    STEP = "step"
    EVENT = "event"
    START = "start"
    STOP = "stop"
    OUTSIDE = "outside"
    ASKED = "asked"
    ANSWER = "answer"
    SENT = "sent"
    LOST = "lost"


@final
class How(enum.StrEnum):
    """What an edge says."""

    PLAIN = "plain"
    OUTSIDE = "outside"
    WAITS = "waits"
    CALLS = "calls"
    CROSSING = "crossing"


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Node:
    """A step, or a class of events.

    Attributes:
        id: Its name in the picture, the same for the same graph: ASCII letters, digits and underscores.
        title: What stands in it: the name of the step or of the class, whatever characters that has.
        notes: What else is told of a step: other than four workers, how it joins.
        frame: The id of the frame that it is in.
        step: The step that it stands for.
        kind: The class of events that it stands for.
    """

    id: str
    role: Role
    title: str
    notes: tuple[str, ...] = ()
    frame: str | None = None
    step: StepSpec | None = None
    kind: type[Event] | None = None


@final
@attrs.frozen(kw_only=True)
class Edge:
    """A way from one node to another.

    Attributes:
        many: Whether a step may send several at once.
    """

    source: str
    target: str
    how: How = How.PLAIN
    many: bool = False

    @property
    def id(self) -> str:
        """Its name in the picture: ``begin>event_Ask``."""
        return f"{self.source}>{self.target}"


@final
@attrs.frozen(kw_only=True)
class Frame:
    """A workflow among others: a member of an application, or one that a step nests.

    Attributes:
        within: The id of the frame around it.
    """

    id: str
    title: str
    within: str | None = None


@final
@attrs.frozen(kw_only=True, eq=False)
class Graph:
    """All that is in a picture, in the order of definition."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    frames: Sequence[Frame] = ()
