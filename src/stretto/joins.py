"""How a step with a list parameter joins: all events of a fork, or the first ones.

A policy is a value that stands in the annotation: ``offers: Annotated[list[Offer], First()]``. A bare
``list[Offer]`` is the same as with ``All()``. That a join is a value which says when it is complete and what becomes of
the rest is the idea of ``StructuredTaskScope.Joiner`` in Java's JEP 505.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import attrs

from .errors import DefinitionError, near, shown

__all__ = ["All", "First", "Order"]

Order: TypeAlias = Literal["arrival", "source"]

_ORDERS = ("arrival", "source")


def _check_order(policy: object, _: object, value: object) -> None:
    if value not in _ORDERS:
        hint = near(value, _ORDERS) if isinstance(value, str) else ""
        raise DefinitionError(
            f"{type(policy).__name__}(order={shown(value)}): the order is 'arrival' or 'source'{hint}"
        )


def _check_count(policy: object, _: object, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DefinitionError(
            f"{type(policy).__name__}({shown(value)}): it takes the first one or more; write First() or First(2)"
        )


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
        order: As with `All`, of those that are given.
    """

    n: int = attrs.field(default=1, validator=_check_count)
    order: Order = attrs.field(default="arrival", kw_only=True, validator=_check_order)
