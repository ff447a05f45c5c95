"""Applications: workflows that send events to each other and know event classes only, never each other.

An application gives its members names, finds from their annotations who gets what, and checks that before the first
event. Each call of a member opens a conversation of its own, so calls share nothing but the workflow objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, final

import anyio
import anyio.lowlevel

from ._asking import told_late
from ._board import Board, DeadLetters, Seat
from ._core.wiring import KeyOf, Link, Member, Route, Wiring
from ._driver import Driver, surrounding
from ._loop import outlast
from ._members import first_of, plans_below, seat_of, steps_as_data
from ._options import seconds
from ._talk import Talk
from ._ways import make_run
from .errors import DefinitionError, WorkflowError, near, shown
from .events import Event, StopEvent
from .handler import Handler
from .nesting import is_workflow_class
from .workflow import Workflow

if TYPE_CHECKING:
    from ._saved_talk import SavedTalk

__all__ = ["Application"]

E = TypeVar("E", bound=Event)

_OPTIONS = ("on_stop", "broadcast", "external", "dead_letters")


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
        **members: Workflow[Any],
    ) -> None:
        for name, value in zip(_OPTIONS, (on_stop, broadcast, external, dead_letters), strict=True):
            if isinstance(value, Workflow):
                raise DefinitionError(
                    f"Application({name}={type(value).__name__}(…)): {name} is an option of the application; give the "
                    "member another name"
                )
        self._drains = _one_of("on_stop", on_stop, "drain", "cancel") == "drain"
        self._strict = _one_of("dead_letters", dead_letters, "keep", "error") == "error"
        self._broadcast = _kinds("broadcast", broadcast)
        self._external = _kinds("external", external)
        _check_members(members)
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
        return self._external

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
            broadcast=self._broadcast,
            external=self._external,
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
            seats=seats, wiring=wiring, drains=self._drains, strict=self._strict, letters=self._letters
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
            await _end_calls(board, error)  # noqa: ASYNC102 - it shields what must end
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
        board = self._opened("request")
        if not isinstance(ev, Event):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"request takes an event to ask with, as in request(Ask(…), reply=Answer), not {shown(ev)}"
            )
        limit = seconds(timeout, "timeout", none="no limit")
        to = board.wiring.receivers(None, type(ev))
        if len(to) != 1:
            raise DefinitionError(
                f"request({type(ev).__name__}(…)) is taken by {', '.join(to) or 'no member'}; a request goes to one: "
                f"write app.connect({type(ev).__name__}, to=…)"
            )
        root = make_run(board, to[0], surrounding(), limit)
        talk = Talk(board, root, to[0])
        talk.asks(reply)
        root.begin(ev, copy_context())
        failure = await root.settle()
        answered = talk.answer is not None and root.was_cancelled
        if failure is not None and not answered:
            raise told_late(failure, talk, limit, f"app.request(…, reply={reply.__name__}) asked")
        return cast("E", talk.answer)

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


async def _end_calls(board: Board, error: BaseException | None) -> None:
    """Waits for what is open; cuts it if the block was left by an error, or is cancelled meanwhile."""
    if error is not None:
        _leave(board, f"because its application was left by {type(error).__name__}")
        await outlast(partial(_empty, board))
        return
    try:
        await _empty(board)
    except BaseException:
        _leave(board, "because its application was cancelled")
        await outlast(partial(_empty, board))  # noqa: ASYNC102 - it shields itself
        raise


def _leave(board: Board, why: str) -> None:
    for talk in tuple(board.live):
        talk.leave(why)


async def _empty(board: Board) -> None:
    """Waits until no conversation is open."""
    while board.live:
        empty = anyio.Event()
        board.on_empty = empty.set
        await empty.wait()
    await anyio.lowlevel.checkpoint()


def _check_members(members: Mapping[str, object]) -> None:
    known: dict[int, str] = {}
    for name, member in members.items():
        if isinstance(member, Application):
            raise DefinitionError(
                f"the member {name} is an Application, and members are workflows; give this one the members of that: "
                "Application(**inner.members, …)"
            )
        if not isinstance(member, Workflow):
            instead = f"{member.__name__}()" if is_workflow_class(member) else "MyWorkflow()"
            raise DefinitionError(
                f"the member {name} is {shown(member)}, and members are workflows; write Application({name}={instead})"
                f"{near(name, _OPTIONS)}"
            )
        number, kind = id(cast("object", member)), type(cast("object", member)).__name__
        if number in known:
            raise DefinitionError(f"{known[number]} and {name} are the same {kind} object; make one for each")
        known[number] = name


def _one_of(name: str, value: object, *known: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise DefinitionError(f"{name} is {' or '.join(map(repr, known))}, not {shown(value)}")
    return value


def _kinds(name: str, value: object) -> frozenset[type[Event]]:
    """The event classes of an option."""
    several = isinstance(value, Iterable)
    kinds: list[Any] = list(cast("Iterable[Any]", value)) if several else [value]
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise DefinitionError(f"{name} lists event classes, as in {name}=[Price], not {shown(kind)}")  # pyright: ignore[reportUnknownArgumentType]
    return frozenset(kinds)
