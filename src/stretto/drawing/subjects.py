"""What can be drawn: workflows and applications, known by what the picture needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from .._core.counts import Counts
from ..blueprint import Blueprint
from ..events import Event

__all__ = ["Crossing", "Drawable", "Executed", "Wired"]


@runtime_checkable
class Drawable(Protocol):
    """A workflow class or one of its instances."""

    def blueprint(self) -> Blueprint:
        """Its steps and their graph."""
        ...


class Crossing(Protocol):
    """An event class that goes from one member of an application to another."""

    @property
    def source(self) -> str:
        """The member that sends it."""
        ...

    @property
    def steps(self) -> Sequence[str]:
        """The labels of its steps that do."""
        ...

    @property
    def kind(self) -> type[Event]:
        """The class."""
        ...

    @property
    def to(self) -> str:
        """The member that gets it."""
        ...

    @property
    def answers(self) -> Sequence[str]:
        """Of a reply: the labels of the steps that may have asked."""
        ...


@runtime_checkable
class Wired(Protocol):
    """An application."""

    @property
    def members(self) -> Mapping[str, Drawable]:
        """Its workflows."""
        ...

    def routes(self) -> Iterable[Crossing]:
        """What goes from one to another."""
        ...


@runtime_checkable
class Executed(Protocol):
    """A run."""

    @property
    def workflow(self) -> Drawable:
        """What runs."""
        ...

    @property
    def counts(self) -> Counts:
        """What was done how often."""
        ...
