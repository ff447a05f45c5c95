"""What can be undone goes into the snapshot, and is undone by the run that goes on from it."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from stretto import (
    Context,
    Event,
    SnapshotError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    step,
)

pytestmark = pytest.mark.anyio

log: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    log.clear()


class BoomError(Exception):
    pass


class Flight(Event):
    seat: str


class Hotel(Event):
    room: int


class Go(Event, external=True):
    pass


class Trip(Workflow[str]):
    """Books one flight and two rooms, meets, and waits for somebody outside to say that it fails."""

    async def cancel_flight(self, ev: StartEvent, result: Flight) -> None:
        log.append(f"cancel {result.seat} of {ev.trip}")

    async def cancel_rooms(self, ev: Flight, result: list[Hotel]) -> None:
        log.append(f"cancel {[each.room for each in result]}")

    async def part(self, hotels: list[Hotel], result: None) -> None:
        log.append(f"part {[each.room for each in hotels]}")

    @step(undo=cancel_flight)
    async def book_flight(self, ev: StartEvent) -> Flight:
        return Flight(seat="12A")

    @step(undo=cancel_rooms)
    async def book_rooms(self, ev: Flight) -> list[Hotel]:
        return [Hotel(room=1), Hotel(room=2)]

    @step(undo=part)
    async def meet(self, hotels: list[Hotel]) -> None:
        log.append("met")

    @step
    async def pay(self, ev: Go) -> StopEvent[str]:
        raise BoomError


UNDONE = ["part [1, 2]", "cancel [1, 2]", "cancel 12A of Rome"]


async def snapshot_of(workflow: Workflow[Any], **fields: Any) -> Any:
    """What is left of a run that is killed as soon as nothing of it is at work."""
    run = workflow.run(**fields)
    async with run:
        await anyio.sleep(1)
        data = json.loads(json.dumps(run.ctx.to_dict()))
        driver: Any = run._driver
        driver.undoes = False
        await run.cancel()
    return data


async def test_a_run_that_goes_on_undoes_what_was_done_before_the_restart():
    data = await snapshot_of(Trip(), trip="Rome")
    assert log == ["met"]
    trip = Trip()
    with pytest.raises(BoomError):
        async with trip.run(ctx=Context.from_dict(trip, data)) as run:
            run.send_event(Go())
            await run
    assert log == ["met", *UNDONE]
    assert [each.step for each in run.undone] == ["meet", "book_rooms", "book_flight"]
    assert run.undone[1].result == [Hotel(room=1), Hotel(room=2)]


async def test_a_run_that_goes_on_and_is_cancelled_before_it_begins_is_undone():
    data = await snapshot_of(Trip(), trip="Rome")
    trip = Trip()
    run = trip.run(ctx=Context.from_dict(trip, data))
    await run.cancel()
    assert log == ["met", *UNDONE]
    with pytest.raises(WorkflowCancelledError):
        await run


async def test_a_step_that_has_lost_its_undo_is_told_when_the_snapshot_is_read():
    data = await snapshot_of(Trip(), trip="Rome")

    class Without(Trip):
        @step
        async def book_flight(self, ev: StartEvent) -> Flight:
            return Flight(seat="12A")

    with pytest.raises(SnapshotError) as caught:
        Context.from_dict(Without(), data | {"workflow": "Without"})
    assert caught.value.path == "undos[0].step"
    assert "has completed before the snapshot, and has no undo here; give it one" in str(caught.value)


async def test_a_run_that_is_being_undone_has_no_snapshot():
    refused: list[str] = []

    class Asks(Trip):
        async def cancel_rooms(self, ctx: Context) -> None:
            try:
                ctx.to_dict()
            except SnapshotError as error:
                refused.append(str(error))

        @step(undo=cancel_rooms)
        async def book_rooms(self, ev: Flight) -> list[Hotel]:
            raise_later()
            return []

    def raise_later() -> None:
        log.append("booked")

    class Fails(Asks):
        @step
        async def meet(self, hotels: list[Hotel]) -> None:
            raise BoomError

    async with Fails().run(trip="Rome") as run:
        with pytest.raises(BoomError):
            await run
    told = "the run of Fails is being undone, and nothing would go on from there; after a crash go on from the last "
    assert refused == [f"{told}snapshot before, which knows what is to be undone"]
    assert run.ctx.to_dict()["finished"] is True


async def test_what_a_nested_run_has_done_is_in_no_snapshot():
    class Nests(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> None:
            await Inner().run()

        @step
        async def end(self, ev: Go) -> StopEvent[str]:
            return StopEvent(result="done")

    class Inner(Workflow[str]):
        async def cancel(self) -> None:
            log.append("cancel")

        @step(undo=cancel)
        async def begin(self, ev: StartEvent) -> Hotel:
            return Hotel(room=1)

        @step
        async def end(self, ev: Hotel) -> StopEvent[str]:
            return StopEvent(result="inner")

    async with Nests().run() as run:
        await anyio.sleep(1)
        with pytest.raises(SnapshotError) as caught:
            run.ctx.to_dict()
        assert caught.value.path == "undos[0]"
        run.send_event(Go())
    assert log == []
