"""`@step(undo=…)`: what completed steps have done is undone, last first, whenever the run gives no result."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Annotated, Any

import anyio
import anyio.to_thread
import pytest

from stretto import (
    Context,
    Event,
    Resource,
    RetryPolicy,
    StartEvent,
    StepGroup,
    StopEvent,
    ThreadContext,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    catch_error,
    step,
)
from stretto._nesting import making
from stretto.errors import add_note
from stretto.events import StepFailedEvent, WorkflowFailedEvent
from stretto.joins import First
from stretto.retry import fixed
from stretto.undo import UndoError, UndoRecord

pytestmark = pytest.mark.anyio


class Flight(Event):
    seat: str = "12A"


class Hotel(Event):
    room: int = 7


class Paid(Event):
    cents: int = 100


class DeclinedError(Exception):
    """What the last step raises."""


def outcomes(undone: tuple[UndoRecord, ...]) -> list[str]:
    return [f"{each.step} {each.outcome}" for each in undone]


class Trip(Workflow[str]):
    """Books a flight and a hotel, and pays; `fails` is what the last step does."""

    def __init__(self, end: Callable[[Context], Awaitable[None]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []
        self.end = end

    async def cancel_flight(self, ev: StartEvent, result: Flight) -> None:
        self.log.append(f"cancel {result.seat}")

    async def cancel_hotel(self, ev: Flight, booked: Hotel) -> None:
        await anyio.sleep(0.1)
        self.log.append(f"cancel room {booked.room}, flight {ev.seat}")

    @step(undo=cancel_flight)
    async def book_flight(self, ev: StartEvent) -> Flight:
        self.log.append("flight")
        return Flight()

    @step(undo=cancel_hotel)
    async def book_hotel(self, ev: Flight) -> Hotel:
        self.log.append("hotel")
        return Hotel()

    @step
    async def pay(self, ctx: Context, ev: Hotel) -> StopEvent[str]:
        self.log.append("pay")
        if self.end is not None:
            await self.end(ctx)
        return StopEvent(result="booked")


DONE = ["flight", "hotel", "pay"]
UNDONE = [*DONE, "cancel room 7, flight 12A", "cancel 12A"]


async def decline(ctx: Context) -> None:
    raise DeclinedError("no money")


async def hang(ctx: Context) -> None:
    await anyio.sleep_forever()


# -- when ------------------------------------------------------------------------------------------------------------


async def test_a_run_with_a_result_undoes_nothing():
    trip = Trip()
    run = trip.run()
    assert await run == "booked"
    assert trip.log == DONE
    assert run.undone == ()


async def test_a_failure_undoes_what_completed_last_first_and_comes_out_as_it_was_raised():
    trip = Trip(decline)
    run = trip.run()
    with pytest.raises(DeclinedError) as caught:
        await run
    assert trip.log == UNDONE
    assert type(caught.value) is DeclinedError
    assert caught.value.args == ("no money",)
    assert (
        "undone, last first: book_hotel by cancel_hotel, book_flight by cancel_flight"
        in caught.value.__notes__
    )
    assert outcomes(run.undone) == ["book_hotel done", "book_flight done"]
    hotel = run.undone[0]
    assert (hotel.event, hotel.result, hotel.error, hotel.undo) == (Flight(), Hotel(), None, "cancel_hotel")
    assert hotel.label.startswith("Trip.book_hotel (test_undo.py:")


async def test_a_timeout_undoes_after_the_deadline_in_time_of_its_own():
    trip = Trip(hang, timeout=5)
    began = anyio.current_time()
    with pytest.raises(WorkflowTimeoutError):
        await trip.run()
    assert trip.log == UNDONE
    assert anyio.current_time() - began == pytest.approx(5.1)


async def test_a_cancelled_run_undoes_and_who_cancels_waits_for_it():
    trip = Trip(hang)
    async with trip.run() as run:
        await anyio.sleep(1)
        await run.cancel()
        assert trip.log == UNDONE
        assert run.done
    with pytest.raises(WorkflowCancelledError):
        await run


async def test_a_cancelled_caller_waits_for_the_undoing_which_no_scope_around_it_reaches():
    trip = Trip(hang)
    with anyio.move_on_after(1) as scope:
        await trip.run()
    assert scope.cancelled_caught
    assert trip.log == UNDONE


async def test_a_block_left_by_an_error_undoes():
    trip = Trip(hang)
    with pytest.raises(KeyError):
        async with trip.run():
            await anyio.sleep(1)
            raise KeyError
    assert trip.log == UNDONE


async def test_a_stalled_run_undoes():
    class Lost(Trip):
        @step
        async def pay(self, ctx: Context, ev: Hotel) -> StopEvent[str] | None:
            return None

    trip = Lost()
    with pytest.raises(WorkflowStalledError):
        await trip.run()
    assert trip.log == ["flight", "hotel", *UNDONE[3:]]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
async def test_ctrl_c_undoes_and_comes_out_bare(kind: type[BaseException]):
    async def interrupt(ctx: Context) -> None:
        raise kind

    trip = Trip(interrupt)
    raised: BaseException | None = None
    try:
        await trip.run()
    except BaseException as error:  # noqa: BLE001
        raised = error
    assert type(raised) is kind
    assert trip.log == UNDONE


async def test_the_first_step_failing_undoes_nothing():
    class Early(Trip):
        @step(undo=Trip.cancel_flight)
        async def book_flight(self, ev: StartEvent) -> Flight:
            raise DeclinedError

    trip = Early()
    run = trip.run()
    with pytest.raises(DeclinedError):
        await run
    assert trip.log == []
    assert run.undone == ()


async def test_a_run_that_was_cancelled_before_it_began_undoes_nothing():
    trip = Trip()
    run = trip.run()
    await run.cancel()
    assert trip.log == []


# -- what has completed ----------------------------------------------------------------------------------------------


class Shaky(Workflow[str]):
    """A step that fails twice before it succeeds, and one that fails for good."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []

    async def give_back(self, ev: StartEvent, result: Flight) -> None:
        self.log.append(f"give back {result.seat}")

    @step(undo=give_back, retry_policy=RetryPolicy(attempts=3, wait=fixed(1)))
    async def book(self, ctx: Context, ev: StartEvent) -> Flight:
        if ctx.attempt.number < 3:
            raise DeclinedError
        return Flight(seat=f"of attempt {ctx.attempt.number}")

    @step(undo="never", retry_policy=RetryPolicy(attempts=2, wait=fixed(1)))
    async def fail(self, ev: Flight) -> StopEvent[str]:
        raise DeclinedError

    async def never(self) -> None:
        self.log.append("never")


