"""How a step with a list parameter joins: when its list is complete, and what becomes of the rest.

A policy is a value that stands in the annotation: ``offers: Annotated[list[Offer], First()]``. A bare
``list[Offer]`` is the same as with ``All()``. That a join is a value which says when it is complete and what becomes of
the rest is the idea of ``StructuredTaskScope.Joiner`` in Java's JEP 505.

What they have in common: a fork that has no branch, or whose branches send nothing, closes like any other. An event
that is sent twice counts twice. What comes too late for a join is in ``run.dead_letters``, and told to the logger. Past
the deadline of the run no join is called: what has arrived is in ``run.leftovers``, and told in the error. An exception
that a predicate raises fails the run as that of a step does, and says whose it is. A predicate is a plain function that
is asked between two steps: it must not wait for anything, and one that gives a coroutine is refused. After a restart
from a snapshot it is asked again about what is there.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypeAlias, final

import attrs

from ._answers import called
from .errors import DefinitionError, near, shown

__all__ = ["All", "ByKey", "First", "Losers", "Order", "Quorum", "Settle", "Until", "Window"]

Order: TypeAlias = Literal["arrival", "source"]
Losers: TypeAlias = Literal["cancel", "drain", "keep"]

_ORDERS = ("arrival", "source")
_LOSERS = ("cancel", "drain", "keep")


def _check_order(policy: object, _: object, value: object) -> None:
    if value not in _ORDERS:
        hint = near(value, _ORDERS) if isinstance(value, str) else ""
        raise DefinitionError(
            f"{type(policy).__name__}(order={shown(value)}): the order is 'arrival' or 'source'{hint}"
        )


def _check_losers(policy: object, _: object, value: object) -> None:
    if value not in _LOSERS:
        hint = near(value, _LOSERS) if isinstance(value, str) else ""
        raise DefinitionError(
            f"{type(policy).__name__}(losers={shown(value)}): losers are for 'cancel', 'drain' or 'keep'{hint}"
        )


def _check_count(policy: object, _: object, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DefinitionError(
            f"{type(policy).__name__}({shown(value)}): it takes the first one or more; write First() or First(2)"
        )


def _check_predicate(policy: object, _: object, value: Any) -> None:  # noqa: ANN401 - whatever was written
    name = type(policy).__name__
    if not callable(value):
        asked = "what has come, a sequence" if name == "Quorum" else "one event"
        raise DefinitionError(
            f"{name}({shown(value)}): it takes a function that is asked about {asked}; write {name}(lambda …: …)"
        )
    if inspect.iscoroutinefunction(value):
        raise DefinitionError(
            f"{name}({called(value)}): the function is async, and nothing can wait for it; let a step before the join "
            "find out, and write a plain def that looks at its event"
        )


def _check_key(policy: object, at: object, value: Any) -> None:  # noqa: ANN401 - whatever was written
    if not isinstance(value, str):
        if not callable(value):
            raise DefinitionError(
                f"ByKey({shown(value)}): it takes the name of a field, or a function that gives the key of an event; "
                "write ByKey('sku') or ByKey(lambda ev: ev.sku)"
            )
        _check_predicate(policy, at, value)
    elif not value.isidentifier():
        raise DefinitionError(f"ByKey({shown(value)}): it takes the name of a field, as in ByKey('sku')")


def _called_or_shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else called(value)


@final
@attrs.frozen
class All:
    """The step is called once nothing that descends from the fork is left at work, with all that arrived.

    That is an empty list where no branch sent anything. There are no late arrivals. Past the deadline of the run the
    step is not called: what has arrived is in ``run.leftovers``, and told in the error.

    Args:
        order: ``"arrival"``, or ``"source"``: as the branches were sent, whichever ended first.
    """

    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)


@final
@attrs.frozen
class First:
    """The step is called with the first that arrive; the work that is left in the fork is cancelled before.

    Every step of the fork that is still at work is cancelled and has ended, with its ``finally`` blocks and with the
    nested runs that it has made, when the joining step begins. What they return or send all the same, and what had not
    begun, is in ``run.dead_letters`` and told to the logger. If fewer arrive, the step is called with these as soon as
    nothing is left at work. The deadline is as with `All`.

    Args:
        n: How many.
        losers: What becomes of the work that is left. ``"cancel"``: see above. ``"drain"``: it goes on to its end, and
            the step is called then, with the first all the same. ``"keep"``: it goes on, and the step is called at
            once, beside it. Where it goes on, other joins of the fork are called as ever, and what comes for this one
            is a dead letter.
        order: As with `All`, of those that are given.
    """

    n: int = attrs.field(default=1, validator=_check_count)
    losers: Losers = attrs.field(default="cancel", kw_only=True, validator=_check_losers)
    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)


@final
@attrs.frozen
class Quorum:
    """The step is called as soon as `when` says that what has come is enough, with that.

    ``Quorum(lambda votes: sum(vote.good for vote in votes) >= 2)``. If it never says so, the step is called with all
    that arrived as soon as nothing is left at work, as with `All`. Everything else is as with `First`.

    Args:
        when: Asked after each arrival, about all so far, in the order of arrival. It may keep nothing of the sequence,
            which is read-only and grows. An empty fork is not asked about.
        losers: As with `First`.
        order: As with `All`.
    """

    when: Callable[[Sequence[Any]], object] = attrs.field(validator=_check_predicate, repr=called)
    losers: Losers = attrs.field(default="cancel", kw_only=True, validator=_check_losers)
    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)


@final
@attrs.frozen
class Until:
    """The step is called with the first event that will do, and all that came before it.

    ``Until(lambda answer: answer.sure)``. In the order of arrival the one that did is the last of the list. If none
    does, the step is called with all that arrived as soon as nothing is left at work, as with `All`. Everything else is
    as with `First`.

    Args:
        when: Asked once about each event, in the order of arrival.
        losers: As with `First`.
        order: As with `All`.
    """

    when: Callable[[Any], object] = attrs.field(validator=_check_predicate, repr=called)
    losers: Losers = attrs.field(default="cancel", kw_only=True, validator=_check_losers)
    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)


@final
@attrs.frozen
class ByKey:
    """The step is called once for each key, when nothing of the fork is left at work, with the events of that key.

    The keys come in the order of their first arrivals. A fork in which nothing arrived has no key, and the step is not
    called. What the calls send stays in the fork: a list behind them is called once, with what came of all keys, and
    with nothing where there was none. If more arrives meanwhile, as in a loop, that is grouped when nothing is left at
    work again. There are no late arrivals and no losers; the deadline is as with `All`. Outside of all forks each event
    is a group.

    Args:
        key: The name of a field, or a function that gives the key of an event; a key can be hashed.
        order: As with `All`, within a group.
    """

    key: str | Callable[[Any], Hashable] = attrs.field(validator=_check_key, repr=_called_or_shown)
    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)


def _check_size(_: object, __: object, value: Any) -> None:  # noqa: ANN401 - whatever was written
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise DefinitionError(
            f"Window({shown(value)}): a window has one event or more; write Window(10), or Window(seconds=5)"
        )


def _check_seconds(_: object, __: object, value: Any) -> None:  # noqa: ANN401 - whatever was written
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise DefinitionError(
            f"Window(seconds={shown(value)}): a window lasts a time in seconds, more than none; write Window(seconds=5)"
        )


@final
@attrs.frozen
class Window:
    """The step is called with every `n` events, or with what came within a time; with the rest when the fork ends.

    Windows do not overlap. One begins with its first event and ends with the `n`-th or when its time is over, whichever
    comes first, so none is empty: a fork in which nothing arrived has no window, and the step is not called. What the
    calls send stays in the fork: a list behind them is called once, with what came of all windows. There are no late
    arrivals and no losers; the deadline is as with `All`. Outside of all forks, as for what ``run.send_event`` sends,
    the windows are those of the run: the rest is given when nothing else is left to do, and is a leftover if the run
    ends before.

    Args:
        n: How many events; None for no bound.
        seconds: How long, from its first event; None for no bound. One of the two is needed.
        order: As with `All`, within a window.
    """

    n: int | None = attrs.field(default=None, validator=_check_size)
    seconds: float | None = attrs.field(default=None, kw_only=True, validator=_check_seconds)
    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)

    def __attrs_post_init__(self) -> None:
        """Refuses one that would never end."""
        if self.n is None and self.seconds is None:
            raise DefinitionError(
                "Window(): it would never end; write Window(10), Window(seconds=5), or both"
            )


@final
@attrs.frozen
class Settle:
    """As `All`, with the failures too: a branch that fails does not fail the run.

    The list holds a `StepFailedEvent` in the place of a branch that failed, with the step, the event that it handled,
    and its exception, and is written so: ``Annotated[list[Offer | StepFailedEvent], Settle()]``. A step is tried again
    first, if it has a retry policy, and recovered, if it has a handler. What else it has sent stays sent.

    Settled is what a step raises in a branch of the fork that leads to the join, be it a fork in that branch, as if the
    branch stood in a ``try``: the nearest join that settles it has it. A step that leads to the join by itself, with no
    other join between, leaves what else it has sent. From anywhere else in it the failure ends the whole branch,
    as a race ends its losers: what is at work in it is cancelled, and joins inside are not called. What is no
    `Exception`, what a loser of a race raises while it is cancelled, and a return that the annotation does not name
    still fail the run. Late arrivals and the deadline are as with `All`. That each branch gives its value or its error
    is the idea of ``Promise.allSettled`` in JavaScript.

    Args:
        order: As with `All`; a failure has the place of its branch.
    """

    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)
