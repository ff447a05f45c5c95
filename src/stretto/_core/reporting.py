"""How a run in trouble is told: who was at work, what was queued, what a collect misses.

Read from the state when an error is made, never before: nothing here is on the way of an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import final

import attrs

from ..errors import WorkflowStalledError, WorkflowTimeoutError, name_of, names, shown
from ..events import Event, is_external
from .collecting import Buffers, told
from .delivery import BY_A_READER, DeadLetter, Delivery
from .mail import Mail
from .state import DEAD_LETTERS_KEPT, RunState
from .waiting import Waiter

__all__ = [
    "Waiting",
    "at_work",
    "awaited",
    "came_instead",
    "is_idle",
    "no_taker",
    "queued_in",
    "stalled",
    "timed_out",
    "used",
    "why_stalled",
]

_TOLD = 5


@final
@attrs.frozen
class Waiting:
    """What a run waits for.

    Attributes:
        step: The name of the step.
        kind: The class of the event.
        waiter_id: The name that the wait was given.
        requirements: Fields that the event must have, and their values.
        member: Whose step it is, in an application.
        suspended: Whether the step waits in its middle; else it takes such events, whenever they come.
        question: What the step wrote to the stream as it began to wait, its `waiter_event`.
        outside: Whether somebody outside may send it; not so in a request, nor, in an application, in a wait for what a
            member sends.
    """

    step: str
    kind: type[Event]
    waiter_id: str | None = None
    requirements: Mapping[str, object] | None = None
    member: str | None = None
    suspended: bool = False
    question: Event | None = None
    outside: bool = True


def timed_out(state: RunState, buffers: Buffers | None, at: float) -> WorkflowTimeoutError:
    """The error of a run whose deadline has passed; taken before any step has unwound."""
    active = _active(state, at)
    queued = queued_in(state)
    labels = {step.name: step.label for step in state.plan.steps}
    parts = [at_work(state, at) or "no step was active"]
    if queued:
        held_back = _held_back(state)
        told_of = (
            f"{count} for {labels[name]}{_told_of_holds(held_back.get(name, {}), count)}"
            for name, count in queued.items()
        )
        parts.append(f"queued: {', '.join(told_of)}")
    parts += [*_collecting(state, buffers), *_joining(state)]
    if state.waiters:
        parts.append(
            "waiting: "
            + ", ".join(
                f"{each.step.label} for {_awaited(state, each)}{_holding_back(each)}"
                for each in state.waiters
            )
        )
    elif state.hosted and not active:
        parts.append("it waited for what others send")
    elif state.feeders and not active:
        parts.append("it waited for events from outside: " + _awaited_from_outside(state))
    parts += _not_taken(_unclaimed(state))
    took = used(state, at)
    parts += _using(state, took)
    timeout = round(state.deadline - state.begun, 9)  # without what the clock adds to a float
    message = f"{state.plan.name} timed out after {timeout:.6g} s; {'; '.join(parts)}"
    return WorkflowTimeoutError(message, timeout, active, queued, _held_up(state), took)


def used(state: RunState, at: float | None = None) -> dict[str, float]:
    """For each step the seconds that its longer attempts took, the largest first; at that time, those at work too."""
    if at is None and state.used is None:
        return {}
    seconds = [*(state.used or [0.0] * len(state.plan.steps))]
    parked = [waiter.delivery for waiter in state.waiters or () if waiter.parked]
    for delivery in [*state.active, *parked]:
        if at is not None and delivery.started is not None:
            seconds[delivery.step.index] += max(0.0, at - delivery.started)
    by_name = {step.name: took for step, took in zip(state.plan.steps, seconds, strict=True) if took > 0}
    return dict(sorted(by_name.items(), key=itemgetter(1), reverse=True))


def _using(state: RunState, took: dict[str, float]) -> Iterator[str]:
    """Who used the time, if more than those at work did."""
    if state.used is None:
        return
    labels = {step.name: step.label for step in state.plan.steps}
    told_of = [f"{labels[name]} {seconds:.3g} s" for name, seconds in islice(took.items(), _TOLD)]
    more = f" and {len(took) - _TOLD} more" if len(took) > _TOLD else ""
    yield f"time went into {', '.join(told_of)}{more}"


def at_work(state: RunState, at: float) -> str:
    """The steps that are at work, how many of each and for how long; empty if none is."""
    labels = {step.name: step.label for step in state.plan.steps}
    held_up = _held_up(state)
    told_of = [
        f"{labels[name]} x{count} for {age:.3g} s{_told_of_holds(held_up.get(name, {}), count)}"
        for name, (count, age) in _active(state, at).items()
    ]
    return f"active: {', '.join(told_of)}" if told_of else ""


def awaited(state: RunState) -> Iterator[Waiting]:
    """What the run waits for: its waiting steps, in the order of the types; then what may come from outside."""
    for each in state.waiters or ():
        yield Waiting(
            each.step.name,
            each.kind,
            each.waiter_id,
            each.requirements,
            suspended=True,
            question=each.question,
            outside=each.feeds,
        )
    for step in state.plan.steps:
        yield from (Waiting(step.name, kind) for kind in step.accepts if is_external(kind))


def is_idle(state: RunState) -> bool:
    """Whether nothing can happen in a run unless somebody outside of it sends an event, its deadline left aside."""
    if state.ended is not None or state.active or state.retrying:
        return False
    fed = not state.opened if state.hosted else state.plan.fed
    waiters = [*(state.waiters or ())]
    return state.feeders == fed + sum(each.feeds for each in waiters) and not any(
        each.timed for each in waiters
    )


def stalled(state: RunState, buffers: Buffers | None) -> WorkflowStalledError:
    """The error of a run in which nothing is left to run."""
    why = why_stalled(state, buffers)
    return WorkflowStalledError(
        f"{state.plan.name} is stuck, nothing is left to run: {'; '.join(why) or 'no step returned an event'}. "
        "Return a StopEvent to end the run; if an event is to come from outside by run.send_event, declare its "
        "class so: class Go(Event, external=True)"
    )


def why_stalled(state: RunState, buffers: Buffers | None) -> list[str]:
    """What a run that has nothing to do still waits for, and what it was given and did not take."""
    why = [
        f"{each.step.label} waits for {_awaited(state, each)}{_holding_back(each)}"
        for each in state.waiters or ()
    ]
    why += [*_collecting(state, buffers), *_joining(state)]
    silent = state.silent or [0] * len(state.plan.steps)
    for step in state.plan.steps:
        count = silent[step.index]
        if count and step.returns:
            declares = " | ".join(kind.__name__ for kind in step.returns)
            times = "" if count == 1 else f" {count} times"
            nothing = "nothing, or an empty list," if step.lists else "nothing"
            why.append(f"{step.label} returned {nothing}{times} although it declares {declares}")
    if state.asked is not None:
        why.append(
            f"{shown(state.asked)} went to the stream, and no step takes an answer: add one with ev: HumanResponseEvent"
        )
    kept = state.dead_letters or ()
    letters = [letter for letter in kept if not letter.reason.startswith(BY_A_READER)]
    least = "at least " if len(kept) == DEAD_LETTERS_KEPT else ""
    why += _not_taken([*letters, *_unclaimed(state)], least)
    return why


def _awaited(state: RunState, waiter: Waiter) -> str:
    """The class that a step waits for, beside those that nobody has taken."""
    return name_of(waiter.kind, () if state.mailbox is None else state.mailbox.kinds())


def _holding_back(waiter: Waiter) -> str:
    """What the step that waits has sent, and nobody gets before it returns."""
    past = waiter.delivery.past
    held = [] if past is None else [each.event for each in past.held if each.carry is not None]
    if not held:
        return ""
    more = f" and {len(held) - _TOLD} more" if len(held) > _TOLD else ""
    return f" while it holds back {', '.join(map(shown, held[:_TOLD]))}{more} until it returns (emit='on_success')"


def _not_taken(letters: Sequence[DeadLetter], least: str = "") -> Iterator[str]:
    for letter in letters[:_TOLD]:
        yield f"{shown(letter.event)} was not taken: {letter.reason}"
    if len(letters) > _TOLD:
        yield f"{least}{len(letters) - _TOLD} more events were not taken"


def no_taker(state: RunState, mail: Mail) -> str:
    """Why an event is not taken: there is no step for it, and who waits, or waited, for its type wants another."""
    event = mail.event
    taken = (kind for step in state.plan.steps for kind in step.accepts)
    awaited = () if state.waiters is None else state.waiters.kinds()
    no_step = f"no step of {state.plan.name} takes exactly {name_of(type(event), (*taken, *awaited))}"
    waiters = () if state.waiters is None else islice(state.waiters.of_kind(type(event)), _TOLD)
    wishes = [waiter.wish for waiter in waiters] or ([] if mail.passed is None else [mail.passed])
    return ", and ".join([no_step, *(f"{wish.label} waited for {wish.lacking(event)}" for wish in wishes)])


def came_instead(state: RunState, waiter: Waiter) -> str:
    """What has come of the type that a wait was for and did not fit; begins with a ``:``, or empty."""
    kept = () if state.mailbox is None else state.mailbox.of_kind(waiter.kind)
    passed = (mail.event for mail in kept if mail.passed and mail.passed.requirements is waiter.requirements)
    came = [
        f"{shown(event)} came, but it waited for {waiter.wish.lacking(event)}"
        for event in islice(passed, _TOLD)
    ]
    return f": {'; '.join(came)}" if came else ""


def _unclaimed(state: RunState) -> list[DeadLetter]:
    """What no step takes and nobody who waits takes either."""
    return [DeadLetter(mail.event, no_taker(state, mail)) for mail in state.mailbox or ()]


def _active(state: RunState, at: float) -> dict[str, tuple[int, float]]:
    active: dict[str, tuple[int, float]] = {}
    for delivery in state.active:
        if delivery.started is not None:
            count, age = active.get(delivery.step.name, (0, 0.0))
            active[delivery.step.name] = (count + 1, max(age, at - delivery.started))
    return active


def _held_up(state: RunState) -> dict[str, dict[str, int]]:
    """For each step what those at work wait for, and how many of them; each of them for one thing."""
    by: dict[Delivery, str] = {hold.delivery: hold.by for hold in state.holds or ()}
    by.update((delivery, hold.by) for delivery, hold in (state.in_line or {}).items())
    for sender in state.room or ():
        if sender.delivery is not None:
            by.setdefault(sender.delivery, "room in the queue")
    held_up: dict[str, dict[str, int]] = {}
    for delivery in state.active:
        if delivery.started is not None and delivery in by:
            of_step = held_up.setdefault(delivery.step.name, {})
            of_step[by[delivery]] = of_step.get(by[delivery], 0) + 1
    return held_up


def _held_back(state: RunState) -> dict[str, dict[str, int]]:
    """For each step with policies what those wait for that are held back, and how many of them."""
    flows = () if state.flows is None else state.flows.by_step.values()
    return {flow.step.name: dict(Counter(flow.held_by())) for flow in flows}


def _told_of_holds(held_up: dict[str, int], active: int) -> str:
    told_of = [
        f"waiting for {what}" if count == active else f"{count} waiting for {what}"
        for what, count in held_up.items()
    ]
    return f" ({', '.join(told_of)})" if told_of else ""


def queued_in(state: RunState) -> dict[str, int]:
    """For each step, how many events wait for one of its workers, or to be tried again."""
    queued: dict[str, int] = {}
    for delivery in state.active:
        if delivery.started is None:
            queued[delivery.step.name] = queued.get(delivery.step.name, 0) + 1
    for each in state.in_queues():
        queued[each.step.name] = queued.get(each.step.name, 0) + 1
    for delivery in state.retrying or ():
        queued[delivery.step.name] = queued.get(delivery.step.name, 0) + 1
    return queued


def _collecting(state: RunState, buffers: Buffers | None) -> list[str]:
    if buffers is None:
        return []
    told_of: list[str] = []
    for (index, buffer_id), buffer in buffers.by_key.items():
        missing = told(buffer)
        if missing:
            name = "" if buffer_id is None else f" (buffer {shown(buffer_id)})"
            told_of.append(
                f"collect_events in {state.plan.steps[index].label}{name} still waits for {missing}"
            )
    return told_of


def _joining(state: RunState) -> Iterator[str]:
    """What has arrived at joins, of each the earliest forks, and what is missing."""
    if state.forks is None:
        return
    gathered = [*state.forks.gathered()]
    for join, gathering in gathered[:_TOLD]:
        missing = gathering.awaited()
        waits = f"still waits for {missing}" if missing else "waits for the end of the fork"
        kinds = Counter(type(event) for event in gathering.events())
        has = ", ".join(f"{count} x {name}" for name, count in zip(names(kinds), kinds.values(), strict=True))
        yield f"{state.plan.steps[join].label} has {has} and {waits}"
    if len(gathered) > _TOLD:
        yield f"{len(gathered) - _TOLD} more forks have not been joined"


def _awaited_from_outside(state: RunState) -> str:
    kinds = {kind.__name__: None for step in state.plan.steps for kind in step.accepts if is_external(kind)}
    return ", ".join(kinds) or "a nested run"