async def test_only_the_attempt_that_succeeded_is_undone_and_once():
    shaky = Shaky()
    with pytest.raises(DeclinedError):
        await shaky.run()
    assert shaky.log == ["give back of attempt 3"]


async def test_a_step_that_returns_what_it_did_not_declare_has_not_completed():
    class Wrong(Trip):
        @step(undo=Trip.cancel_flight)
        async def book_flight(self, ev: StartEvent) -> Flight:
            return Paid()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    trip = Wrong()
    with pytest.raises(WorkflowError, match="declares -> Flight"):
        await trip.run()
    assert trip.log == []


class Both(Workflow[str]):
    """One branch fails while the other one is at work, and does not let itself be cut off."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []

    @step
    async def begin(self, ev: StartEvent) -> list[Flight | Hotel]:
        return [Flight(), Hotel()]

    async def cancel(self, ev: Flight, result: Paid | StopEvent[str] | None) -> None:
        self.log.append(f"cancel {ev.seat} of {result}")

    @step(undo=cancel)
    async def slow(self, ev: Flight) -> Paid | StopEvent[str] | None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3)
        self.log.append("charged")
        return Paid()

    @step
    async def fails(self, ev: Hotel) -> StopEvent[str]:
        await anyio.sleep(1)
        raise DeclinedError

    @step
    async def end(self, ev: Paid) -> StopEvent[str]:
        return StopEvent(result="paid")


async def test_a_step_that_returns_after_the_run_was_decided_has_completed():
    both = Both()
    run = both.run()
    with pytest.raises(DeclinedError):
        await run
    assert both.log == ["charged", f"cancel 12A of {Paid()}"]
    assert run.leftovers == (Paid(),)


async def test_a_step_that_returns_after_its_caller_was_cancelled_has_completed():
    both = Both()
    with anyio.move_on_after(0.5):
        await both.run()
    assert both.log == ["charged", f"cancel 12A of {Paid()}"]


async def test_a_step_that_returned_nothing_to_a_cancelled_caller_has_completed_too():
    class Silent(Both):
        @step(undo=Both.cancel)
        async def slow(self, ev: Flight) -> Paid | StopEvent[str] | None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)

    both = Silent()
    with anyio.move_on_after(0.5):
        await both.run()
    assert both.log == ["cancel 12A of None"]


async def test_a_result_that_a_failing_sibling_takes_away_is_undone():
    class Late(Both):
        @step(undo=Both.cancel)
        async def slow(self, ev: Flight) -> Paid | StopEvent[str] | None:
            await anyio.sleep(0.5)
            return StopEvent(result="paid")

        @step
        async def fails(self, ev: Hotel) -> StopEvent[str]:
            try:
                await anyio.sleep_forever()
            finally:
                raise DeclinedError

    both = Late()
    with pytest.raises(DeclinedError):
        await both.run()
    assert both.log == [f"cancel 12A of {StopEvent(result='paid')}"]


async def test_what_was_recovered_undoes_nothing_until_the_run_fails():
    class Saved(Trip):
        again: bool = False

        @catch_error
        async def recover(self, ev: StepFailedEvent) -> StopEvent[str]:
            self.log.append("recover")
            if self.again:
                raise KeyError
            return StopEvent(result="saved")

    trip = Saved(decline)
    assert await trip.run() == "saved"
    assert trip.log == [*DONE, "recover"]
    trip.log.clear()
    trip.again = True
    with pytest.raises(KeyError):
        await trip.run()
    assert trip.log == [*DONE, "recover", *UNDONE[3:]]


class Race(Workflow[str]):
    """Three book, the first wins; of the losers one has completed, and one completes too late."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.log: list[str] = []
        self.fails = fails

    async def cancel(self, ev: Flight, result: Hotel) -> None:
        self.log.append(f"cancel {ev.seat}")

    @step
    async def begin(self, ev: StartEvent) -> list[Flight]:
        return [Flight(seat="quick"), Flight(seat="stubborn"), Flight(seat="slow")]

    @step(undo=cancel)
    async def book(self, ev: Flight) -> Hotel:
        with anyio.CancelScope(shield=ev.seat == "stubborn"):
            await anyio.sleep({"quick": 1, "stubborn": 2, "slow": 3}[ev.seat])
        return Hotel()

    @step
    async def choose(self, won: Annotated[list[Hotel], First(1)]) -> StopEvent[str]:
        if self.fails:
            raise DeclinedError
        return StopEvent(result="won")


