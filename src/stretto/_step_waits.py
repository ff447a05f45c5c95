"""How a step waits in its middle: for an event, or for room in a queue."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING

import anyio

from ._answers import answering
from ._core.inputs import SendBegan, SendCancelled, WaitBegan, WaitCancelled, WaitTimedOut
from ._core.room import Sender
from .errors import QueueFullError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context as VarContext

    import anyio.lowlevel

    from ._core.state import Delivery
    from ._core.waiting import Waiter
    from ._run_port import RunPort
    from .events import Event

__all__ = ["send_to_each", "send_when_there_is_room", "wait"]


async def wait(run: RunPort, waiter: Waiter, woken: anyio.Event, limit: float | None) -> Event:
    """Waits for the event, for so many seconds at most; `woken` is what the waiter wakes."""
    machine, delivery = run.machine, waiter.delivery
    if waiter.where is not None:
        waiter.where = answering(waiter.where)
    if run.trace is not None:
        run.trace.waits(delivery, waiter.kind, run.clock())
    effects = machine.receive(WaitBegan(waiter=waiter, parks=run.inside, at=run.clock()))
    if waiter.question is not None and not waiter.repeats:  # nobody is asked again for what he has said
        _ask(run, delivery, waiter.question)
    run.perform(effects)
    if run.around is not None and not woken.is_set():
        run.around.waits(run, waiter)
    try:
        with anyio.move_on_after(limit):
            await woken.wait()
        if not woken.is_set():
            run.perform(machine.receive(WaitTimedOut(waiter=waiter)))
            await woken.wait()
        if run.gate is not None:
            await run.gate(run, delivery, "resume", waiter.event)
    except BaseException:  # cancelled: what it may have been given is somebody else's
        run.perform(machine.receive(WaitCancelled(waiter=waiter)))
        raise
    if run.trace is not None:
        run.trace.resumed(delivery, waiter.event)
    return _given(run, waiter, limit)


def _ask(run: RunPort, delivery: Delivery, question: Event) -> None:
    """Writes to the stream, also where what is sent is held back, or nobody would answer."""
    run.publish(question)
    if run.parent is not None or run.merged is not None:
        run.spread(question, delivery.step.name)
    if run.trace is not None:
        run.trace.sent(delivery, question)
    run.machine.count_asked(delivery.step, question)


def _given(run: RunPort, waiter: Waiter, limit: float | None) -> Event:
    """What a wait was given, or what went wrong."""
    if waiter.error is not None:
        raise waiter.error
    if waiter.event is None:
        from ._core.reporting import came_instead  # noqa: PLC0415

        raise WaitTimeoutError(
            f"{waiter.step.label} waited {limit:.6g} s for {waiter.kind.__name__}, and none came that fits"
            f"{came_instead(run.machine, waiter)}"
        )
    return waiter.event


async def send_when_there_is_room(  # noqa: PLR0917 - of the two who send and wait
    run: RunPort,
    delivery: Delivery | None,
    ev: Event,
    step: str | None,
    carry: VarContext,
    full: QueueFullError,
) -> None:
    """Waits until there is room in the queue, and sends then; `delivery` is that of the step that sends."""
    if full.refused_by is not None:
        taker, carry = full.refused_by
        if taker is not run:  # another member's, where the sender has no worker to make room with
            run, delivery = taker, None
    admitted = anyio.Event()
    sender = Sender(
        delivery, ev, step, carry=carry, wake=admitted.set, parks=delivery is not None and run.inside
    )
    run.perform(run.machine.receive(SendBegan(sender=sender)))
    try:
        await admitted.wait()
    except BaseException:
        run = run.latest()  # which may have taken over who waits
        run.perform(run.machine.receive(SendCancelled(sender=sender)))
        raise
    if sender.error is not None:
        raise sender.error


async def send_to_each(
    run: RunPort, delivery: Delivery, ev: Event, receivers: Sequence[Callable[[], None]]
) -> None:
    """Sends a broadcast to each of its receivers, and waits at each that is full."""
    for send in receivers:
        try:
            send()
        except QueueFullError as full:
            await send_when_there_is_room(run, delivery, ev, None, copy_context(), full)
    await anyio.lowlevel.cancel_shielded_checkpoint()
