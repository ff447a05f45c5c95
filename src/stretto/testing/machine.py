"""A state machine for hypothesis whose rules do to one run what the world may do to it.

It needs hypothesis: ``pip install 'stretto[testing]'``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ClassVar, cast

import anyio
import anyio.from_thread
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ..context import Context
from ..errors import WorkflowCancelledError
from ..events import Event, StartEvent
from ..handler import Handler
from ..workflow import Workflow
from ._asyncio_time import VirtualLoop
from ._leaks import tasks_left
from ._virtual import current_world, virtual_backend
from .strategies import events

__all__ = ["WorkflowMachine"]


def _is_live(machine: RuleBasedStateMachine) -> bool:
    return isinstance(machine, WorkflowMachine) and not machine.run.done


def _may_crash(machine: RuleBasedStateMachine) -> bool:
    return isinstance(machine, WorkflowMachine) and machine.crashes and not machine.run.done


def _waits(machine: RuleBasedStateMachine) -> bool:
    return isinstance(machine, WorkflowMachine) and bool(machine.run.waiting_for)


class WorkflowMachine(RuleBasedStateMachine):
    """One run, to which hypothesis does what may be done to it, in any order; subclass it.

    A run is started, sent events, answered, left alone for some virtual time, and cancelled; with `crashes` its process
    dies, and another one goes on from its snapshot, in a workflow object of its own. After each rule nothing of
    it can go on by itself at that instant, and the invariants are checked. Add rules and invariants of your own, as of
    any `RuleBasedStateMachine`: `run` is the handler, and `call` runs something in its loop.

    What is drawn: the start event, events to send, the fields of answers, and one of `times`. It shrinks to few rules.

    Attributes:
        workflow: The class. Set it.
        starts: What the run begins with; nothing by itself.
        sends: What is sent to it from outside; nothing by itself.
        times: For how many seconds it may be left alone.
        backend: ``"asyncio"`` or ``"trio"``.
        crashes: Whether its process may die.
        run: The handler of the run; after a crash that of the one which went on.
    """

    workflow: ClassVar[type[Workflow[Any]]]
    starts: ClassVar[st.SearchStrategy[StartEvent | None]] = st.none()
    sends: ClassVar[st.SearchStrategy[Event]] = st.nothing()
    times: ClassVar[st.SearchStrategy[float]] = st.sampled_from([0.5, 1.0, 10.0, 60.0, 3600.0])
    backend: ClassVar[str] = "asyncio"
    crashes: ClassVar[bool] = False
    run: Handler[Any]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        portal = anyio.from_thread.start_blocking_portal(*_held(self.backend))
        self._portal = self._stack.enter_context(portal)
        self._before = self._portal.call(_tasks)

    def call(self, function: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - what it gives
        """Calls a function, async or not, in the loop of the run, and waits until nothing there goes on by itself."""
        return self._portal.call(_settled, function, args)

    # -- rules -----------------------------------------------------------------------------------------------

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """The run begins."""
        event = data.draw(self.starts, "start")
        make = type(self).workflow

        def begin() -> Handler[Any]:
            workflow = make()
            return (workflow.run() if event is None else workflow.run(event)).start()

        self.run = self.call(begin)

    @precondition(lambda self: _is_live(self) and not cast("WorkflowMachine", self).sends.is_empty)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """An event comes from outside."""
        self._send(data.draw(self.sends, "sent"))

    @precondition(_waits)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """Something that the run waits for comes from outside."""
        wait = data.draw(st.sampled_from(self.run.waiting_for), "for")
        fixed = {name: st.just(value) for name, value in (wait.requirements or {}).items()}
        self._send(data.draw(events(wait.kind, **fixed), "answer"))

    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        """Time passes."""
        self.call(_pass_time, data.draw(self.times, "seconds"))

    @precondition(_is_live)
    @rule()
    def cancel(self) -> None:
        """The run is cancelled."""
        self.call(self.run.cancel)

    @precondition(_may_crash)
    @rule()
    def crash(self) -> None:
        """The process of the run dies, and another one goes on from its snapshot."""
        dead = self.run
        data = self.call(_snapshot, dead)
        self.call(dead.cancel)
        self.call(_forget, dead)
        make = type(self).workflow

        def go_on() -> Handler[Any]:
            workflow = make()
            return workflow.run(ctx=Context.from_dict(workflow, data)).start()

        self.run = self.call(go_on)

    def _send(self, event: Event) -> None:
        self.call(self.run.send_event, event)

    # -- invariants ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_outlives_the_run(self) -> None:
        """When the run is over, no task of it is left."""
        if hasattr(self, "run") and self.run.done:
            left = self._portal.call(_left, self._before)
            assert not left, f"the run is over, and these tasks are left: {', '.join(left)}"

    def outcome(self) -> tuple[Any, BaseException | None]:
        """The result of a run that is over, and the error that it had, for invariants."""

        async def ended() -> tuple[Any, BaseException | None]:
            try:
                return await self.run, None
            except Exception as error:  # noqa: BLE001 - it is asked for
                return None, error

        came: tuple[Any, BaseException | None] = self.call(ended)
        return came

    def teardown(self) -> None:
        """Ends the run and its loop."""
        if hasattr(self, "run") and not self.run.done:
            self.call(self.run.cancel)
        if hasattr(self, "run"):
            self.call(_forget, self.run)
        self._portal.call(_let_go)
        self._stack.close()


def _held(backend: str) -> tuple[str, dict[str, Any]]:
    """A backend whose time stands still: somebody outside, as good as a thread at work, may come at any time."""
    name, options = virtual_backend(backend)
    if name == "asyncio":
        return name, {"loop_factory": _held_loop}
    watch = options["instruments"][0]
    watch.frozen = True
    watch.count(1)
    return name, options


def _held_loop() -> VirtualLoop:
    loop = VirtualLoop()
    loop.frozen = True
    loop.count(1)
    return loop


def _let_go() -> None:
    world = current_world()
    assert world is not None, "its backend has virtual time"
    world.count(-1)


def _tasks() -> list[anyio.TaskInfo]:
    return anyio.get_running_tasks()


def _left(before: list[anyio.TaskInfo]) -> list[str]:
    return tasks_left([*before, anyio.get_current_task()])


async def _settled(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:  # noqa: ANN401
    result = function(*args)
    if inspect.iscoroutine(result):  # and not a handler, which can be awaited too
        result = await result
    world = current_world()
    assert world is not None, "its backend has virtual time"
    world.count(-1)
    try:
        await world.idle()
    finally:
        world.count(1)
    return result


async def _pass_time(seconds: float) -> None:
    world = current_world()
    assert world is not None, "its backend has virtual time"
    world.count(-1)
    try:
        await anyio.sleep(seconds)
    finally:
        world.count(1)


def _snapshot(run: Handler[Any]) -> Any:  # noqa: ANN401 - plain data
    """As the text that a process would have written."""
    return json.loads(json.dumps(run.ctx.to_dict(), allow_nan=False))


async def _forget(run: Handler[Any]) -> None:
    """Somebody was told how it ended."""
    try:
        await run
    except (Exception, WorkflowCancelledError):  # noqa: BLE001 - invariants have looked at it
        return
