"""Which member of an application gets which event, found from what their classes declare before the first is sent.

A type that its own class accepts stays inside. Any other goes to the one member that accepts it; if several do, or
none, somebody has to say what is meant, and is told so with the classes and lines. A type that nobody accepts is all
right where it may be the reply to somebody: where the sender's steps lead to it from a type that another member sends,
or from one that comes from outside.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Protocol, final

import attrs

from ..errors import DefinitionError, name_of, names, near
from ..events import Event, InputRequiredEvent, StartEvent, StopEvent, is_external
from .plan import Plan

__all__ = ["Link", "Member", "Route", "Wiring"]


class KeyOf(Protocol):
    """Gives the key of an event: events of one key go to one run."""

    @abstractmethod
    def __call__(self, event: Event, /) -> Hashable:
        """The key."""


@final
@attrs.frozen(kw_only=True, eq=False)
class Member:
    """A workflow in an application.

    Attributes:
        plan: Its steps.
        nested: The plans of the workflows that its steps nest; what those send is sent by it too.
    """

    name: str
    plan: Plan
    nested: tuple[Plan, ...] = ()

    def accepts(self, kind: type) -> bool:
        """Whether one of its steps takes this very type."""
        return bool(self.plan.routes.find(kind))

    def accepts_exactly(self, kind: type) -> bool:
        """Whether one of its steps names this type."""
        return any(kind in step.accepts for step in self.plan.steps)

    def sends(self) -> Iterator[tuple[type[Event], str]]:
        """The types that its steps declare, each with the step."""
        for plan in (self.plan, *self.nested):
            for step in plan.steps:
                for kind in step.returns:
                    if not issubclass(kind, (StopEvent, InputRequiredEvent)) and kind is not Event:
                        yield kind, step.label

    @property
    def told(self) -> str:
        """As messages name it: ``orders (OrderStation)``."""
        return f"{self.name} ({self.plan.name})"


@final
@attrs.frozen(kw_only=True, eq=False)
class Link:
    """What `Application.connect` was told of one type.

    Attributes:
        to: The members that get it; None leaves that to the types.
        source: The member whose events are meant; None means all.
        key: Gives the key of an event; None for no keys.
    """

    kind: type[Event]
    to: tuple[str, ...] | None = None
    source: str | None = None
    key: KeyOf | None = None


@final
@attrs.frozen(kw_only=True)
class Route:
    """An event type that goes from one member to another.

    Attributes:
        source: The member that sends it.
        steps: Its steps that declare it.
        kind: The type.
        to: The member that gets it.
        how: ``"type"``, ``"broadcast"`` or ``"connect"``; or ``"reply"`` for one that nobody takes and that may answer
            a request.
        answers: Of a reply: the steps of that member that may have asked.
    """

    source: str
    steps: tuple[str, ...]
    kind: type[Event]
    to: str
    how: str
    answers: tuple[str, ...] = ()


@final
class Wiring:
    """The table of an application; made once, and then looked up.

    Raises:
        DefinitionError: For each thing that is wrong with it, all in one message.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        broadcast: frozenset[type[Event]] = frozenset(),
        external: frozenset[type[Event]] = frozenset(),
        links: Sequence[Link] = (),
    ) -> None:
        self.members: Mapping[str, Member] = {each.name: each for each in members}
        self.broadcast = broadcast
        self.external = external
        self.links = tuple(links)
        self.keys = {link.kind: link.key for link in links if link.key is not None}
        self._sent: dict[str, dict[type[Event], list[str]]] = {}
        for member in members:
            sent = self._sent[member.name] = {}
            for kind, label in member.sends():
                sent.setdefault(kind, []).append(label)
        self._declared = frozenset(kind for sent in self._sent.values() for kind in sent)
        self._table: dict[tuple[str | None, type], tuple[str, ...]] = {}
        self._single: dict[tuple[str, type], str | None] = {}
        self._crossing: dict[str, frozenset[type[Event]]] = {}
        problems = tuple(self._check())
        if problems:
            raise DefinitionError("; ".join(problems), problems)

    # -- what is looked up -----------------------------------------------------------------------------------

    def receivers(self, source: str | None, kind: type[Event]) -> tuple[str, ...]:
        """The members that get such an event from this one, or from outside; O(1) but for the first time."""
        found = self._table.get((source, kind))
        if found is None:
            found = self._table[source, kind] = self._find(source, kind)
        return found

    def single(self, source: str, kind: type[Event]) -> str | None:
        """The one other member that gets such an event of this one, if that is all there is to say; else None."""
        key = source, kind
        if key not in self._single:
            to = self.receivers(source, kind)
            plain = len(to) == 1 and to[0] != source and kind not in self.keys and self.declares(source, kind)
            self._single[key] = to[0] if plain else None
        return self._single[key]

    def crossing(self, name: str) -> frozenset[type[Event]]:
        """The types that this member accepts and that go elsewhere all the same, or elsewhere too."""
        found = self._crossing.get(name)
        if found is None:
            linked = {link.kind for link in self.links if link.to is not None and link.source in {None, name}}
            found = self._crossing[name] = frozenset(linked | self.broadcast)
        return found

    def declares(self, name: str, kind: type[Event]) -> bool:
        """Whether a step of this member names the type, or a base of it, among what it sends."""
        return kind in self._sent[name] or any(issubclass(kind, each) for each in self._sent[name])

    def comes_from_outside(self, kind: type[Event]) -> bool:
        """Whether it is for somebody outside to send it."""
        return is_external(kind) or kind in self.external

    def is_sent(self, kind: type[Event]) -> bool:
        """Whether some member declares that it sends such events."""
        return any(issubclass(kind, each) for each in self._declared)

    def routes(self) -> Iterator[Route]:
        """Every type that goes from one member to another, in the order of definition."""
        for source, sent in self._sent.items():
            for kind, labels in sent.items():
                for to in self.receivers(source, kind):
                    if to != source:
                        yield Route(
                            source=source, steps=tuple(labels), kind=kind, to=to, how=self._how(source, kind)
                        )
        yield from self._replies()

    def _replies(self) -> Iterator[Route]:
        """What no member takes, to each that sends something which leads to it."""
        for source, sent in self._sent.items():
            for kind in [kind for kind in sent if not self.receivers(source, kind)]:
                for asker, asked in self._sent.items():
                    steps = [
                        label
                        for question, labels in asked.items()
                        if asker != source
                        and source in self.receivers(asker, question)
                        and self._may_answer(source, kind, {question})
                        for label in labels
                    ]
                    if steps:
                        yield Route(
                            source=source,
                            steps=tuple(sent[kind]),
                            kind=kind,
                            to=asker,
                            how="reply",
                            answers=tuple(dict.fromkeys(steps)),
                        )

    # -- how it is found -------------------------------------------------------------------------------------

    def _find(self, source: str | None, kind: type[Event]) -> tuple[str, ...]:
        linked = self._linked(source, kind)
        if linked is not None:
            return linked
        if kind in self.broadcast:
            return self._accepting(kind)
        if source is not None and self.members[source].accepts(kind):
            return (source,)
        return tuple(name for name in self._accepting(kind) if name != source)

    def _linked(self, source: str | None, kind: type[Event]) -> tuple[str, ...] | None:
        """What `connect` says; what it says of one source beats what it says of all."""
        meant = [
            link
            for link in self.links
            if link.kind is kind and link.to is not None and link.source in {None, source}
        ]
        exact = [link for link in meant if link.source is not None]
        return (exact or meant)[-1].to if meant else None

    def _accepting(self, kind: type[Event]) -> tuple[str, ...]:
        """The members that name the type; only if there is none, those that take subclasses."""
        exact = tuple(name for name, member in self.members.items() if member.accepts_exactly(kind))
        return exact or tuple(name for name, member in self.members.items() if member.accepts(kind))

    def _how(self, source: str, kind: type[Event]) -> str:
        if self._linked(source, kind) is not None:
            return "connect"
        return "broadcast" if kind in self.broadcast else "type"

    # -- the check -------------------------------------------------------------------------------------------

    def _check(self) -> Iterator[str]:
        yield from self._check_links()
        reached = {name: self._from_outside(name) for name in self.members}
        homeless: list[tuple[str, type[Event]]] = []
        for source, kind in [(source, kind) for source, sent in self._sent.items() for kind in sent]:
            to = self.receivers(source, kind)
            if len(to) > 1 and self._how(source, kind) == "type":
                yield self._several(source, kind, to)
            if not to:
                homeless.append((source, kind))
            for name in reached.keys() & set(to) - {source}:
                reached[name].add(kind)
        yield from (self._unreached(name) for name, kinds in reached.items() if not kinds)
        for source, kind in homeless:
            if not self._may_answer(source, kind, reached[source]):
                yield self._no_receiver(source, kind)

    def _check_links(self) -> Iterator[str]:
        for link in self.links:
            told = f"connect({link.kind.__name__}, …)"
            for name in (*(link.to or ()), *(() if link.source is None else (link.source,))):
                if name not in self.members:
                    names = list(self.members)
                    yield f"{told} names a member {name!r}, and there are: {', '.join(names)}{near(name, names)}"
            for name in link.to or ():
                member = self.members.get(name)
                if member is not None and not member.accepts(link.kind):
                    accepts = [each for step in member.plan.steps for each in step.accepts]
                    yield (
                        f"{told} sends it to {member.told}, none of whose steps takes it; add a step with ev: "
                        f"{name_of(link.kind, accepts)}"
                    )

    def _from_outside(self, name: str) -> set[type[Event]]:
        return {
            kind
            for step in self.members[name].plan.steps
            for kind in step.accepts
            if issubclass(kind, StartEvent) or self.comes_from_outside(kind)
        }

    def _may_answer(self, source: str, kind: type[Event], begin: set[type[Event]]) -> bool:
        """Whether the steps of the member lead to this type from one of those that reach it."""
        plan = self.members[source].plan
        seen = set[type[Event]]()
        todo = [each for each in begin if not issubclass(each, StartEvent)]  # nobody asks by starting
        while todo:
            each = todo.pop()
            if each in seen:
                continue
            seen.add(each)
            for step in plan.steps:
                if step.takes(each):
                    todo += step.returns
        return kind in seen or any(
            kind in step.returns for nested in self.members[source].nested for step in nested.steps
        )

    def _several(self, source: str, kind: type[Event], to: Sequence[str]) -> str:
        name = kind.__name__
        return (
            f"{name}, which {self._sent[source][kind][0]} of {self.members[source].told} sends, is taken by several "
            f"members: {'; '.join(self._takers(each, kind) for each in to)}; say which one: app.connect({name}, "
            f"to={to[0]!r}), or that each gets it: Application(…, broadcast=[{name}])"
        )

    def _takers(self, name: str, kind: type[Event]) -> str:
        member = self.members[name]
        return f"{name}, by {', '.join(step.label for step in member.plan.routes.find(kind))}"

    def _no_receiver(self, source: str, kind: type[Event]) -> str:
        accepts = self.taken()
        told = name_of(kind, accepts)
        rest = f"; {self._taken_instead(kind)}" if told != kind.__name__ else ""
        return (
            f"{told}, which {self._sent[source][kind][0]} of {self.members[source].told} sends, is taken by "
            f"no member, and it is no answer to anything that reaches {source}; add a step with ev: {kind.__name__} to "
            f"one of them, or leave it out of the annotation"
            f"{rest or near(kind.__name__, [each.__name__ for each in accepts])}"
        )

    def taken(self) -> list[type[Event]]:
        """What the steps of all members take, for messages."""
        steps = (step for member in self.members.values() for step in member.plan.steps)
        return [each for step in steps for each in step.accepts]

    def _taken_instead(self, kind: type[Event]) -> str:
        """Who takes another class of the same name."""
        return next(
            f"{member.told} takes {' and not '.join(names((each, kind)))}, another class"
            for member in self.members.values()
            for step in member.plan.steps
            for each in step.accepts
            if each is not kind and each.__name__ == kind.__name__
        )

    def _unreached(self, name: str) -> str:
        member = self.members[name]
        accepts = dict.fromkeys(each for step in member.plan.steps for each in step.accepts)
        sent = (kind for of_member in self._sent.values() for kind in of_member)
        takes = " | ".join(names(accepts, sent))
        where = ", ".join(step.label for step in member.plan.steps)
        return (
            f"nothing reaches {member.told}: it takes {takes or 'nothing'} ({where or 'it has no steps'}), and no "
            "other member names that in a return annotation; name it there, or, if it comes from outside, write "
            "Application(…, external=[…]) or class Go(Event, external=True)"
        )
