"""A request from outside: one that no step makes."""

from __future__ import annotations

from contextvars import copy_context
from typing import TypeVar, cast

from ._asking import told_late
from ._board import Board
from ._driver import surrounding
from ._options import seconds
from ._party import make_run
from ._talk import Talk
from .errors import DefinitionError, name_of, shown
from .events import Event

__all__ = ["ask_from_outside"]

E = TypeVar("E", bound=Event)


async def ask_from_outside(
    board: Board,
    event: object,
    reply: type[E],
    timeout: float | None,  # noqa: ASYNC109 - known under this name
) -> E:
    """Asks the member that takes the event; what the request has caused is finished when this returns."""
    if not isinstance(event, Event):
        raise TypeError(
            f"request takes an event to ask with, as in request(Ask(…), reply=Answer), not {shown(event)}"
        )
    limit = seconds(timeout, "timeout", none="no limit")
    to = board.wiring.receivers(None, type(event))
    if len(to) != 1:
        name = name_of(type(event), board.wiring.taken())
        raise DefinitionError(
            f"request({name}(…)) is taken by {', '.join(to) or 'no member'}; a request goes to one: "
            f"write app.connect({name}, to=…)"
        )
    root = make_run(board, to[0], surrounding(), limit)
    talk = Talk(board, root, to[0])
    talk.asks(reply)
    root.begin(event, copy_context())
    failure = await root.settle()
    answered = talk.answer is not None and root.was_cancelled
    if failure is not None and not answered:
        raise told_late(failure, talk, limit, f"app.request(…, reply={reply.__name__}) asked")
    return cast("E", talk.answer)
