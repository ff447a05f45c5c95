"""The graph of a workflow as Mermaid text, which GitHub and most documentation sites draw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, final, runtime_checkable

from .._core.gathering import Each
from .._step_spec import StepSpec
from ..blueprint import Blueprint
from ..events import Event, InputRequiredEvent, StopEvent, is_external
from ..joins import All, First

__all__ = ["to_mermaid"]

# Mermaid takes these for words of its own, and what has capitals may be a property of all JavaScript objects: a node of
# such a name draws an error in place of the picture.
_RESERVED = {
    "call", "class", "click", "constructor", "default", "direction", "end", "flowchart", "graph", "href",
    "interpolate", "style", "subgraph",
}  # fmt: skip
_USUAL_WORKERS = 4  # the default of @step
_PLAIN_ID = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


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


class Wired(Protocol):
    """An application."""

    @property
    def members(self) -> Mapping[str, Drawable]:
        """Its workflows."""
        ...

    def routes(self) -> Iterable[Crossing]:
        """What goes from one to another."""
        ...


def to_mermaid(workflow: Drawable | Wired) -> str:
    """The steps of a workflow as boxes, and between them the events that they return and take.

    >>> from stretto import StartEvent, StopEvent, Workflow, step
    >>> class Shout(Workflow):
    ...     @step
    ...     async def shout(self, ev: StartEvent) -> StopEvent: ...
    >>> print(to_mermaid(Shout))
    flowchart TD
        shout["shout"]
        start_StartEvent(["StartEvent"]) --> shout
        shout --> stop_StopEvent(["StopEvent"])

    An event from or for outside is a slanted box with a dashed line. So is, in a rounded box, one that a step takes and
    none declares, or declares and none takes. ``x2`` is a number of workers other than four. A step that joins is a
    hexagon.

    Each member of an `Application` has a frame, and what goes from one to another is a thick line.

    Args:
        workflow: The class, or a workflow made of it, or an application.

    Returns:
        Mermaid text, the same for the same graph, whatever the names in it.
    """
    if isinstance(workflow, Drawable):
        return "\n".join(["flowchart TD", *_Picture(workflow.blueprint()).lines()])
    return "\n".join(["flowchart TD", *_framed(workflow)])


def _framed(app: Wired) -> Iterator[str]:
    """Each member in a frame, then what goes between them."""
    routes = list(app.routes())
    pictures: dict[str, _Picture] = {}
    for number, (name, member) in enumerate(app.members.items()):
        crossing = frozenset(each.kind for each in routes if name in {each.source, each.to})
        picture = pictures[name] = _Picture(member.blueprint(), f"m{number}_", crossing)
        yield f"    subgraph m{number}[{_quoted(f'{name} ({picture.blueprint.name})')}]"
        yield from (f"    {line}" for line in picture.lines())
        yield "    end"
    for route in routes:
        ends = list(pictures[route.to].takers(route.kind))
        for begin in pictures[route.source].labelled(route.steps):
            yield from (f"    {begin} ==>|{_label(route.kind.__name__)}| {end}" for end in ends)


@final
class _Picture:
    """Writes the picture of one blueprint, and gives each thing in it an id of its own."""

    def __init__(
        self, blueprint: Blueprint, prefix: str = "", crossing: frozenset[type[Event]] = frozenset()
    ) -> None:
        self.blueprint = blueprint
        self._prefix = prefix
        self._crossing = crossing  # what is drawn by those around
        self._ids: dict[tuple[str, object], str] = {}

    def lines(self) -> Iterator[str]:
        for spec in self.blueprint.specs:
            workers = "" if spec.num_workers == _USUAL_WORKERS else f" x{spec.num_workers}"
            text = _quoted(spec.name + workers + _joins(spec))
            yield f"    {self._step(spec)}" + (f"[{text}]" if spec.join is None else "{{" + text + "}}")
        for edge in dict.fromkeys(edge for spec in self.blueprint.specs for edge in self._edges(spec)):
            yield f"    {edge}"

    def takers(self, kind: type[Event]) -> Iterator[str]:
        """The steps that take an event class, as they are called in the picture."""
        return (self._step(spec) for spec in self.blueprint.takers(kind))

    def labelled(self, labels: Sequence[str]) -> list[str]:
        """The steps that messages call so; the whole frame for one of a workflow that is nested in it."""
        known = {spec.label: spec for spec in self.blueprint.specs}
        frame = self._prefix.rstrip("_")
        return list(dict.fromkeys(self._step(known[label]) if label in known else frame for label in labels))

    def _edges(self, spec: StepSpec) -> Iterator[str]:
        """The edges into a step that come from no step, and all those out of it."""
        step = self._step(spec)
        for start in self.blueprint.starts:
            if spec in self.blueprint.takers(start):
                yield f"{self._event('start', start)}([{_quoted(start.__name__)}]) --> {step}"
        for kind in self._from_outside():
            if spec in self.blueprint.takers(kind):
                yield f"{self._event('outside', kind)}[/{_quoted(kind.__name__)}/] -.-> {step}"
        for kind in spec.accepts:
            if (
                kind not in self.blueprint.starts
                and kind not in self._crossing
                and not is_external(kind)
                and not self._is_made(kind, spec)
            ):
                yield f"{self._event('sent', kind)}([{_quoted(kind.__name__)}]) -.-> {step}"
        for kind in spec.returns:
            yield from self._ways_on(step, kind)

    def _ways_on(self, step: str, kind: type[Event]) -> Iterator[str]:
        name = _quoted(kind.__name__)
        if _ends_run(kind):
            yield f"{step} --> {self._event('stop', kind)}([{name}])"
            return
        takers = list(self.blueprint.takers(kind))
        if issubclass(kind, InputRequiredEvent):
            yield f"{step} -.-> {self._event('asked', kind)}[/{name}/]"
        elif not takers and kind not in self._crossing:
            yield f"{step} -.-> {self._event('lost', kind)}([{name}])"
        for after in takers:
            for taken in _taken(kind, after):
                yield f"{step} -->|{_label(taken.__name__)}| {self._step(after)}"

    def _from_outside(self) -> list[type[Event]]:
        kinds = (kind for spec in self.blueprint.specs for kind in spec.accepts)
        return list(dict.fromkeys(kind for kind in kinds if is_external(kind)))

    def _is_made(self, kind: type[Event], taker: StepSpec) -> bool:
        subclasses = taker.accept_event_subclasses
        return any(
            issubclass(kind, made) or (subclasses and issubclass(made, kind))
            for spec in self.blueprint.specs
            for made in spec.returns
        )

    def _step(self, spec: StepSpec) -> str:
        plain = _PLAIN_ID.fullmatch(spec.name) and spec.name not in _RESERVED
        return self._id("step", spec, spec.name if plain else f"{_ascii(spec.name)}_")

    def _event(self, role: str, kind: type[Event]) -> str:
        return self._id(role, kind, f"{role}_{_ascii(kind.__name__)}")

    def _id(self, role: str, thing: object, wish: str) -> str:
        """The id of a thing: what it would be called, numbered where something else is called so."""
        known = self._ids.get((role, thing))
        if known is None:
            taken = set(self._ids.values())
            known, number = f"{self._prefix}{wish}", 1
            while known in taken:
                number += 1
                known = f"{self._prefix}{wish}_{number}"
            self._ids[role, thing] = known
        return known


def _ends_run(kind: type[Event]) -> bool:
    return issubclass(kind, StopEvent)


def _joins(spec: StepSpec) -> str:
    match spec.join:
        case None:
            return ""
        case All():
            return " joins all"
        case First(n=n):
            return f" joins the first {n}" if n > 1 else " joins the first"
        case Each():
            return " joins one of each"


def _taken(made: type[Event], taker: StepSpec) -> Sequence[type[Event]]:
    """What of a declared type a step takes: all of it, or only the subclasses that it names."""
    if made in taker.accepts or (taker.accept_event_subclasses and issubclass(made, taker.accepts)):
        return [made]
    return [kind for kind in taker.accepts if issubclass(kind, made)]


def _ascii(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _label(name: str) -> str:
    return name if re.fullmatch(r"\w+", name, re.ASCII) else _quoted(name)


def _quoted(text: str) -> str:
    """A label that is read as text, whatever stands in it: not as Markdown, HTML or the end of the label."""
    return '"' + "".join(each if each.isalnum() or each in "_ " else f"#{ord(each)};" for each in text) + '"'