async def test_a_loser_that_has_completed_is_undone_if_the_run_fails_and_not_before():
    race = Race(fails=True)
    with pytest.raises(DeclinedError):
        await race.run()
    assert race.log == ["cancel stubborn", "cancel quick"]
    race = Race(fails=False)
    assert await race.run() == "won"
    assert race.log == []


# -- what an undo is given -------------------------------------------------------------------------------------------


async def test_an_undo_may_take_nothing_or_a_context_and_write_to_the_stream():
    class Told(Trip):
        async def cancel_hotel(self, ctx: Context) -> None:
            assert ctx.remaining == pytest.approx(30)
            await ctx.store.set("undone", 1)
            ctx.write_event_to_stream(Paid(cents=-100))
            await ctx.sleep(1)
            assert ctx.remaining == pytest.approx(29)

        async def cancel_flight(self) -> None:
            self.log.append("cancel")

        @step(undo=cancel_flight)
        async def book_flight(self, ev: StartEvent) -> Flight:
            return Flight()

        @step(undo=cancel_hotel)
        async def book_hotel(self, ev: Flight) -> Hotel:
            return Hotel()

    trip = Told(decline)
    async with trip.run() as run:
        stream = [ev async for ev in run.stream_events()]
        with pytest.raises(DeclinedError):
            await run
    assert stream[0] == Paid(cents=-100)
    assert isinstance(stream[-1], WorkflowFailedEvent)
    assert trip.log == ["pay", "cancel"]
    assert await run.ctx.store.get("undone") == 1


