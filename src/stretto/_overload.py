"""What ``@step`` says of how much a step takes, and how often: checked, and made into what the machine goes by."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, final

import attrs

from ._answers import answering
from ._core.policies import Overflow, Policies, Quiet, Singleton
from ._fields import Fields
from ._options import count, duration
from .errors import DefinitionError, near, shown
from .events import Event
from .limits import By, Debounce, Limit, Rate, checked_key, refuse_async

if TYPE_CHECKING:
    from ._core.machine import Machine
    from ._core.permits import Lane

__all__ = ["Overload", "declared", "hold_back"]

Source: TypeAlias = Limit | Rate


@final
class Overload(Fields):
    """The policies of a step.

    Attributes:
        policies: What the machine goes by.
        sources: The limit and the rate, in the order of the permits.
        fields: The fields of events that it looks at, each with the option that names it.
        asks: The first option that looks at events; None if none does.
    """

    policies: Policies
    sources: tuple[Source, ...]
    fields: tuple[tuple[str, str], ...]
    asks: str | None

    @property
    def cancels(self) -> bool:
        """Whether a body that is at work may be cancelled."""
        return self.policies.singleton is Singleton.CANCEL

    @property
    def refuses(self) -> bool:
        """Whether who sends is refused where there is no room."""
        return self.policies.size is not None and self.policies.overflow is Overflow.FAIL

    def odd_for(self, accepts: Sequence[type[Event]], *, joins: bool) -> str | None:
        """What is wrong with it for a step that takes these events; None if nothing is."""
        if joins and self.asks is not None:
            return f"joins several events, and {self.asks} is about one; say it of the steps that send them"
        for field, option in self.fields:
            for kind in accepts:
                if not attrs.has(kind) or hasattr(kind, field):
                    continue
                names = [each.name for each in attrs.fields(kind)]
                if field not in names:
                    return f"takes {kind.__name__}, which has no field {field!r} for {option}{near(field, names)}"
        return None


class Declares(Protocol):
    """A step, as far as this needs it."""

    @property
    def overload(self) -> Overload | None:
        """Its policies."""
        ...


class Named(Declares, Protocol):
    """Likewise, with the name that messages have for it."""

    @property
    def label(self) -> str:
        """How messages name it."""
        ...


def hold_back(
    machine: Machine, specs: Sequence[Declares], wake: Callable[[Lane], object] | None = None
) -> None:
    """The steps of a run go by their policies from now on.

    Args:
        machine: The run.
        specs: Its steps.
        wake: What the driver does for a lane that another run of the loop has changed something for. None: nobody
            drives it, and it shares its rates and limits with no other run.
    """
    told = {
        step.index: spec.overload
        for step, spec in zip(machine.plan.steps, specs, strict=True)
        if spec.overload is not None
    }
    if machine.room is None and any(each.refuses for each in told.values()):
        machine.bound(math.inf)
    sources = {
        index: [source.new_permits() if wake is None else source.permits() for source in each.sources]
        for index, each in told.items()
    }
    machine.hold_back(sources, wake or _nobody)


def refuse_priorities(run: str, specs: Sequence[Named]) -> None:
    """Refuses to drop what has waited longest in all of a run, where a step has priorities.

    Raises:
        DefinitionError: If one has.
    """
    for spec in specs:
        if spec.overload is not None and spec.overload.policies.priority is not None:
            raise DefinitionError(
                f"{run}(overflow='drop_oldest') would drop what has waited longest in all of a run, and with the "
                f"priority= of {spec.label} that may be the most urgent; write {run}(overflow='drop_newest') or "
                "'fail', or give the other steps a queue_size of their own"
            )


def _nobody(lane: Lane) -> None:
    """It is in no line but its own."""


def declared(
    *,
    limiter: Limit | None,
    rate: object,
    priority: object,
    queue_size: object,
    overflow: object,
    singleton: object,
    debounce: object,
    key: object,
) -> Overload:
    """The policies that these options mean.

    Raises:
        DefinitionError: If one makes no sense, or not with another.
    """
    by = checked_key(key, "@step")
    sources: list[Source] = [] if limiter is None or limiter.key is None else [limiter]
    if rate is not None:
        sources.append(_rate(rate))
    rank = None if priority is None else _priority(priority)
    size = None if queue_size is None else count(queue_size, "queue_size")
    policies = Policies(
        permits=tuple(None if source.key is None else _reader(source.key) for source in sources),
        names=tuple(f"a {'turn' if isinstance(each, Limit) else 'token'} of {each!r}" for each in sources),
        key=None if by is None else _reader(by),
        priority=None if rank is None else _reader(rank),
        size=size,
        overflow=Overflow.FAIL if overflow is None else _one_of(Overflow, overflow, "overflow"),
        singleton=None if singleton is None else _one_of(Singleton, singleton, "singleton"),
        quiet=None if debounce is None else _quiet(debounce),
    )
    _check_together(policies, overflow, by)
    named = [(source.key, f"the key of {source!r}") for source in sources] + [
        (by, "key="),
        (rank, "priority="),
    ]
    one_by_one = {
        "debounce=": debounce, "singleton=": singleton, "queue_size=": queue_size, "overflow=": overflow
    }  # fmt: skip
    asks = [told for each, told in named if each is not None]
    asks += [told for told, each in one_by_one.items() if each is not None]
    return Overload(
        policies=policies,
        sources=tuple(sources),
        fields=tuple((each, told) for each, told in named if isinstance(each, str)),
        asks=asks[0] if asks else None,
    )


def _check_together(policies: Policies, overflow: object, by: By | None) -> None:
    """Refuses what makes no sense together."""
    latest = policies.overflow is Overflow.LATEST
    if by is not None and not (latest or policies.singleton or policies.quiet):
        raise DefinitionError(
            "key= tells events apart for singleton=, debounce= and overflow='latest', and the step has none of them; "
            "a rate or a limit has a key of its own: Rate(5, per=1.0, key='host')"
        )
    if overflow is not None and policies.size is None and not latest:
        raise DefinitionError(
            f"overflow={overflow!r} says what becomes of an event for which there is no room, and there always is; add "
            "queue_size=100"
        )
    if policies.priority is not None and policies.overflow in {Overflow.DROP_OLDEST, Overflow.LATEST}:
        raise DefinitionError(
            f"overflow={overflow!r} would drop what has waited longest, and with priority= that may be the most "
            "urgent; write overflow='drop_newest' or 'fail'"
        )
    if policies.singleton is not None and latest:
        raise DefinitionError(
            "with singleton= no two of a key ever wait, so that overflow='latest' has nothing to drop; leave it out"
        )


def _rate(value: object) -> Rate:
    if not isinstance(value, Rate):
        raise DefinitionError(f"rate is a Rate, as in @step(rate=Rate(5, per=1.0)), not {shown(value)}")
    return value


def _priority(value: object) -> By:
    refuse_async(value, "priority")
    if callable(value) or (isinstance(value, str) and value.isidentifier()):
        return value
    hint = (
        "; a number would be the same for all events of the step" if isinstance(value, (int, float)) else ""
    )
    raise DefinitionError(
        "priority is the name of a field, as in priority='urgency', or a function of the event, not "
        f"{shown(value)}{hint}"
    )


def _quiet(value: object) -> Quiet:
    if isinstance(value, Debounce):
        return Quiet(seconds=value.seconds, at_most=value.at_most)
    return Quiet(seconds=duration(value, "debounce"))


def _one_of(kind: Any, value: object, name: str) -> Any:  # noqa: ANN401 - one of its members
    words = [each.value for each in kind]
    if value not in words:
        hint = near(value, words) if isinstance(value, str) else ""
        told = ", ".join(map(repr, words[:-1]))
        raise DefinitionError(f"{name} is {told} or {words[-1]!r}, not {shown(value)}{hint}")
    return kind(value)


def _reader(by: By) -> Callable[[Event], Any]:
    return answering(attrgetter(by) if isinstance(by, str) else cast("Callable[[Event], Hashable]", by))
