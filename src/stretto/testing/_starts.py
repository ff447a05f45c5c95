"""What a run that is explored begins with: one event, one of several, or one of those that a strategy draws."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast, final

from ..errors import DefinitionError, shown
from ..events import Event
from ._schedule import Move

if TYPE_CHECKING:
    from hypothesis import strategies as st

__all__ = ["Start", "Starts"]

Start: TypeAlias = "Event | Sequence[Event] | st.SearchStrategy[Event]"

_DRAWN = 20


@final
class Starts:
    """The start events to choose from: of this class, which the first event of a member need not be."""

    def __init__(self, given: object, kind: type[Event]) -> None:
        self._given = given
        self._kind = kind
        self._drawn = _is_strategy(given)
        several = given if _is_listed(given) and given else [given]
        if self._drawn or given is None or all(map(self._fits, several)):
            return
        raise DefinitionError(
            f"start is {_a(kind)}, a list of some, or a strategy of hypothesis for some, not {shown(given)}"
        )

    def _fits(self, event: object) -> bool:
        return isinstance(event, self._kind)

    @cached_property
    def events(self) -> tuple[Any, ...]:
        """All of them; a strategy draws when they are first asked for, and the same ones each time."""
        if self._drawn:
            return _drawn(cast("st.SearchStrategy[Event]", self._given), self._kind)
        return tuple(self._given) if _is_listed(self._given) else (self._given,)

    def moves(self) -> list[Move]:
        """To begin with one of them; a token knows what was drawn by what it is, and what was written by its place."""
        return [
            Move(f"start{at}{each if self._drawn else ''}", f"the run begins with {each!r}")
            for at, each in enumerate(self.events)
        ]


def _a(kind: type) -> str:
    return f"{'an' if kind is Event else 'a'} {kind.__name__}"


def _is_listed(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _is_strategy(value: object) -> bool:
    """Who has a strategy has imported hypothesis; nobody else needs it."""
    module = sys.modules.get("hypothesis.strategies")
    return module is not None and isinstance(value, module.SearchStrategy)


def _drawn(strategy: st.SearchStrategy[Event], kind: type[Event]) -> tuple[Event, ...]:
    """Up to so many distinct ones, the simplest first, and the same for the same strategy."""
    hypothesis: Any = sys.modules["hypothesis"]
    found: dict[str, Event] = {}

    def draw(event: object) -> None:
        if not isinstance(event, kind):
            raise DefinitionError(f"start={strategy!r} draws {shown(event)}, which is not {_a(kind)}")
        found.setdefault(repr(event), event)

    quiet: Callable[..., Any] = hypothesis.settings(
        max_examples=_DRAWN,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    quiet(hypothesis.given(strategy)(draw))()
    return tuple(found.values())
