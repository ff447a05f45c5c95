"""`explore` of an application: every run that a call causes has its turns, and both backends agree."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    Event,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowStalledError,
    step,
)
from stretto.retry import fixed
from stretto.supervision import Restart
from stretto.testing import Faults, TestRun, explore

BACKENDS = ("asyncio", "trio")
on_both = pytest.mark.parametrize("backend", BACKENDS)


class Order(Event):
    sku: str


class Placed(Event):
    sku: str


class Watch(Workflow[list[str]]):
    @step
    async def look(self, ev: StartEvent) -> list[Order]:
        return [Order(sku=sku) for sku in ("tea", "milk")]

    @step
    async def done(self, ctx: Context, ev: Placed) -> StopEvent[list[str]] | None:
        placed = ctx.collect_events(ev, [Placed] * 2)
        return StopEvent(result=[each.sku for each in placed]) if placed else None


class Orders(Workflow[None]):
    @step
    async def place(self, ev: Order) -> Placed:
        await anyio.sleep(1)
        return Placed(sku=ev.sku)


def shop() -> Application:
    return Application(watch=Watch(), orders=Orders())


def supervised() -> Application:
    return Application(
        watch=Watch(), orders=Orders(), supervise={"orders": Restart(backoff=fixed(2), on=OSError)}
    )


@on_both
def test_a_supervised_member_is_restarted_in_every_order_and_what_is_lost_by_it_is_told(backend: str):
    """A run that is stuck because of what was in flight says so; a failure of another member comes out."""
    explorer = explore(
        supervised,
        member="watch",
        durations="any",
        faults=Faults(raises=OSError, leave=True),
        max_schedules=300,
        backend=backend,
    )
    ends: set[str] = set()
    for run in explorer.runs(backend):
        assert run.lost_events == run.leaked_tasks == ()
        notes = "".join(getattr(run.error, "__notes__", ()))
        if isinstance(run.error, OSError):
            ends.add("failed")
            assert "orders (Orders)" not in notes
        elif isinstance(run.error, WorkflowStalledError):
            ends.add("stuck")
            assert "orders (Orders) was restarted after OSError" in notes
        else:
            ends.add("done" if run.error is None else "left")
    assert ends == {"done", "failed", "left", "stuck"}


def runs(backend: str, **options: Any) -> list[TestRun]:
    options = {"member": "watch", "durations": "any", **options}
    return list(explore(shop, backend=backend, **options).runs(backend))


def test_the_runs_of_an_application_take_turns_and_are_the_same_on_both_backends():
    faults = Faults(raises=OSError, cancel=True, timeout=True, leave=True, cancel_step=True, doubles=True)
    for options in ({}, {"faults": faults}):
        one, other = (runs(backend, max_schedules=100, **options) for backend in BACKENDS)
        for mine, theirs in zip(one, other, strict=True):
            assert (mine.token, mine.explain(), mine.value) == (theirs.token, theirs.explain(), theirs.value)
            assert type(mine.error) is type(theirs.error)
            for run in (mine, theirs):
                assert run.lost_events == run.leaked_tasks == ()
        assert len({run.token for run in one}) > 20


@on_both
def test_both_orders_are_found_and_all_are_tried(backend: str):
    explorer = explore(
        shop, member="watch", durations="any", mode="exhaustive", backend=backend, max_schedules=2_000
    )
    assert {each.said for each in explorer.outcomes()} == {"['tea', 'milk']", "['milk', 'tea']"}
    assert explorer.explored[backend].complete
    assert explorer.explored[backend].why_full == "the runs of an application send to each other"


@on_both
def test_a_delivery_knows_what_caused_it_in_another_member(backend: str):
    run = runs(backend, max_schedules=1)[0]
    place = run.steps("place")[0]
    assert place.workflow == "Orders"
    assert place.cause is run.steps("look")[0]
    assert run.happens_before(place, run.steps("done")[0])
    assert isinstance(run.workflow, Application)


@on_both
def test_a_failure_is_told_as_it_is_written_and_repeated(backend: str):
    @explore(shop, member="watch", durations="any", backend=backend)
    def test_tea_comes_first(run: TestRun) -> None:
        assert run.result == ["tea", "milk"]

    with pytest.raises(AssertionError) as caught:
        test_tea_comes_first()
    note = caught.value.__notes__[-1]
    assert f"Application gave ['milk', 'tea'] on {backend}, 1 choice off" in note
    token = note.partition("--stretto-replay=")[2].split()[0]
    assert f"@explore(shop, member='watch', durations='any', replay=\"{token}\")" in note
    for other in BACKENDS:
        again = explore(shop, member="watch", durations="any", replay=token, backend=other)
        with pytest.raises(AssertionError, match="milk"):
            again.check(test_tea_comes_first.on)  # type: ignore[attr-defined]


@on_both
def test_a_member_begins_with_any_event_that_it_takes(backend: str):
    (run,) = runs(backend, member="orders", start=Order(sku="tea"), max_schedules=1)
    assert [each.event for each in run.steps("place")] == [Order(sku="tea")]


@on_both
def test_what_nobody_takes_is_a_dead_letter_of_the_application_and_not_lost(backend: str):
    late = [run for run in runs(backend, faults=Faults(doubles=True), max_schedules=150) if run.faults]
    assert any(letter.event for run in late for letter in run.dead_letters)
    assert all(run.lost_events == () for run in late)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {},
            "explore calls one member of an application, and member=None is none; it has: 'watch', 'orders'",
        ),
        (
            {"member": "x"},
            "explore calls one member of an application, and member='x' is none; it has: 'watch', 'orders'",
        ),
        ({"workflow": Watch, "member": "x"}, "member='x' is for an application; Watch is a workflow"),
        (
            {"member": "orders", "start": 3},
            "start is an Event, a list of some, or a strategy of hypothesis for some, not 3",
        ),
        (
            {"member": "watch", "faults": Faults(crash=True)},
            (
                "Faults(crash=True) goes on from the snapshot of one run, and an application has that of a whole "
                "conversation; explore the workflows that are to be resumed by themselves"
            ),
        ),
    ],
)
def test_what_cannot_be_explored_is_refused(options: dict[str, Any], says: str):
    with pytest.raises(DefinitionError) as caught:
        explore(**{"workflow": shop, **options})
    assert str(caught.value) == says
