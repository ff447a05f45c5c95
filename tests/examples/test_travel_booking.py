"""A trip is booked whole or not at all, whatever goes wrong and whenever."""

from __future__ import annotations

from collections import defaultdict

import anyio
import attrs
import httpx2
import pytest

from examples import travel_booking
from examples.travel_booking import NAMES, PLAN, Desk, Journey, Online, Trip, open_desk
from stretto import WorkflowTimeoutError
from stretto.testing import Faults, TestRun, explore
from stretto.undo import UndoError

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("real_time")
async def test_the_program_prints_what_was_undone(capsys: pytest.CaptureFixture[str]):
    began = anyio.current_time()
    await travel_booking.main()
    assert capsys.readouterr().out.splitlines() == [
        "Ada: all is booked",
        "  undone: nothing",
        "  booked: flight, hotel, payment",
        "Ben: HTTPStatusError",
        "  undone: refund done, cancel_hotel done, cancel_flight done",
        "  booked: nothing",
        "Cleo: RemoteProtocolError",
        "  undone: cancel_hotel done, cancel_flight done",
        "  booked: nothing",
        "Dora: no answer in time",
        "  undone: cancel_hotel done, cancel_flight done",
        "  booked: nothing",
        "Emil: a person must look at this, HTTPStatusError(\"Client error '402…",
        "  undone: refund done, cancel_hotel done, cancel_flight failed",
        "  booked: flight",
    ]
    assert anyio.current_time() - began < 5


@pytest.mark.usefixtures("real_time")
async def test_over_real_sockets_nothing_is_left_of_a_trip_that_fails(monkeypatch: pytest.MonkeyPatch):
    """Each service refuses, hangs up and is silent; only who cannot give back leaves something, and says so."""
    ways = ("402 Payment Required", "hang up", "no answer")
    unlucky = {f"{name}{number}": (name, what) for name in NAMES for number, what in enumerate(ways)}
    for customer, (name, what) in unlucky.items():
        monkeypatch.setitem(PLAN, (customer, f"PUT {name}"), (what,))
    desk = Desk()
    async with open_desk(desk) as address, httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        for customer in unlucky:
            with pytest.raises((httpx2.HTTPError, WorkflowTimeoutError)):
                await Journey(Online(client), timeout=0.05).run(Trip(customer=customer))
            assert desk.of(customer) == []
        with pytest.raises(UndoError):
            await Journey(Online(client)).run(Trip(customer="Emil"))
        assert desk.of("Emil") == ["flight"]


# ------------------------------------------------------------------------------------- every fault, at every point

world: defaultdict[str, set[str]] = defaultdict(set)
"""What is booked under which key. It outlives a process that dies, as services do."""


@attrs.define(eq=False)
class Fake:
    """The services, without a network: a request takes a while, and what it does it does in the middle of that."""

    async def book(self, name: str, key: str) -> None:
        await anyio.sleep(0.1)
        world[key].add(name)
        await anyio.sleep(0.1)

    async def take_back(self, name: str, key: str) -> None:
        await anyio.sleep(0.1)
        if key.startswith(f"{name} is closed"):
            raise OSError(name)
        if key.startswith(f"{name} is silent"):
            await anyio.sleep_forever()
        world[key].discard(name)


def whole_or_nothing(run: TestRun) -> None:
    """All three are booked if there is a result, and none if there is not; whoever went on with it, it is one trip."""
    wanted = {key for each in run.deliveries if (key := getattr(each.event, "key", None)) is not None}
    assert len(wanted) <= 1
    booked = {name for key in wanted for name in world[key]}
    if run.error is None:
        assert booked == {*NAMES}
        assert wanted == {run.result}
    else:
        assert not booked, (sorted(booked), run.error)
        assert not isinstance(run.error, UndoError)
    assert not run.leaked_tasks
    assert not run.lost_events


ALL = Faults(
    raises=OSError, hangs=True, cancel_step=True, blocks=True, doubles=True, cancel=True, timeout=True, leave=True,
    crash=True,
)  # fmt: skip


def journey() -> Journey:
    return Journey(Fake(), timeout=60)


@explore(journey, start=Trip(customer="Ada"), faults=attrs.evolve(ALL, doubles=False), mode="exhaustive")
def test_after_any_fault_at_any_point_a_trip_is_booked_whole_or_not_at_all(run: TestRun):
    whole_or_nothing(run)


@pytest.mark.schedules
@explore(
    journey, start=Trip(customer="Ada"), faults=attrs.evolve(ALL, doubles=False, most=2), mode="exhaustive"
)
def test_after_any_two_faults_at_any_points_a_trip_is_booked_whole_or_not_at_all(run: TestRun):
    whole_or_nothing(run)


UNDOS = Faults(raises=OSError, hangs=True, cancel_step=True, undos=True, most=2)


@explore(journey, start=Trip(customer="Ada"), faults=UNDOS, mode="exhaustive")
def test_an_undo_that_fails_too_is_named_and_the_others_are_done_all_the_same(run: TestRun):
    """What is left stands in the error, and what an undo that went wrong has left is not the loss of another's."""
    booked = {name for each in run.deliveries for name in world[getattr(each.event, "key", "")]}
    if run.error is None:
        assert booked == {*NAMES}
        return
    undone = run.error.undone if isinstance(run.error, UndoError) else ()
    completed = [each.step for each in run.deliveries if each.value is not None and each.step != "pay"]
    assert not undone or [each.step for each in undone] == completed[::-1]
    left = {each.undo.removeprefix("cancel_") for each in undone if each.outcome != "done"}
    assert booked <= {name.replace("refund", "payment") for name in left}
    if all(each.outcome != "cut off" for each in undone):
        assert all(each.outcome in {"done", "failed"} for each in undone)
    assert not run.leaked_tasks


CLOSED = [Trip(customer=f"{name} is {how}") for name in NAMES for how in ("closed", "silent")]


@explore(journey, start=CLOSED, faults=attrs.evolve(ALL, doubles=False), mode="exhaustive")
def test_what_could_not_be_undone_is_what_the_error_names(run: TestRun):
    booked = {name for each in run.deliveries for name in world[getattr(each.event, "key", "")]}
    if run.error is None:
        assert booked == {*NAMES}
        return
    undone = run.error.undone if isinstance(run.error, UndoError) else ()
    left = {each.undo.removeprefix("cancel_") for each in undone if each.outcome != "done"}
    assert booked <= {name.replace("refund", "payment") for name in left}


@explore(
    journey, start=Trip(customer="Ada"), faults=attrs.evolve(ALL, most=3), durations="any", max_schedules=200
)
def test_after_three_faults_too(run: TestRun):
    whole_or_nothing(run)
