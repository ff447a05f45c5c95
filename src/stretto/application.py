"""Applications: workflows that send events to each other and know event classes only, never each other.

An application gives its members names, finds from their annotations who gets what, and checks that before the first
event. Each call of a member opens a conversation of its own, so calls share nothing but the workflow objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, final

import anyio.lowlevel

from ._app_options import AppOptions, check_members
from ._board import Board, DeadLetters, Seat
from ._core.wiring import KeyOf, Link, Member, Route, Wiring
from ._driver import Driver
from ._members import first_of, plans_below, seat_of, steps_as_data
from ._outside_request import ask_from_outside
from ._talk import Talk
from .errors import DefinitionError, WorkflowError, near, shown
from .events import Event, StopEvent
from .handler import Handler
from .workflow import Workflow

if TYPE_CHECKING:
    from ._saved_talk import SavedTalk
    from .supervision import Restart

__all__ = ["Application"]

E = TypeVar("E", bound=Event)


@final
class Application:
    """Workflows that send events to each other, by name.

    >>> import anyio
    >>> from stretto import Application, Event, StartEvent, StopEvent, Workflow, step
    >>> class Order(Event):
    ...     sku: str
    >>> class Placed(Event):
    ...     sku: str
    >>> class Watch(Workflow[str]):
    ...     @step
    ...     async def look(self, ev: StartEvent) -> Order:
    ...         return Order(sku=ev.sku)
    ...     @step
    ...     async def done(self, ev: Placed) -> StopEvent[str]:
    ...         return StopEvent(result=f"placed {ev.sku}")
    >>> class Orders(Workflow):
    ...     @step
    ...     async def place(self, ev: Order) -> Placed:
    ...         return Placed(sku=ev.sku)
    >>> async def main() -> str:
    ...     async with Application(watch=Watch(), orders=Orders()) as app:
    ...         return await app.run("watch", sku="tea")
    >>> anyio.run(main)
    'placed tea'

    Args:
        on_stop: What becomes of the work of others when a run returns its StopEvent: ``"drain"`` finishes it,
            ``"cancel"`` cuts it.
        broadcast: Event classes that every member gets whose steps take them.
        external: Event classes that come from outside, as those do that are declared with ``external=True``.
        dead_letters: ``"keep"`` keeps an event that nobody takes in `Application.dead_letters`; ``"error"`` makes it
            the error of its conversation too.
        supervise: The members that are restarted when they fail, each with its `Restart`; a failure of any other one
            ends its conversation.
        **members: The workflows, by the names that they have here.

    Raises:
        DefinitionError: For a member that is no workflow, for one object under two names, and for an option that makes
            no sense. What is wrong with the wiring is told on entry.
    """

    def __init__(
        self,
        *,
        on_stop: Literal["drain", "cancel"] = "drain",
        broadcast: Iterable[type[Event]] = (),
        external: Iterable[type[Event]] = (),
        dead_letters: Literal["keep", "error"] = "keep",
        supervise: Mapping[str, Restart] | None = None,
        **members: Workflow[Any],
    ) -> None:
        options: dict[str, Any] = {
            "on_stop": on_stop,
            "broadcast": broadcast,
            "external": external,
            "dead_letters": dead_letters,
            "supervise": supervise,
        }
        check_members(members, options, Application)
        self._options = AppOptions.of(members, **options)
        self._members = members
        self._links: list[Link] = []
        self._letters = DeadLetters()
        self._board: Board | None = None
        self._entered = False

    # -- its wiring ------------------------------------------------------------------------------------------

    def connect(
        self,
        kind: type[E],
        *,
        to: str | Iterable[str] | None = None,
        source: str | None = None,
        key: Callable[[E], Any] | None = None,
    ) -> Self:
        """Says who gets an event class where the types alone do not, before the application is entered.

        Args:
            kind: The class.
            to: The member that gets it, or several.
            source: The member whose events are meant; None means those of all.
            key: Gives the key of an event: events of one key go to one run of the member, in order.

        Returns:
            The application.

        Raises:
            DefinitionError: If `kind` is no event class, or nothing is said about it.
            WorkflowError: If the application is entered already.
        """
        if not (isinstance(kind, type) and issubclass(kind, Event)) or issubclass(kind, StopEvent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"connect takes a class of events that is no StopEvent, not {shown(kind)}")  # pyright: ignore[reportUnknownArgumentType]
        if to is None and key is None:
            raise DefinitionError(
                f"connect({kind.__name__}) says nothing; write to='member' for who gets it, or key=lambda ev: ev.id"
            )
        if self._entered:
            raise WorkflowError(
                f"connect({kind.__name__}, …) comes too late: the application is entered already"
            )
        names = None if to is None else (to,) if isinstance(to, str) else tuple(to)
        self._links.append(Link(kind=kind, to=names, source=source, key=cast("KeyOf | None", key)))
        return self

    @property
    def external(self) -> frozenset[type[Event]]:
        """The event classes that come from outside as it was told; those that say so themselves are not among them."""
        return self._options.external

    def routes(self) -> Iterator[Route]:
        """Every event class that goes from one member to another: source, steps, kind, receiver, and why.

        What no member takes and may be the reply to a request comes last: its receiver is the member that may have
        asked.

        Raises:
            DefinitionError: If the wiring is wrong.
        """
        return self._wire().routes()

    def graph(self) -> dict[str, Any]:
        """The members, their steps, and what goes between them, as data that JSON can hold.

        Raises:
            DefinitionError: If the wiring is wrong.
        """
        return {
            "members": {
                name: {"workflow": type(workflow).__name__, "steps": list(steps_as_data(workflow))}
                for name, workflow in self._members.items()
            },
            "routes": [
                {
                    "source": route.source,
                    "steps": list(route.steps),
                    "event": route.kind.__name__,
                    "to": route.to,
                    "how": route.how,
                }
                for route in self.routes()
            ],
        }

    @property
    def members(self) -> Mapping[str, Workflow[Any]]:
        """The workflows by name."""
        return dict(self._members)

    def _wire(self) -> Wiring:
        return Wiring(
            [
                Member(name=name, plan=workflow.blueprint().plan, nested=tuple(plans_below(workflow)))
                for name, workflow in self._members.items()
            ],
            broadcast=self._options.broadcast,
            external=self._options.external,
            links=self._links,
        )

    # -- its life --------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._entered:
            raise WorkflowError("an Application is entered once; make another")
        seats = {name: seat_of(name, workflow) for name, workflow in self._members.items()}
        wiring = self._wire()
        self._entered = True
        self._board = Board(
            seats=seats,
            wiring=wiring,
            drains=self._options.drains,
            strict=self._options.strict,
            letters=self._letters,
            supervise=self._options.supervise,
        )
        await anyio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        board, self._board = self._board, None
        if board is None:
            return
        try:
            await board.end(error)  # noqa: ASYNC102 - it shields what must end
        except BaseException as hit:
            error = hit
            raise
        finally:
            if board.stock is not None:
                await board.stock.leave(error)  # noqa: ASYNC102 - it shields itself

    # -- calls -----------------------------------------------------------------------------------------------

    def run(self, member: str, start: Event | None = None, /, **fields: Any) -> Handler[Any]:
        """A run of a member, and of whatever it causes among the others: to be awaited or entered, as any run.

        Args:
            member: The name of the member.
            start: The event to begin with: any that a step of the member takes. Without one, the fields make its start
                event.
            **fields: Fields of the start event.

        Raises:
            WorkflowError: Outside of the block of the application.
            DefinitionError: If there is no such member.
            TypeError: If no step of it takes the event.
        """
        board = self._opened("run")
        seat = self._seat_of(board, member)
        workflow = self._members[member]
        event = first_of(workflow, seat, start, fields)
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        handler: Handler[Any] = Handler(
            workflow, seat.options, seat.blueprint, event, frame.f_code, frame.f_lineno
        )
        handler.opens = partial(_open_call, board, member)
        return handler

    def resume(self, data: Mapping[str, Any], *, types: Iterable[type] = ()) -> Handler[Any]:
        """Goes on with the conversation of a snapshot: to be awaited or entered, as any run.

        ``run.ctx.to_dict()`` of what `run` gave has all of its conversation: each of its runs, as `Context.to_dict`
        tells of one, and on whose behalf each of their steps works. A step that waits for the reply to a request runs
        again from its first line, and asks again.

        Args:
            data: What ``to_dict`` gave, also by way of JSON.
            types: More classes that the snapshot may name.

        Raises:
            SnapshotError: If the data is malformed, of a newer version, or names a member, a step or a class that is
                not there; it has the path.
            WorkflowError: Outside of the block of the application.
        """
        board = self._opened("resume")
        from ._saved_talk import SavedTalk  # noqa: PLC0415 - loaded by who uses it

        saved = SavedTalk(board, data, types)
        seat = board.seats[saved.root.member]
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        handler: Handler[Any] = Handler(
            self._members[seat.name], seat.options, seat.blueprint, None, frame.f_code, frame.f_lineno
        )
        handler.goes_on_from(saved.root)
        handler.opens = partial(_open_again, board, saved)
        return handler

    async def request(
        self,
        ev: Event,
        reply: type[E],
        timeout: float | None = None,  # noqa: ASYNC109 - known under this name
    ) -> E:
        """Asks the member that takes an event, from outside, as `Context.request` does in a step.

        What the request has caused is finished when this returns.

        Args:
            ev: What to ask.
            reply: The class of the reply.
            timeout: Seconds to wait at most.

        Raises:
            WorkflowError: Outside of the block of the application.
            WorkflowTimeoutError: The reply did not come in time.
            WorkflowStalledError: The reply cannot come.
            DefinitionError: If not exactly one member takes the event.
        """
        return await ask_from_outside(self._opened("request"), ev, reply, timeout)

    # -- what can be seen ------------------------------------------------------------------------------------

    @property
    def dead_letters(self) -> DeadLetters:
        """The events that nobody took: ``len`` counts all, iterating gives the last thousand, each with its reason."""
        return self._letters

    def _opened(self, what: str) -> Board:
        if self._board is None:
            raise WorkflowError(
                f"app.{what} belongs into the block of the application: async with Application(…) as app"
            )
        return self._board

    @staticmethod
    def _seat_of(board: Board, member: object) -> Seat:
        seat = board.seats.get(member) if isinstance(member, str) else None
        if seat is None:
            names = list(board.seats)
            raise DefinitionError(
                f"the application has no member {shown(member)}, it has: {', '.join(names)}{near(str(member), names)}"
            )
        return seat

    def __repr__(self) -> str:
        return f"<Application of {', '.join(self._members)}>"


def _open_call(board: Board, member: str, driver: Driver) -> None:
    Talk(board, driver, member)


def _open_again(board: Board, saved: SavedTalk, driver: Driver) -> None:
    talk = Talk(board, driver, saved.root.member)
    talk.hold()
    saved.go_on(talk)