async def test_what_an_undo_sends_is_a_dead_letter():
    class Sends(Trip):
        async def cancel_hotel(self, ctx: Context) -> None:
            ctx.send_event(Paid())

        @step(undo=cancel_hotel)
        async def book_hotel(self, ev: Flight) -> Hotel:
            return Hotel()

    run = Sends(decline).run()
    with pytest.raises(DeclinedError):
        await run
    assert [letter.event for letter in run.dead_letters] == [Paid()]


async def test_a_plain_def_undoes_in_a_thread():
    class Plain(Trip):
        def cancel_hotel(self, ctx: ThreadContext, ev: Flight, result: Hotel) -> None:
            self.log.append(
                f"{threading.current_thread() is threading.main_thread()} {ctx.store.get('n', 3)}"
            )

        @step(undo=cancel_hotel)
        async def book_hotel(self, ev: Flight) -> Hotel:
            return Hotel()

    trip = Plain(decline)
    with pytest.raises(DeclinedError):
        await trip.run()
    assert trip.log[-2:] == ["False 3", "cancel 12A"]


opened: list[str] = []


@asynccontextmanager
async def open_client() -> AsyncGenerator[str]:
    opened.append("open")
    try:
        yield f"client {opened.count('open')}"
    finally:
        opened.append("close")


