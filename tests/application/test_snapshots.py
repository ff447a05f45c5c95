"""A conversation that is written at any moment goes on elsewhere as if it had never stopped."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    Event,
    HumanResponseEvent,
    RetryPolicy,
    SnapshotError,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.retry import fixed
from tests.application.programs import (
    Answer,
    Ask,
    Asker,
    Boom,
    Forgetful,
    Monitor,
    Oracle,
    Station,
    Trade,
    Traded,
)

pytestmark = pytest.mark.anyio


async def cut(app: Application, at: float, member: str, *start: Event, **fields: Any) -> Any:
    """The snapshot of a conversation after so many seconds, by way of JSON; it is cancelled then."""
    async with app, app.run(member, *start, **fields) as run:
        await anyio.sleep(at)
        data = run.ctx.to_dict()
        await run.cancel()
    return json.loads(json.dumps(data, allow_nan=False))


async def test_what_another_member_does_is_done_again_and_its_answer_finds_who_sent():
    data = await cut(Application(monitor=Monitor(), orders=Station()), 3, "monitor", sku="tea", seconds=5)
    station = Station()
    async with Application(monitor=Monitor(), orders=station) as app:
        assert await app.resume(data) == "traded tea"
    assert station.log == ["begin tea", "end tea"]
    assert len(app.dead_letters) == 0


class Half(Event):
    n: int


class Whole(Event):
    total: int


class Sends(Workflow[str]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Half | None:
        for n in range(3):
            ctx.send_event(Half(n=n))

    @step
    async def end(self, ctx: Context, ev: Whole) -> StopEvent[str]:
        return StopEvent(result=f"{ev.total} in {ctx.run_id}")


class Collects(Workflow):
    """Works on halves one after the other, a second each."""

    @step(num_workers=1)
    async def collect(self, ctx: Context, ev: Half) -> Whole | None:
        await anyio.sleep(1)
        async with ctx.store.edit_state() as state:
            state["seen"] = [*state.get("seen", []), ev.n]
        batch = ctx.collect_events(ev, [Half] * 3)
        return Whole(total=sum(each.n for each in batch)) if batch else None


@pytest.mark.parametrize("at", [0, 0.5, 1.5, 2.5])
async def test_what_is_half_collected_queued_or_at_work_in_a_member_goes_on(at: float):
    data = await cut(Application(a=Sends(), b=Collects()), at, "a")
    async with Application(a=Sends(), b=Collects()) as app:
        again = app.resume(data)
        result = await again
    assert result == f"3 in {data['runs'][0]['run_id']}"
    assert len(app.dead_letters) == 0
    if at == 2.5:
        assert data["runs"][1]["state"] == {"seen": [0, 1]}


@pytest.mark.parametrize("limit", [2.5, None])
async def test_a_member_that_rests_keeps_its_state_and_its_run(limit: float | None):
    class Paces(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Half | None:
            ctx.send_event(Half(n=1))
            await ctx.wait_for_event(HumanResponseEvent)
            for n in (2, 3):
                ctx.send_event(Half(n=n))

        @step
        async def end(self, ev: Whole) -> StopEvent[str]:
            return StopEvent(result=str(ev.total))

    data = await cut(Application(a=Paces(timeout=None), b=Collects(timeout=2)), 90, "a")
    async with (
        Application(a=Paces(timeout=None), b=Collects(timeout=limit)) as app,
        app.resume(data) as run,
    ):
        await anyio.sleep(90)  # who rests does not age
        run.send_event(HumanResponseEvent())
        # The step that waited began again, and has sent its first half once more.
        assert await run == "4"
    assert [letter.event for letter in app.dead_letters] == [Half(n=3)]


@pytest.mark.parametrize("limit", [5, None])
async def test_the_time_that_is_left_is_left(limit: float | None):
    data = await cut(Application(a=Monitor(timeout=9), b=Station(timeout=5)), 3, "a", sku="tea", seconds=60)
    async with Application(a=Monitor(timeout=9), b=Station(timeout=limit)) as app:
        began = anyio.current_time()
        with pytest.raises(WorkflowTimeoutError, match=r"^Station timed out after 5 s"):
            await app.resume(data)
        assert anyio.current_time() - began == pytest.approx(2)


async def test_after_the_stop_event_the_others_finish_what_they_had_begun():
    data = await cut(
        Application(monitor=Forgetful(), orders=Station()), 2, "monitor", sku="tea", seconds=5, count=3
    )
    station = Station()
    async with Application(monitor=Forgetful(), orders=station) as app:
        assert await app.resume(data) == "sent"
    assert sorted(line for line in station.log if "end" in line) == ["end tea0", "end tea1", "end tea2"]
    assert sorted(vars(letter.event)["sku"] for letter in app.dead_letters) == ["tea0", "tea1", "tea2"]


async def test_what_the_run_that_was_called_had_not_used_is_told_after_a_restart_too():
    class Leaves(Workflow[str]):
        @step(num_workers=1)
        async def half(self, ctx: Context, ev: Half) -> StopEvent[str] | Trade:
            ctx.send_event(Trade(sku="x", seconds=4))
            return StopEvent(result="sent")

        @step
        async def begin(self, ev: StartEvent) -> list[Half]:
            return [Half(n=0), Half(n=1)]

    data = await cut(Application(a=Leaves(), b=Station()), 1, "a")
    async with Application(a=Leaves(), b=Station()) as app:
        assert await app.resume(data) == "sent"
    assert {type(letter.event) for letter in app.dead_letters} == {Half, Traded}


async def test_a_step_that_asks_asks_again():
    data = await cut(Application(asker=Asker(), oracle=Oracle()), 2.5, "asker", seconds=2)
    assert [run["member"] for run in data["runs"]] == ["asker"]
    oracle = Oracle()
    async with Application(asker=Asker(), oracle=oracle) as app:
        assert await app.resume(data) == 110
    assert oracle.log == ["asked 1", "left 1", "asked 10", "left 10"]


async def test_a_snapshot_from_a_step_of_a_request_is_that_of_the_whole_conversation():
    taken: list[Any] = []

    class Tells(Workflow):
        @step
        async def answer(self, ctx: Context, ev: Ask) -> Answer:
            taken.append(ctx.to_dict())
            return Answer(n=10 * ev.n)

    async with Application(asker=Asker(), oracle=Tells()) as app:
        assert await app.run("asker") == 110
    async with Application(asker=Asker(), oracle=Tells()) as app:
        assert await app.resume(taken[0]) == 110


async def test_events_of_one_key_find_their_run_again():
    class Keyed(Workflow[list[str]]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[list[str]] | Trade:
            for n in range(4):
                ctx.send_event(Trade(sku="ab"[n % 2], seconds=n))
            return StopEvent(result=[])

    class Counts(Workflow):
        def __init__(self, runs: dict[str, set[str]]) -> None:
            self.runs = runs
            super().__init__()

        @step(num_workers=1)
        async def trade(self, ctx: Context, ev: Trade) -> None:
            self.runs.setdefault(ev.sku, set()).add(ctx.run_id)
            await anyio.sleep(ev.seconds)

    def application(runs: dict[str, set[str]]) -> Application:
        return Application(a=Keyed(), b=Counts(runs)).connect(Trade, key=lambda ev: ev.sku)

    runs: dict[str, set[str]] = {}
    data = await cut(application(runs), 0.5, "a")
    assert sorted(run["key"] for run in data["runs"][1:]) == ["a", "b"]
    async with application(runs) as app:
        assert await app.resume(data) == []
    assert {sku: len(ids) for sku, ids in runs.items()} == {"a": 1, "b": 1}


async def test_an_answer_finds_the_run_that_it_is_for_among_several_of_one_member():
    class Starts(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for sku in "ab":
                ctx.send_event(Trade(sku=sku))
            return StopEvent(result="sent")

    class Asks(Workflow):
        def __init__(self) -> None:
            self.told: dict[str, int] = {}
            super().__init__()

        @step
        async def trade(self, ctx: Context, ev: Trade) -> Ask:
            await ctx.store.set("sku", ev.sku)
            return Ask(n=ord(ev.sku), seconds=2)

        @step
        async def told_it(self, ctx: Context, ev: Answer) -> None:
            self.told[await ctx.store.get("sku", "none")] = ev.n

    def application(asks: Asks) -> Application:
        return Application(a=Starts(), b=asks, c=Oracle()).connect(Trade, key=lambda ev: ev.sku)

    asks = Asks()
    data = await cut(application(asks), 1, "a")
    async with application(asks) as app:
        assert await app.resume(data) == "sent"
    assert asks.told == {"a": 970, "b": 980}


async def test_an_attempt_that_is_due_later_is_made_in_a_member_too():
    class Flaky(Workflow):
        @step(retry_policy=RetryPolicy(attempts=3, wait=fixed(10)))
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            if ctx.attempt.number < 3:
                raise Boom(ev.sku)
            return Traded(sku=f"{ev.sku} at {ctx.attempt.number}")

    data = await cut(Application(a=Monitor(), b=Flaky()), 4, "a", sku="tea")
    async with Application(a=Monitor(), b=Flaky()) as app:
        began = anyio.current_time()
        assert await app.resume(data) == "traded tea at 3"
        assert anyio.current_time() - began == pytest.approx(16)


async def test_a_conversation_that_is_resumed_and_stuck_says_so():
    class Waits(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            await ctx.wait_for_event(HumanResponseEvent)
            return Traded(sku=ev.sku)

    class Loses(Workflow):
        @step
        async def trade(self, ev: Trade) -> Traded | None:
            return None

    Loses.__name__ = "Waits"
    Loses._forget_blueprint()
    data = await cut(Application(a=Monitor(), b=Waits()), 1, "a", sku="tea")
    async with Application(a=Monitor(), b=Loses()) as app:
        with pytest.raises(WorkflowStalledError, match="conversation of a"):
            await app.resume(data)


async def test_a_run_that_was_closed_finishes_and_the_next_event_opens_another():
    class Paces(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for n in range(2):
                ctx.send_event(Trade(sku=str(n), seconds=3 - n))
            await ctx.sleep(5)
            return StopEvent(result="sent")

    class Closer(Workflow[str]):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> StopEvent[str]:
            await anyio.sleep(ev.seconds)
            return StopEvent(result=ev.sku)

    data = await cut(Application(a=Paces(), b=Closer()), 2.5, "a")
    assert [(run.get("past"), run.get("closed")) for run in data["runs"]] == [(None, None), (True, True)]
    async with Application(a=Paces(), b=Closer()) as app:
        assert await app.resume(data) == "sent"
    # One of the run that was closed before, and one of what the step sends that runs again.
    assert [letter.event for letter in app.dead_letters] == [StopEvent(result="0")] * 2


async def test_one_that_is_cancelled_before_it_begins_tells_what_it_had():
    data = await cut(Application(a=Sends(), b=Collects()), 1.5, "a")
    async with Application(a=Sends(), b=Collects()) as app:
        run = app.resume(data)
        await run.cancel()
        with pytest.raises(WorkflowCancelledError):
            await run
    assert {letter.event for letter in app.dead_letters if isinstance(letter.event, Half)} == {
        Half(n=n) for n in range(3)
    }


async def test_what_is_over_or_asked_from_outside_has_no_snapshot():
    async with Application(a=Monitor(), b=Station()) as app, app.run("a", sku="tea") as run:
        await run
        with pytest.raises(SnapshotError, match=r"conversation of a \(Monitor\) is over"):
            run.ctx.to_dict()
    taken: list[str] = []

    class Tells(Workflow):
        @step
        async def answer(self, ctx: Context, ev: Ask) -> Answer:
            with pytest.raises(SnapshotError) as caught:
                ctx.to_dict()
            taken.append(str(caught.value))
            return Answer()

    async with Application(a=Tells(), external=[Ask]) as app:
        await app.request(Ask(), reply=Answer)
    assert taken == [
        (
            "this conversation was opened by app.request, and after a restart nobody would be there for the reply of a "
            "(Tells); take snapshots of what app.run(…) began"
        )
    ]


class Sealed(Event):
    value: object


class Seals(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> Sealed:
        return Sealed(value=open)

    @step
    async def end(self, ev: Whole) -> StopEvent[str]:
        return StopEvent(result="")


class Opens(Workflow):
    @step
    async def take(self, ctx: Context, ev: Sealed) -> Whole:
        await ctx.sleep(9)
        return Whole(total=0)


async def test_what_cannot_be_written_is_told_with_the_run_that_has_it():
    async with Application(a=Seals(), b=Opens()) as app, app.run("a") as run:
        await anyio.sleep(1)
        with pytest.raises(SnapshotError, match=r"^runs\[1\]\.active\[0\]\.event\.value: "):
            run.ctx.to_dict()


CHANGES: list[tuple[Any, str]] = [
    (lambda data: data.pop("application"), "the snapshot: 'application' is missing"),
    (
        lambda data: data["application"].update(stock="Stock"),
        "application.stock: the application has no member 'stock', it has: a, b",
    ),
    (
        lambda data: data["application"].update(b="Stock"),
        (
            "application.b: the member b was a Stock, and is a Collects here; resume it in an application with the "
            "same members"
        ),
    ),
    (lambda data: data.update(runs=[]), "runs: this should be a list of at least one run, and is []"),
    (
        lambda data: data["runs"][1].update(member="c"),
        "runs[1].member: this should be a member: a, b, and is 'c'",
    ),
    (
        lambda data: data["runs"][1]["active"][0].update(behalf=7),
        "runs[1].active[0].behalf: this should be a whole number from 0 to 1, and is 7",
    ),
    (
        lambda data: data["runs"][0].update(stopped=[0]),
        "runs[0].stopped[0]: this should be the number of a StopEvent, and is 0",
    ),
    (
        lambda data: data["runs"][1].update(key={}),
        "runs[1].key: this should be something that can be hashed, and is {}",
    ),
]


@pytest.mark.parametrize(("change", "text"), CHANGES)
async def test_what_does_not_fit_is_told(change: Any, text: str):
    data = await cut(Application(a=Sends(), b=Collects()), 1.5, "a")
    change(data)
    async with Application(a=Sends(), b=Collects()) as app:
        with pytest.raises(SnapshotError) as caught:
            app.resume(data)
        assert str(caught.value) == text


async def test_outside_of_its_block_an_application_resumes_nothing():
    with pytest.raises(WorkflowError, match=r"^app\.resume belongs into the block"):
        Application(a=Monitor(), b=Station()).resume({})
