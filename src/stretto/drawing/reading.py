"""Reads the graph of a workflow or an application out of what its classes declare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeGuard, cast, final

from .._step_spec import StepSpec
from ..blueprint import Blueprint
from ..errors import shown
from ..events import Event, InputRequiredEvent, StopEvent, is_external
from .graph import Graph, How, Node, Role
from .notes import notes
from .sheet import Sheet, ascii_name
from .subjects import Drawable, Wired

__all__ = ["read"]

# Mermaid takes these for words of its own, and what has capitals may be a property of all JavaScript objects: a node of
# such a name draws an error in place of the picture.
_RESERVED = {
    "call", "class", "click", "constructor", "default", "direction", "end", "flowchart", "graph", "href",
    "interpolate", "style", "subgraph",
}  # fmt: skip
_PLAIN_ID = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def read(workflow: Drawable | Wired) -> Graph:
    """The graph of a workflow class, of a workflow made of it, or of an application.

    Raises:
        TypeError: If it is something else.
        DefinitionError: If the wiring of an application is wrong.
    """
    sheet = Sheet()
    if isinstance(workflow, Drawable):
        _Reader(sheet, workflow).read()
        return sheet.graph(workflow.blueprint().name)
    if not isinstance(workflow, Wired):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a picture is drawn of a Workflow or an Application, not of {shown(workflow)}")
    _read_application(sheet, workflow)
    return sheet.graph("Application of " + ", ".join(workflow.members))


def _read_application(sheet: Sheet, app: Wired) -> None:
    """Each member in a frame, and between them what crosses."""
    routes = list(app.routes())
    readers: dict[str, _Reader] = {}
    for number, (name, member) in enumerate(app.members.items()):
        crossing = frozenset(each.kind for each in routes if name in {each.source, each.to})
        title = f"{name} ({member.blueprint().name})"
        frame = sheet.add_frame(f"m{number}", title, None)
        readers[name] = _Reader(
            sheet, member, prefix=f"m{number}_", frame=frame, crossing=crossing, answers=True
        )
    for reader in readers.values():
        reader.read()
    receivers: dict[tuple[str, type[Event]], list[str]] = {}
    for route in routes:
        receivers.setdefault((route.source, route.kind), []).append(route.to)
    for route in routes:
        # Two senders whose events go to the same members share a pill; else it would join what is apart.
        to = receivers[route.source, route.kind]
        pill = sheet.crossing(route.kind, tuple(to))
        for begin in readers[route.source].labelled(route.steps):
            sheet.add_edge(begin, pill, How.CROSSING)
        for name in to:
            for end in readers[name].takers(route.kind):
                sheet.add_edge(pill, end, How.CROSSING)
        for end in readers[route.to].labelled(route.answers):
            sheet.add_edge(pill, end, How.CROSSING)


@final
class _Reader:
    """Reads one blueprint, and those of the workflows that its steps nest."""

    def __init__(
        self,
        sheet: Sheet,
        workflow: Drawable,
        *,
        prefix: str = "",
        frame: str | None = None,
        crossing: frozenset[type[Event]] = frozenset(),
        around: tuple[Blueprint, ...] = (),
        answers: bool = False,
    ) -> None:
        self._sheet = sheet
        self._workflow = workflow
        self.blueprint = workflow.blueprint()
        self._prefix = prefix
        self._frame = frame
        self._crossing = crossing  # what is drawn by those around
        self._answers = (
            answers  # a member may declare what nobody takes only if it answers something from outside
        )
        self._heard: frozenset[type[Event]] = frozenset()  # what nested workflows send to its steps
        self._around = (*around, self.blueprint)
        self._labels: dict[str, str] = {}
        self._nested: list[tuple[StepSpec, _Reader]] = []

    def read(self) -> None:
        for spec in self.blueprint.specs:
            self._labels[spec.label] = self._step(spec)
        inner = list(self._find_nested())
        for spec in self.blueprint.specs:
            self._read_ways(spec)
        for spec, nested in inner:
            self._read_nested(spec, nested)

    def takers(self, kind: type[Event]) -> Iterator[str]:
        """The ids of the steps that take an event class."""
        return (self._step(spec) for spec in self.blueprint.takers(kind))

    def labelled(self, labels: Sequence[str]) -> list[str]:
        """The ids of the steps that messages call so, those of nested workflows included."""
        known = dict(self._all_labels())
        return list(dict.fromkeys(known[label] for label in labels if label in known))

    def _all_labels(self) -> Iterator[tuple[str, str]]:
        for _, nested in self._nested:
            yield from nested._all_labels()  # noqa: SLF001 - of this very class
        yield from self._labels.items()

    # -- its own steps ---------------------------------------------------------------------------------------

    def _read_ways(self, spec: StepSpec) -> None:
        """The edges into a step that come from no step, and all those out of it."""
        step = self._step(spec)
        for start in self.blueprint.starts:
            if spec in self.blueprint.takers(start):
                self._sheet.add_edge(self._pill(start), step)
        for kind in self._from_outside:
            if spec in self.blueprint.takers(kind):
                self._sheet.add_edge(self._pill(kind), step, How.OUTSIDE)
        for kind in spec.accepts:
            if self._role(kind) is Role.SENT and kind not in self._crossing:
                self._sheet.add_edge(self._pill(kind), step, How.OUTSIDE)
        for kind in self._named_beside_a_wait(spec):
            if issubclass(kind, InputRequiredEvent):
                self._sheet.add_edge(step, self._pill(kind), How.OUTSIDE)
            else:
                self._sheet.add_edge(self._pill(kind), step, How.WAITS)
        for kind in spec.returns:
            self._ways_on(spec, kind)

    def _ways_on(self, spec: StepSpec, kind: type[Event]) -> None:
        step = self._step(spec)
        if _ends_run(kind):
            self._sheet.add_edge(step, self._pill(kind))
            return
        takers = list(self.blueprint.takers(kind))
        if issubclass(kind, InputRequiredEvent):
            self._sheet.add_edge(step, self._pill(kind), How.OUTSIDE)
        elif not takers and kind not in self._crossing:
            self._sheet.add_edge(step, self._pill(kind), How.OUTSIDE if self._is_lost(kind) else How.PLAIN)
        for after in takers:
            for taken in _taken(kind, after):
                pill = self._pill(taken)
                self._sheet.add_edge(step, pill, many=kind in spec.lists)
                if self._role(taken) not in {Role.START, Role.OUTSIDE}:
                    self._sheet.add_edge(pill, self._step(after))

    def _step(self, spec: StepSpec) -> str:
        plain = _PLAIN_ID.fullmatch(spec.name) and spec.name not in _RESERVED
        wish = spec.name if plain else f"{ascii_name(spec.name)}_"
        return self._sheet.add(
            Node(
                id=self._sheet.name((self, spec), self._prefix + wish),
                role=Role.STEP,
                title=spec.name,
                notes=tuple(notes(spec)),
                frame=self._frame,
                step=spec,
            )
        )

    def _pill(self, kind: type[Event]) -> str:
        role = self._role(kind)
        wish = f"{self._prefix}{role.value}_{ascii_name(kind.__name__)}"
        name = self._sheet.name((self, kind), wish)
        return self._sheet.add(Node(id=name, role=role, title=kind.__name__, frame=self._frame, kind=kind))

    def _role(self, kind: type[Event]) -> Role:
        takers = list(self.blueprint.takers(kind))
        made = any(self._is_made(kind, spec) for spec in takers) if takers else self._is_made_at_all(kind)
        if _ends_run(kind) and made:
            return Role.STOP
        if kind in self.blueprint.starts:
            return Role.START
        if is_external(kind) and (takers or not made):
            return Role.OUTSIDE
        if issubclass(kind, InputRequiredEvent):
            return Role.ASKED
        if not takers:
            return self._unheard if self._is_lost(kind) else Role.EVENT
        return Role.EVENT if made or kind in self._heard else Role.SENT

    @property
    def _unheard(self) -> Role:
        return Role.ANSWER if self._answers else Role.LOST

    def _is_lost(self, kind: type[Event]) -> bool:
        return kind not in self._crossing and not any(
            kind in self._named_beside_a_wait(spec) for spec in self.blueprint.specs
        )

    @cached_property
    def _from_outside(self) -> list[type[Event]]:
        kinds = (kind for spec in self.blueprint.specs for kind in spec.accepts)
        return list(dict.fromkeys(kind for kind in kinds if is_external(kind)))

    def _is_made(self, kind: type[Event], taker: StepSpec) -> bool:
        return bool(self.blueprint.makers(kind, subclasses=taker.accept_event_subclasses))

    def _is_made_at_all(self, kind: type[Event]) -> bool:
        subclasses = any(spec.accept_event_subclasses for spec in self.blueprint.specs)
        return bool(self.blueprint.makers(kind, subclasses=subclasses))

    def _named_beside_a_wait(self, spec: StepSpec) -> list[type[Event]]:
        """The classes that a step seems to wait for in its middle, and to ask with: by their names in its code."""
        if not spec.awaits:
            return []
        named = getattr(spec.call, "__globals__", {})
        known = {
            kind.__name__: kind for each in self.blueprint.specs for kind in (*each.accepts, *each.returns)
        }
        found = (named.get(name, known.get(name)) for name in sorted(spec.awaits))
        return [kind for kind in found if _may_be_awaited(kind) and not any(self.blueprint.takers(kind))]

    # -- what they nest --------------------------------------------------------------------------------------

    def _find_nested(self) -> Iterator[tuple[StepSpec, _Reader]]:
        readers: dict[str, _Reader] = {}
        has: Any = getattr(self._workflow, "nested_workflows", None)
        is_object = isinstance(has, Mapping)  # a class has a property
        given = cast("Mapping[str, Drawable]", has if is_object else {})
        for spec in self.blueprint.specs:
            for each in spec.nested:
                workflow = given.get(each.name, cast("Drawable", each.kinds[0]))
                inner = workflow.blueprint()
                if inner in self._around:
                    continue  # it nests itself, and would never end
                if each.name not in readers:
                    frame = self._sheet.add_frame(
                        f"{self._prefix}nested_{ascii_name(each.name)}",
                        f"{each.name} ({inner.name})",
                        self._frame,
                    )
                    reader = _Reader(
                        self._sheet,
                        workflow,
                        prefix=f"{frame}_",
                        frame=frame,
                        crossing=self._shared_with(inner),
                        around=self._around,
                    )
                    readers[each.name] = reader
                    self._crossing |= reader._crossing & self._made()
                    self._heard |= reader._crossing
                    self._nested.append((spec, reader))
                yield spec, readers[each.name]

    def _made(self) -> frozenset[type[Event]]:
        return frozenset(kind for spec in self.blueprint.specs for kind in spec.returns)

    def _shared_with(self, inner: Blueprint) -> frozenset[type[Event]]:
        """What goes from a nested workflow to the steps around it, what comes from them, and what goes further up."""
        made = {kind for spec in inner.specs for kind in spec.returns if not any(inner.takers(kind))}
        up = {kind for kind in made if any(self.blueprint.takers(kind)) or kind in self._crossing}
        taken = {kind for spec in inner.specs for kind in spec.accepts if kind not in inner.starts}
        down = {kind for kind in taken & self._made() if not any(self.blueprint.takers(kind))}
        return frozenset(kind for kind in up | down if not _ends_run(kind))

    def _read_nested(self, spec: StepSpec, inner: _Reader) -> None:
        if (spec, inner) in self._nested:
            inner.read()
        step = self._step(spec)
        for start in inner.blueprint.starts:
            self._sheet.add_edge(step, inner._pill(start), How.CALLS)
        for own, others in ((self, inner), (inner, self)):
            self._join(own, others, inner._crossing)

    def _join(self, sender: _Reader, receiver: _Reader, kinds: frozenset[type[Event]]) -> None:
        """What one of two workflows returns, and steps of the other take."""
        for spec in sender.blueprint.specs:
            for kind in spec.returns:
                if kind not in kinds:
                    continue
                for taker in receiver.blueprint.takers(kind):
                    pill = self._pill(kind)
                    self._sheet.add_edge(sender._step(spec), pill, many=kind in spec.lists)
                    self._sheet.add_edge(pill, receiver._step(taker))


def _ends_run(kind: type[Event]) -> bool:
    return issubclass(kind, StopEvent)


def _may_be_awaited(kind: object) -> TypeGuard[type[Event]]:
    return isinstance(kind, type) and issubclass(kind, Event) and kind is not Event and not _ends_run(kind)


def _taken(made: type[Event], taker: StepSpec) -> Sequence[type[Event]]:
    """What of a declared type a step takes: all of it, or only the subclasses that it names."""
    if made in taker.accepts or (taker.accept_event_subclasses and issubclass(made, taker.accepts)):
        return [made]
    return [kind for kind in taker.accepts if issubclass(kind, made)]