class Client(Workflow[str]):
    """A step and its undo share a resource."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        opened.clear()

    async def cancel(self, client: Annotated[str, Resource(open_client)]) -> None:
        opened.append(f"cancel by {client}")

    @step(undo=cancel)
    async def book(self, ev: StartEvent, client: Annotated[str, Resource(open_client)]) -> Flight:
        return Flight()

    @step
    async def fail(self, ev: Flight) -> StopEvent[str]:
        raise DeclinedError


async def test_the_resources_of_a_run_are_there_while_it_is_undone():
    with pytest.raises(DeclinedError):
        await Client().run()
    assert opened == ["open", "cancel by client 1", "close"]


async def test_an_undo_has_the_context_variables_that_its_step_ended_with():
    who: ContextVar[str] = ContextVar("who", default="nobody")

    class Known(Trip):
        async def cancel_hotel(self) -> None:
            self.log.append(who.get())
            assert making.get() is None

        @step(undo=cancel_hotel)
        async def book_hotel(self, ev: Flight) -> Hotel:
            who.set("somebody")
            return Hotel()

    trip = Known(decline)
    with pytest.raises(DeclinedError):
        await trip.run()
    assert trip.log[-2] == "somebody"
    assert who.get() == "nobody"


async def test_a_join_is_undone_with_all_that_it_took_and_a_list_with_all_that_it_returned():
    class Joins(Workflow[str]):
        log: list[str] = []  # noqa: RUF012

        async def part(self, flights: list[Flight], result: list[Hotel]) -> None:
            self.log.append(f"{[each.seat for each in flights]} {[each.room for each in result]}")

        async def unmeet(self, hotels: list[Hotel], ctx: Context) -> None:
            self.log.append(f"{[each.room for each in hotels]}")

        async def unpair(self, left: Paid, right: Flight) -> None:
            self.log.append(f"{left} {right}")

        @step
        async def begin(self, ev: StartEvent) -> list[Flight]:
            return [Flight(seat="1A"), Flight(seat="1B")]

        @step(undo=part)
        async def meet(self, flights: list[Flight]) -> list[Hotel]:
            return [Hotel(room=1), Hotel(room=2)]

        @step(undo=unmeet)
        async def again(self, hotels: list[Hotel]) -> StopEvent[str] | Paid:
            raise DeclinedError

    with pytest.raises(DeclinedError):
        await Joins().run()
    assert Joins.log == ["['1A', '1B'] [1, 2]"]


async def test_a_join_of_one_of_each_type_is_undone_by_their_names():
    class Pairs(Workflow[str]):
        log: list[object] = []  # noqa: RUF012

        async def part(self, bed: Hotel, seat: Flight) -> None:
            self.log.append((seat, bed))

        @step
        async def begin(self, ev: StartEvent) -> list[Flight | Hotel]:
            return [Hotel(), Flight()]

        @step(undo=part)
        async def meet(self, seat: Flight, bed: Hotel) -> Paid:
            return Paid()

        @step
        async def fail(self, ev: Paid) -> StopEvent[str]:
            raise DeclinedError

    run = Pairs().run()
    with pytest.raises(DeclinedError):
        await run
    assert Pairs.log == [(Flight(), Hotel())]
    assert run.undone[0].event == (Flight(), Hotel())


async def test_a_subclass_overrides_an_undo_that_is_named_and_no_other():
    class Named(Trip):
        @step(undo="cancel_flight")
        async def book_flight(self, ev: StartEvent) -> Flight:
            return Flight()

    class Other(Named):
        async def cancel_flight(self, ev: StartEvent, result: Flight) -> None:
            self.log.append("other flight")

        async def cancel_hotel(self, ev: Flight, booked: Hotel) -> None:
            self.log.append("other hotel")

    for kind, told in ((Named, "cancel 12A"), (Other, "other flight")):
        trip = kind(decline)
        with pytest.raises(DeclinedError):
            await trip.run()
        assert trip.log == ["hotel", "pay", "cancel room 7, flight 12A", told]


async def test_an_unbound_step_and_a_group_have_undos_with_and_without_self():
    log: list[str] = []
    group = StepGroup("booking")

    async def cancel(ev: StartEvent, result: Flight) -> None:
        log.append(f"cancel {result.seat}")

    class Grouped(Workflow[str]):
        async def refund(self, ev: Hotel, result: Paid) -> None:
            log.append(f"refund {result.cents}")

        @staticmethod
        async def leave(ev: Flight) -> None:
            log.append(f"leave {ev.seat}")

        @step(undo=leave)
        async def stay(self, ev: Flight) -> Hotel:
            return Hotel()

        @step
        async def fail(self, ev: Paid) -> StopEvent[str]:
            raise DeclinedError

    @step(workflow=group, undo=cancel)
    async def book(ev: StartEvent) -> Flight:
        return Flight()

    group.attach(Grouped)

    @step(workflow=Grouped, undo="refund")
    async def pay(ev: Hotel) -> Paid:
        return Paid()

    with pytest.raises(DeclinedError):
        await Grouped().run()
    assert log == ["refund 100", "leave 12A", "cancel 12A"]


# -- undos that fail -------------------------------------------------------------------------------------------------


class Broken(Trip):
    """Its hotel cannot be cancelled, in a way that is to be chosen."""

    def __init__(self, end: Any, cancel: Callable[[], Awaitable[None]], **options: Any) -> None:
        super().__init__(end, **options)
        self.cancel = cancel

    async def cancel_hotel(self) -> None:
        await self.cancel()

    @step(undo=cancel_hotel)
    async def book_hotel(self, ev: Flight) -> Hotel:
        self.log.append("hotel")
        return Hotel()


class ClosedError(Exception):
    """What an undo raises."""


async def refuse() -> None:
    raise ClosedError("at night")


async def test_an_undo_that_raises_keeps_no_other_from_its_turn_and_both_errors_come_out_in_a_group():
    trip = Broken(decline, refuse)
    run = trip.run()
    with pytest.raises(UndoError) as caught:
        await run
    error = caught.value
    assert trip.log == [*DONE, "cancel 12A"]
    assert outcomes(run.undone) == ["book_hotel failed", "book_flight done"]
    assert error.undone == run.undone
    assert [type(each) for each in error.exceptions] == [DeclinedError, ClosedError]
    assert error.failure is error.exceptions[0]
    assert run.failures == (error.failure,)
    assert isinstance(error, WorkflowError)
    assert isinstance(run.undone[0].error, ClosedError)
    assert "not undone: Broken.book_hotel (test_undo.py:" in str(error)
    assert "by cancel_hotel (raised ClosedError('at night'))" in str(error)


async def test_except_star_finds_the_failure_whether_or_not_all_was_undone():
    for trip in (Trip(decline), Broken(decline, refuse)):
        found: list[BaseException] = []
        try:
            await trip.run()
        except* DeclinedError as group:
            found += group.exceptions
        except* ClosedError:
            pass
        assert [type(each) for each in found] == [DeclinedError]
    rest: BaseException | None = None
    try:
        try:
            await Broken(decline, refuse).run()
        except* ClosedError:
            pass
    except UndoError as error:
        rest = error
    assert isinstance(rest, UndoError)
    assert [type(each) for each in rest.exceptions] == [DeclinedError]
    assert outcomes(rest.undone) == ["book_hotel failed", "book_flight done"]


async def test_an_undo_that_hangs_is_cut_off_at_its_limit_and_those_behind_it_are_not_reached():
    trip = Broken(decline, anyio.sleep_forever)
    began = anyio.current_time()
    run = trip.run()
    with pytest.raises(UndoError) as caught:
        await run
    assert anyio.current_time() - began == pytest.approx(30)
    assert trip.log == DONE
    assert outcomes(run.undone) == ["book_hotel cut off", "book_flight not reached"]
    failure, late = caught.value.exceptions
    assert isinstance(failure, DeclinedError)
    assert isinstance(late, WorkflowTimeoutError)
    assert late.timeout == 30
    assert str(late) == (
        "undoing Broken passed its time limit of 30 s, which is on top of that of the run, with 2 left; raise it with "
        "Broken(undo_timeout=…), or give the undo that hangs a time limit of its own"
    )


async def test_the_limit_of_the_undoing_is_an_option():
    began = anyio.current_time()
    with pytest.raises(UndoError):
        await Broken(decline, anyio.sleep_forever, undo_timeout=2).run()
    assert anyio.current_time() - began == pytest.approx(2)

    async def long() -> None:
        await anyio.sleep(1000)

    began = anyio.current_time()
    with pytest.raises(DeclinedError):
        await Broken(decline, long, undo_timeout=None).run()
    assert anyio.current_time() - began == pytest.approx(1000)


async def test_an_undo_that_swallows_the_end_of_its_time_counts_as_cut_off():
    async def stubborn() -> None:
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)

    run = Broken(decline, stubborn).run()
    with pytest.raises(UndoError):
        await run
    assert outcomes(run.undone) == ["book_hotel cut off", "book_flight not reached"]


async def test_an_undo_that_does_not_end_is_named_and_waited_for(caplog: pytest.LogCaptureFixture):
    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(100)

    began = anyio.current_time()
    run = Broken(decline, stubborn, grace=3).run()
    with pytest.raises(UndoError):
        await run
    assert anyio.current_time() - began == pytest.approx(100)
    named = [each.getMessage() for each in caplog.records if "has not ended" in each.getMessage()]
    assert len(named) == 1
    assert named[0].startswith(
        "Broken: 3 s after the time limit of the undoing Broken.cancel_hotel (test_undo.py:"
    )


async def test_a_cancellation_that_an_undo_makes_up_is_an_error_of_it():
    async def stray() -> None:
        raise asyncio.CancelledError

    run = Broken(decline, stray).run()
    if asyncio._get_running_loop() is not None:
        with pytest.raises(UndoError, match="although nothing was cancelled"):
            await run
        assert outcomes(run.undone) == ["book_hotel failed", "book_flight done"]
    else:  # on trio it is an exception as any other
        with pytest.raises(BaseException) as caught:
            await run
        assert isinstance(caught.value, asyncio.CancelledError)


async def test_ctrl_c_in_an_undo_ends_the_undoing_and_comes_out_bare():
    async def interrupt() -> None:
        raise SystemExit(3)

    trip = Broken(decline, interrupt)
    run = trip.run()
    raised: BaseException | None = None
    try:
        await run
    except BaseException as error:  # noqa: BLE001
        raised = error
    assert type(raised) is SystemExit
    assert outcomes(run.undone) == ["book_hotel failed", "book_flight not reached"]
    assert any(note.startswith("not undone: ") for note in raised.__notes__)


async def test_a_caller_who_is_cancelled_is_told_what_could_not_be_undone():
    with pytest.raises(UndoError) as caught, anyio.move_on_after(1):
        await Broken(hang, refuse).run()
    assert isinstance(caught.value.failure, WorkflowCancelledError)
    with pytest.raises(UndoError), anyio.move_on_after(1):
        async with Broken(hang, refuse).run():
            await anyio.sleep_forever()


async def test_a_cancelled_run_that_could_not_be_undone_says_so_to_who_leaves_its_block():
    with pytest.raises(UndoError) as caught:
        async with Broken(hang, refuse).run() as run:
            await anyio.sleep(1)
            await run.cancel()
    assert isinstance(caught.value.failure, WorkflowCancelledError)


async def test_a_cancellation_that_comes_while_it_is_undone_goes_on_afterwards():
    async def slow() -> None:
        await anyio.sleep(5)

    trip = Broken(hang, slow, timeout=1)
    with anyio.move_on_after(3) as scope:
        await trip.run()
    assert trip.log == [*DONE, "cancel 12A"]
    assert scope.cancelled_caught or scope.cancel_called


async def test_no_native_cancellation_reaches_an_undo(anyio_backend_name: str):
    if anyio_backend_name != "asyncio":
        return  # there are none on trio

    async def slow() -> None:
        await anyio.sleep(5)

    trip = Broken(hang, slow)
    task = asyncio.ensure_future(trip.execute())
    await anyio.sleep(1)
    for _ in range(3):
        task.cancel()
        await anyio.sleep(1)
    assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trip.log == [*DONE, "cancel 12A"]


async def test_a_native_cancellation_that_comes_while_it_is_undone_goes_on_afterwards(
    anyio_backend_name: str,
):
    if anyio_backend_name != "asyncio":
        return

    async def slow() -> None:
        await anyio.sleep(5)

    trip = Broken(hang, slow, timeout=1)
    task = asyncio.ensure_future(trip.execute())
    await anyio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trip.log == [*DONE, "cancel 12A"]


# -- how it looks ----------------------------------------------------------------------------------------------------


async def test_a_run_that_is_being_undone_says_so_and_is_not_done(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "stretto")
    seen: list[str] = []

    async def slow() -> None:
        await anyio.sleep(2)

    async with Broken(decline, slow, verbose=True, journal=100).run() as run:
        with anyio.move_on_after(1):
            while True:
                seen.append(repr(run))
                await anyio.sleep(0.5)
        assert not run.done
        with pytest.raises(DeclinedError):
            await run
    assert seen[-1] == "<Handler of Broken: undoing>"
    assert repr(run) == "<Handler of Broken: done>"
    lines = [line.partition("s  ")[2] for line in caplog.messages if "undoing" in line]
    assert lines == [
        "undoing book_hotel: cancel_hotel  done  2000.0 ms",
        "undoing book_flight: cancel_flight  done  0.0 ms",
    ]
    undone = [each for each in run.journal if each.kind == "undone"]
    assert [(each.step, each.name, each.text, each.at) for each in undone] == [
        ("book_hotel", "cancel_hotel", "done", pytest.approx(2)),
        ("book_flight", "cancel_flight", "done", pytest.approx(2)),
    ]


def test_the_error_of_an_undoing_survives_a_pickle():
    error = UndoError("not undone", [DeclinedError()], ())
    add_note(error, "a note")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), again.message, again.undone) == (UndoError, "not undone", ())


async def test_a_run_without_undos_keeps_nothing():
    class Plain(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result="done")

    run = Plain().run()
    await run
    driver = run._driver
    assert driver is not None
    assert driver.machine.undos is None
    assert run.undone == ()
