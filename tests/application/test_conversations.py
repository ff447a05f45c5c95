"""What a call of a member causes: which runs, when it is over, and what becomes of what is under way."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from stretto import (
    Application,
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    QueueFullError,
    RunEndedError,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.errors import DeadLetterError, RoutingError
from stretto.events import Streamed
from tests.application.programs import (
    Answer,
    Ask,
    Boom,
    Closer,
    Forgetful,
    Monitor,
    Station,
    Trade,
    Traded,
)

pytestmark = pytest.mark.anyio


async def test_a_member_is_sent_what_another_member_sends_and_neither_knows_the_other():
    station = Station()
    async with Application(monitor=Monitor(), orders=station) as app:
        assert await app.run("monitor", sku="tea") == "traded tea"
    assert station.log == ["begin tea", "end tea"]
    assert len(app.dead_letters) == 0


async def test_calls_share_the_member_and_no_run():
    class Counts(Workflow):
        def __init__(self) -> None:
            self.runs: dict[str, list[str]] = {}
            super().__init__()

        @step
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            self.runs.setdefault(ctx.run_id, []).append(ev.sku)
            return Traded(sku=ev.sku)

    counts = Counts()
    got: dict[str, str] = {}

    async with Application(monitor=Monitor(), orders=counts) as app, anyio.create_task_group() as tg:

        async def call(sku: str) -> None:
            got[sku] = await app.run("monitor", sku=sku)

        for sku in "abc":
            tg.start_soon(call, sku)
    assert got == {sku: f"traded {sku}" for sku in "abc"}
    assert sorted(counts.runs.values()) == [["a"], ["b"], ["c"]]


async def test_a_member_has_one_run_in_a_conversation_and_collects_in_it():
    class Half(Event):
        n: int

    class Whole(Event):
        pass

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Half | None:
            for n in range(3):
                ctx.send_event(Half(n=n))
                await anyio.sleep(1)

        @step
        async def end(self, ev: Whole) -> StopEvent[str]:
            return StopEvent(result="whole")

    class Collects(Workflow):
        @step
        async def collect(self, ctx: Context, ev: Half) -> Whole | None:
            return Whole() if ctx.collect_events(ev, [Half] * 3) else None

    async with Application(a=Sends(), b=Collects()) as app:
        assert await app.run("a") == "whole"
        assert await app.run("a") == "whole"


async def test_after_the_stop_event_the_others_finish_what_they_have_begun():
    station = Station()
    async with Application(monitor=Forgetful(), orders=station) as app:
        began = anyio.current_time()
        assert await app.run("monitor", sku="tea", seconds=5, count=3) == "sent"
        assert anyio.current_time() - began == pytest.approx(5)
    assert sorted(station.log) == sorted(f"{what} tea{n}" for what in ("begin", "end") for n in range(3))
    # what comes back of it finds nobody who takes it
    assert sorted(vars(letter.event)["sku"] for letter in app.dead_letters) == ["tea0", "tea1", "tea2"]


async def test_after_the_stop_event_the_others_are_cut_if_that_is_asked_for():
    station = Station()
    async with Application(monitor=Forgetful(), orders=station, on_stop="cancel") as app:
        began = anyio.current_time()
        async with app.run("monitor", sku="tea", seconds=5, count=6) as run:
            assert await run == "sent"
        assert anyio.current_time() - began == pytest.approx(0)
    reported = {letter.event.sku for letter in app.dead_letters if isinstance(letter.event, Trade)}
    begun = {line.split()[1] for line in station.log if line.startswith("begin")}
    assert {line.split()[1] for line in station.log if line.startswith("end")} == begun
    assert reported | begun == {f"tea{n}" for n in range(6)}


async def test_steps_that_wait_when_all_is_quiet_after_the_stop_event_are_cancelled():
    class Waits(Workflow):
        cleaned = 0

        @step
        async def wait(self, ctx: Context, ev: Trade) -> Traded:
            try:
                await ctx.wait_for_event(HumanResponseEvent)
            finally:
                self.cleaned += 1
            return Traded(sku="never")

    waits = Waits()
    async with Application(monitor=Forgetful(), orders=waits) as app:
        assert await app.run("monitor", sku="tea") == "sent"
    assert waits.cleaned == 1


async def test_a_stop_event_of_a_run_without_a_caller_closes_it_and_the_next_event_opens_another():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for n in range(3):
                ctx.send_event(Trade(sku=str(n)))
                await anyio.sleep(2)
            return StopEvent(result="sent")

    closer = Closer()
    async with Application(a=Sends(), b=closer) as app:
        assert await app.run("a") == "sent"
    runs = [line.split()[-1] for line in closer.log if " in " in line]
    assert len(runs) == len(set(runs)) == 3
    assert len(app.dead_letters) == 0


async def test_what_a_closed_run_took_in_is_finished():
    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for n in range(3):
                ctx.send_event(Trade(sku=str(n), seconds=1 + n))
            return StopEvent(result="sent")

    closer = Closer()
    async with Application(a=Sends(), b=closer) as app:
        assert await app.run("a") == "sent"
    assert [line for line in closer.log if "end" in line] == ["end 0", "end 1", "end 2"]
    assert [letter.event for letter in app.dead_letters] == [StopEvent(result="1"), StopEvent(result="2")]


async def test_a_failure_comes_out_bare_where_its_conversation_was_called_and_nowhere_else():
    station = Station()
    outcomes: dict[str, Any] = {}

    async with Application(monitor=Monitor(), orders=station) as app, anyio.create_task_group() as tg:

        async def call(sku: str, fails: bool) -> None:
            try:
                outcomes[sku] = await app.run("monitor", sku=sku, seconds=3, fails=fails)
            except Boom as error:
                outcomes[sku] = error

        tg.start_soon(call, "bad", True)
        tg.start_soon(call, "good", False)
    assert outcomes["good"] == "traded good"
    assert isinstance(outcomes["bad"], Boom)
    notes = "\n".join(outcomes["bad"].__notes__)
    assert "Station.trade" in notes
    assert "orders (Station)" in notes
    assert "monitor (Monitor)" in notes


async def test_a_failure_during_the_drain_is_raised_and_tells_the_result():
    async with Application(monitor=Forgetful(), orders=Station()) as app:
        with pytest.raises(Boom) as caught:
            await app.run("monitor", sku="tea", seconds=2, fails=True)
    assert any("'sent'" in note for note in caught.value.__notes__)


async def test_the_deadline_holds_during_the_drain():
    station = Station()
    monitor = Forgetful(timeout=3)
    async with Application(monitor=monitor, orders=station) as app:
        began = anyio.current_time()
        with pytest.raises(WorkflowTimeoutError):
            await app.run("monitor", sku="tea", seconds=60)
        assert anyio.current_time() - began == pytest.approx(3)
    assert station.log == ["begin tea0", "end tea0"]


async def test_the_deadline_of_the_run_that_was_called_ends_the_others_too():
    station = Station()
    async with Application(monitor=Monitor(timeout=3), orders=station) as app:
        with pytest.raises(WorkflowTimeoutError, match=r"^Monitor timed out after 3 s"):
            await app.run("monitor", sku="tea", seconds=60)
    assert station.log == ["begin tea", "end tea"]
    assert [letter.event for letter in app.dead_letters] == []


async def test_a_run_that_was_opened_has_its_own_time_limit_and_does_not_age_while_it_is_idle():
    class Paces(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for n in range(5):
                ctx.send_event(Trade(sku=str(n), seconds=2))
                await anyio.sleep(10)
            return StopEvent(result="sent")

    async with Application(a=Paces(timeout=None), b=Station(timeout=3)) as app:
        assert await app.run("a") == "sent"
        with pytest.raises(WorkflowTimeoutError, match=r"^Station timed out after 3 s"):
            await app.run("b", Trade(sku="late", seconds=9))


async def test_an_opened_run_that_is_late_fails_its_conversation():
    async with Application(a=Monitor(timeout=None), b=Station(timeout=3)) as app:
        began = anyio.current_time()
        with pytest.raises(WorkflowTimeoutError, match=r"^Station timed out after 3 s"):
            await app.run("a", sku="tea", seconds=9)
        assert anyio.current_time() - began == pytest.approx(3)


async def test_a_conversation_in_which_nothing_is_left_to_run_is_stuck_at_once():
    class Loses(Workflow):
        @step
        async def trade(self, ev: Trade) -> Traded | None:
            return None

    async with Application(monitor=Monitor(), orders=Loses()) as app:
        began = anyio.current_time()
        with pytest.raises(WorkflowStalledError, match="conversation of monitor"):
            await app.run("monitor", sku="tea")
        assert anyio.current_time() == began


async def test_a_conversation_whose_runs_wait_for_each_other_is_stuck():
    class A(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | Trade:
            ctx.send_event(Trade(sku="x"))
            await ctx.wait_for_event(Traded)
            return StopEvent()

    class B(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            await ctx.wait_for_event(Trade)
            return Traded(sku="never")

    async with Application(a=A(), b=B()) as app:
        with pytest.raises(WorkflowStalledError, match="waits for Traded"):
            await app.run("a")


async def test_a_wait_for_what_comes_from_outside_keeps_a_conversation_going():
    class Waits(Workflow):
        @step
        async def wait(self, ctx: Context, ev: Trade) -> Traded:
            answer = await ctx.wait_for_event(HumanResponseEvent)
            return Traded(sku=answer.text)

    async with Application(monitor=Monitor(), orders=Waits()) as app, app.run("monitor", sku="tea") as run:
        await anyio.sleep(5)
        run.send_event(HumanResponseEvent(text="coffee"))
        assert await run == "traded coffee"


async def test_a_wait_with_a_time_limit_is_a_timer():
    class Waits(Workflow):
        @step
        async def wait(self, ctx: Context, ev: Trade) -> Traded:
            try:
                await ctx.wait_for_event(Trade, timeout=4)
            except TimeoutError:
                return Traded(sku="late")
            return Traded(sku="never")

    async with Application(monitor=Monitor(), orders=Waits()) as app:
        assert await app.run("monitor", sku="tea") == "traded late"


async def test_a_type_that_no_class_names_is_kept_for_who_is_worked_for():
    class Progress(Event):
        n: int

    class A(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[int] | Trade:
            ctx.send_event(Trade(sku="x"))
            kind: type[Event] = Progress
            first = await ctx.wait_for_event(kind)
            await anyio.sleep(3)
            second = await ctx.wait_for_event(kind)
            return StopEvent(result=first.n + second.n)

    class B(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Progress | None:
            ctx.send_event(Progress(n=1))
            await anyio.sleep(1)
            ctx.send_event(Progress(n=2))

    async with Application(a=A(), b=B()) as app:
        assert await app.run("a") == 3
    assert len(app.dead_letters) == 0


async def test_two_way_talk_in_the_middle_of_a_run_comes_back_to_the_run_that_asked():
    class Reply(Event):
        n: int

    class A(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Trade | None:
            for n in range(3):
                ctx.send_event(Trade(sku=str(n), seconds=3 - n))

        @step
        async def gather(self, ctx: Context, ev: Traded) -> Trade | StopEvent[list[str]] | None:
            got = ctx.collect_events(ev, [Traded] * 3)
            if got is None:
                return None
            if all(each.sku.startswith("again") for each in got):
                return StopEvent(result=[each.sku for each in got])
            for each in got:
                ctx.send_event(Trade(sku=f"again {each.sku}"))
            return None

    async with Application(a=A(), b=Station()) as app:
        assert sorted(await app.run("a")) == ["again 0", "again 1", "again 2"]


async def test_events_of_one_key_go_to_one_run_in_order_and_of_another_to_another():
    class Keyed(Workflow):
        def __init__(self) -> None:
            self.seen: dict[str, list[str]] = {}
            super().__init__()

        @step(num_workers=1)
        async def trade(self, ctx: Context, ev: Trade) -> None:
            self.seen.setdefault(ctx.run_id, []).append(ev.sku)
            await anyio.sleep(1)

    class Sends(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            for sku in ("a1", "b1", "a2", "b2", "a3"):
                ctx.send_event(Trade(sku=sku))
            return StopEvent(result="sent")

    keyed = Keyed()
    app = Application(a=Sends(), b=keyed).connect(Trade, key=lambda ev: ev.sku[0])
    async with app:
        began = anyio.current_time()
        await app.run("a")
        assert anyio.current_time() - began == pytest.approx(3)
    assert sorted(keyed.seen.values()) == [["a1", "a2", "a3"], ["b1", "b2"]]


class News(Event):
    n: int


class Slow(Workflow):
    """Works on one after the other, each so many seconds, and has room for one more."""

    def __init__(self, seconds: float, queue_size: int | None = 1) -> None:
        self.seconds = seconds
        self.log: list[tuple[float, int]] = []
        super().__init__(queue_size=queue_size, timeout=None)

    @step(num_workers=1)
    async def hear(self, ev: News) -> None:
        self.log.append((round(anyio.current_time(), 6), ev.n))
        await anyio.sleep(self.seconds)


@pytest.mark.parametrize("order", ["abc", "cab", "bca"])
async def test_a_broadcast_for_which_one_receiver_has_no_room_reaches_nobody(order: str):
    class Says(Workflow[list[int]]):
        @step
        async def say(self, ctx: Context, ev: StartEvent) -> StopEvent[list[int]] | News:
            refused: list[int] = []
            for n in range(4):
                try:
                    ctx.send_event(News(n=n))
                except QueueFullError as full:
                    refused.append(n)
                    told.append(str(full))
                await anyio.sleep(1)
            return StopEvent(result=refused)

    told: list[str] = []
    members = {"a": Slow(0), "b": Slow(2.5), "c": Slow(0, None)}
    ordered: dict[str, Any] = {name: members[name] for name in order}
    app = Application(says=Says(), **ordered, broadcast=[News])
    async with app:
        assert await app.run("says") == [2]
    heard = [[n for _, n in each.log] for each in members.values()]
    assert heard[0] == heard[1] == heard[2]
    assert "in the queue of Slow (1 queued, queue_size=1)" in told[0]


async def test_who_waits_to_broadcast_gives_it_to_each_as_soon_as_that_has_room():
    class Says(Workflow[list[float]]):
        @step
        async def say(self, ctx: Context, ev: StartEvent) -> StopEvent[list[float]] | News:
            times: list[float] = []
            for n in range(4):
                await ctx.send(News(n=n))
                times.append(anyio.current_time() - began)
            return StopEvent(result=times)

    began = anyio.current_time()
    quick, slow, last = Slow(0), Slow(3), Slow(0)
    async with Application(says=Says(), quick=quick, slow=slow, last=last, broadcast=[News]) as app:
        assert await app.run("says") == [0, 0, 3, 6]
    assert [n for _, n in quick.log] == [n for _, n in slow.log] == [n for _, n in last.log] == [0, 1, 2, 3]
    assert [at - began for at, _ in quick.log] == [0, 0, 0, 3]  # it is before the slow one
    assert [at - began for at, _ in last.log] == [0, 0, 3, 6]


async def test_a_sender_that_gets_its_own_broadcast_waits_for_room_of_its_own_too():
    class Says(Workflow[list[int]]):
        def __init__(self) -> None:
            self.heard: list[int] = []
            super().__init__(queue_size=1, timeout=20)

        @step
        async def say(self, ctx: Context, ev: StartEvent) -> News | None:
            for n in range(4):
                await ctx.send(News(n=n))

        @step(num_workers=1)
        async def hear(self, ev: News) -> StopEvent[list[int]] | None:
            await anyio.sleep(1)
            self.heard.append(ev.n)
            return StopEvent(result=self.heard) if len(self.heard) == 4 else None

    other = Slow(2)
    async with Application(says=Says(), other=other, broadcast=[News]) as app:
        assert await app.run("says") == [0, 1, 2, 3]
    assert [n for _, n in other.log] == [0, 1, 2, 3]


async def test_an_event_for_one_step_of_a_member_that_rests_or_was_not_opened_reaches_it():
    class Names(Workflow):
        def __init__(self) -> None:
            self.log: list[str] = []
            super().__init__()

        @step
        async def one(self, ev: Trade) -> None:
            self.log.append(f"one {ev.sku}")

        @step
        async def two(self, ev: Trade) -> Traded | None:
            self.log.append(f"two {ev.sku}")
            return Traded(sku=ev.sku) if ev.sku == "c" else None

    class Waits(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Trade | StopEvent[str]:
            await ctx.wait_for_event(HumanResponseEvent)
            return StopEvent(result="over")

        @step
        async def end(self, ev: Traded) -> StopEvent[str]:
            return StopEvent(result=ev.sku)

    names = Names()
    async with Application(waits=Waits(), names=names) as app, app.run("waits") as run:
        await anyio.sleep(1)
        run.send_event(Trade(sku="a"), step="one", to="names")  # it is opened by that
        await anyio.sleep(1)
        run.send_event(Trade(sku="b"), step="two", to="names")  # it rests
        await anyio.sleep(1)
        run.send_event(Trade(sku="c"), to="names")
        assert await run == "c"
    assert names.log == ["one a", "two b", "one c", "two c"]


async def test_a_broadcast_reaches_every_member_that_takes_it_the_sender_too():
    class Price(Event):
        cents: int

    heard: list[str] = []

    class Hears(Workflow[str]):
        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

        @step
        async def hear(self, ev: Price) -> None:
            heard.append(f"{self.name} {ev.cents}")

    class Says(Hears):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Price | StopEvent[str]:
            ctx.send_event(Price(cents=3))
            await anyio.sleep(1)
            return StopEvent(result="said")

    app = Application(x=Says("x"), y=Hears("y"), z=Hears("z"), broadcast=[Price])
    async with app:
        assert await app.run("x") == "said"
    assert sorted(heard) == ["x 3", "y 3", "z 3"]


async def test_connect_beats_what_the_types_say():
    class Own(Monitor):
        @step
        async def trade(self, ev: Trade) -> Traded:
            return Traded(sku="own")

    station = Station()
    app = Application(a=Own(), b=station, c=Station(), external=[Trade]).connect(Trade, source="a", to="b")
    async with app:
        assert await app.run("a", sku="tea") == "traded tea"
    assert station.log == ["begin tea", "end tea"]


async def test_an_event_that_would_cross_and_is_not_named_is_an_error_where_it_is_sent():
    class Sneaks(Workflow):
        told = ""

        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
            try:
                ctx.send_event(Trade(sku="x"))
            except UndeclaredEventError as error:
                self.told = str(error)
                raise
            return StopEvent()

    sneaks = Sneaks()
    async with Application(a=sneaks, m=Monitor(), b=Station()) as app:
        with pytest.raises(UndeclaredEventError):
            await app.run("a")
    assert "Sneaks.begin" in sneaks.told
    assert "b (Station)" in sneaks.told


async def test_dead_letters_can_be_counted_listened_to_and_made_errors():
    heard: list[object] = []
    async with Application(monitor=Forgetful(), orders=Station()) as app:
        app.dead_letters.listen(heard.append)
        await app.run("monitor", sku="tea")
    assert len(app.dead_letters) == 1
    assert heard == list(app.dead_letters)
    async with Application(monitor=Forgetful(), orders=Station(), dead_letters="error") as app:
        with pytest.raises(DeadLetterError) as caught:
            await app.run("monitor", sku="tea")
    assert caught.value.event == Traded(sku="tea0")


async def test_the_stream_has_the_events_of_all_runs_and_the_stop_event_last():
    class Says(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            await anyio.sleep(1)
            ctx.write_event_to_stream(Traded(sku="told"))
            return Traded(sku=ev.sku)

    async with Application(monitor=Forgetful(), orders=Says()) as app:
        async with app.run("monitor", sku="tea") as first:
            plain = [ev async for ev in first.stream_events()]
        assert plain == [Traded(sku="told"), StopEvent(result="sent")]
        async with app.run("monitor", sku="tea") as run:
            origins = [ev async for ev in run.stream_events(origins=True)]
    told = [(ev.member, ev.step, ev.event) for ev in origins if isinstance(ev, Streamed)]
    assert told == [
        ("orders", "trade", Traded(sku="told")),
        ("monitor", None, StopEvent(result="sent")),
    ]


async def test_leaving_the_application_waits_for_what_is_open():
    station = Station()
    results: list[str] = []

    async def call(app: Application) -> None:
        results.append(await app.run("monitor", sku="tea", seconds=7))

    async with anyio.create_task_group() as tg:
        async with Application(monitor=Monitor(), orders=station) as app:
            tg.start_soon(call, app)  # noqa: ASYNC111 - the application is left first
            await anyio.sleep(1)
        assert anyio.current_time() >= 7
        assert station.log == ["begin tea", "end tea"]
    assert results == ["traded tea"]


async def test_leaving_by_an_error_cancels_what_is_open_and_tells_who_awaits_it():
    station = Station()
    told: list[BaseException] = []

    async def call(app: Application) -> None:
        try:
            await app.run("monitor", sku="tea", seconds=math.inf)
        except WorkflowCancelledError as error:
            told.append(error)

    async with anyio.create_task_group() as tg:
        with pytest.raises(Boom):
            async with Application(monitor=Monitor(), orders=station) as app:
                tg.start_soon(call, app)  # noqa: ASYNC111 - the application is left first
                await anyio.sleep(1)
                raise Boom
        assert station.log == ["begin tea", "end tea"]
    assert len(told) == 1


async def test_outside_of_its_block_an_application_runs_nothing():
    app = Application(monitor=Monitor(), orders=Station())
    with pytest.raises(WorkflowError, match="block"):
        app.run("monitor", sku="tea")
    async with app:
        pass
    with pytest.raises(WorkflowError, match="block"):
        app.run("monitor", sku="tea")


async def test_the_callers_cancellation_ends_the_whole_conversation():
    station = Station()
    async with Application(monitor=Monitor(), orders=station) as app:
        with anyio.move_on_after(2) as scope:
            await app.run("monitor", sku="tea", seconds=60)
        assert scope.cancelled_caught
        assert station.log == ["begin tea", "end tea"]


async def test_the_callers_cancellation_during_the_drain_goes_on():
    station = Station()
    async with Application(monitor=Forgetful(), orders=station) as app:
        with anyio.move_on_after(2) as scope:
            await app.run("monitor", sku="tea", seconds=60)
        assert scope.cancelled_caught
        assert station.log == ["begin tea0", "end tea0"]


async def test_a_run_that_is_cancelled_by_its_handler_takes_the_others_along():
    station = Station()
    async with (
        Application(monitor=Monitor(), orders=station) as app,
        app.run("monitor", sku="tea", seconds=60) as run,
    ):
        await anyio.sleep(1)
        await run.cancel()
        assert station.log == ["begin tea", "end tea"]
        with pytest.raises(RunEndedError):
            run.send_event(Traded(sku="x"))


async def test_an_event_from_outside_that_several_runs_would_take_says_which():
    class Waits(Workflow):
        @step
        async def wait(self, ctx: Context, ev: Trade) -> Traded:
            return Traded(sku=(await ctx.wait_for_event(HumanResponseEvent)).text)

    class Both(Monitor):
        @step
        async def hear(self, ctx: Context, ev: StartEvent) -> None:
            await ctx.wait_for_event(HumanResponseEvent)

    async with Application(a=Both(), b=Waits()) as app, app.run("a", sku="tea") as run:
        await anyio.sleep(1)
        with pytest.raises(RoutingError, match="several runs"):
            run.send_event(HumanResponseEvent(text="x"))
        with pytest.raises(RoutingError, match="did you mean 'b'"):
            run.send_event(HumanResponseEvent(text="x"), to="bb")
        run.send_event(HumanResponseEvent(text="x"), to="b")
        assert await run == "traded x"


async def test_a_call_may_begin_with_any_event_that_the_member_takes():
    class Ends(Workflow[str]):
        @step
        async def trade(self, ev: Trade) -> StopEvent[str]:
            return StopEvent(result=ev.sku)

    async with Application(a=Monitor(), b=Ends()) as app:
        assert await app.run("b", Trade(sku="direct")) == "direct"


async def test_a_stop_event_past_the_deadline_comes_too_late_whoever_blocked():
    class Blocks(Workflow):
        @step
        async def trade(self, ev: Trade) -> Traded:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)
            return Traded(sku=ev.sku)

    async with Application(monitor=Monitor(timeout=3), orders=Blocks()) as app:
        with pytest.raises(WorkflowTimeoutError):
            await app.run("monitor", sku="tea")


class Hears(Workflow[str]):
    """Takes what people say, and nobody in the application says it."""

    @step
    async def hear(self, ev: HumanResponseEvent) -> StopEvent[str]:
        heard.append(ev.text)
        return StopEvent(result=ev.text)


heard: list[str] = []


class Waiting(Workflow[str]):
    @step
    async def begin(self, ev: StartEvent) -> None:
        await anyio.sleep(ev.seconds)

    @step
    async def end(self, ev: Traded) -> StopEvent[str]:
        return StopEvent(result=ev.sku)


async def test_an_event_from_outside_opens_a_run_of_the_member_that_takes_it():
    heard.clear()
    async with Application(a=Waiting(), b=Hears(), external=[Traded]) as app, app.run("a", seconds=9) as run:
        run.send_event(HumanResponseEvent(text="early"))  # before anything of it has begun
        await anyio.sleep(1)
        run.send_event(HumanResponseEvent(text="late"), to="b")
        await anyio.sleep(1)
        run.send_event(Traded(sku="x"), step="end")
        assert await run == "x"
    assert heard == ["early", "late"]


async def test_what_a_member_asks_in_its_middle_is_in_the_stream_of_the_call():
    class Asks(Workflow[None]):
        @step
        async def ask(self, ctx: Context, ev: Trade) -> Traded:
            question = InputRequiredEvent(question=ev.sku)
            answer = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question)
            return Traded(sku=answer.text)

    class Wants(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Trade:
            return Trade(sku="tea")

        @step
        async def end(self, ev: Traded) -> StopEvent[str]:
            return StopEvent(result=ev.sku)

    async with Application(wants=Wants(), asks=Asks()) as app, app.run("wants") as run:
        async for ev in run.stream_events():
            if isinstance(ev, InputRequiredEvent):
                run.send_event(HumanResponseEvent(text="green tea"))
        assert await run == "green tea"


async def test_an_event_from_outside_that_several_members_take_says_which():
    app = Application(a=Waiting(), b=Hears(), c=Hears(), external=[Traded])
    async with app, app.run("a", seconds=9) as run:
        with pytest.raises(RoutingError, match=r"taken by several members: b, c; .* to='b'"):
            run.send_event(HumanResponseEvent(text="x"))
        run.send_event(Trade(sku="kept"))  # nobody takes it: it waits in the run that was called
        run.send_event(Traded(sku="x"))
        assert await run == "x"
    assert run.leftovers == (Trade(sku="kept"),)


async def test_what_is_sent_on_behalf_of_a_conversation_that_is_over_is_a_dead_letter():
    """A task that a step has left behind sends to a run of a conversation that has ended meanwhile."""
    sends: list[Context] = []

    class Keeps(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Trade:
            sends.append(ctx)
            return StopEvent(result="kept")

    async with Application(a=Keeps(), b=Station()) as app:
        assert await app.run("a") == "kept"
        sends[0].send_event(Trade(sku="late"))
    assert [letter.event for letter in app.dead_letters] == [Trade(sku="late")]


# -- the whole conversation by its handler -----------------------------------------------------------------------


class Go(Event, external=True):
    pass


async def test_the_handler_tells_what_each_member_waits_for_also_in_a_request():
    class Waits(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Ask:
            await ctx.sleep(0.5)
            await ctx.wait_for_event(HumanResponseEvent, waiter_id="the human")
            await ctx.request(Ask(), reply=Answer)
            return Ask()

    class Answers(Workflow):
        @step
        async def answer(self, ctx: Context, ev: Ask) -> Answer:
            await ctx.wait_for_event(HumanResponseEvent)
            return Answer()

        @step
        async def go(self, ev: Go) -> None:
            pass

    def told() -> list[tuple[str | None, str, str]]:
        return [(each.member, each.step, each.kind.__name__) for each in run.waiting_for]

    app = Application(monitor=Monitor(), orders=Waits(), prices=Answers())
    async with app, app.run("monitor", sku="tea") as run:
        await anyio.sleep(0.25)
        assert not run.idle, "another member is at work"
        await anyio.sleep(0.75)
        assert told() == [("orders", "trade", "HumanResponseEvent")]
        assert run.waiting_for[0].waiter_id == "the human"
        assert run.idle
        run.send_event(HumanResponseEvent())
        await anyio.sleep(1)
        assert told() == [
            ("orders", "trade", "the reply Answer"),
            ("prices", "answer", "HumanResponseEvent"),
            ("prices", "go", "Go"),
        ]
        assert [each.outside for each in run.waiting_for] == [False, True, True]
        assert run.idle, "who asked waits, and who is asked does"
        await run.cancel()
        assert run.waiting_for == ()
        assert not run.idle


async def test_the_handler_has_the_dead_letters_of_its_own_conversation_with_the_members():
    async with Application(monitor=Forgetful(), orders=Station()) as app:
        one, other = app.run("monitor", sku="tea"), app.run("monitor", sku="milk", count=2)
        assert one.dead_letters == ()
        await one
        await other
    assert [(vars(each.event)["sku"], each.member) for each in one.dead_letters] == [("tea0", "orders")]
    assert [each.member for each in other.dead_letters] == ["orders"] * 2
    assert [each.member for each in app.dead_letters] == ["orders"] * 3


async def test_what_comes_from_outside_is_kept_for_a_wait_that_begins_later_in_any_member():
    class Waits(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            await anyio.sleep(2)
            first = await ctx.wait_for_event(HumanResponseEvent, requirements={"n": 1})
            second = await ctx.wait_for_event(HumanResponseEvent)
            return Traded(sku=first.text + second.text)

    async with Application(monitor=Monitor(), orders=Waits()) as app, app.run("monitor", sku="tea") as run:
        run.send_event(HumanResponseEvent(text="fee", n=2))
        run.send_event(HumanResponseEvent(text="cof", n=1))
        assert await run == "traded coffee"
    assert len(app.dead_letters) == 0


async def test_a_condition_that_fails_on_what_came_from_outside_before_fails_its_step():
    def fails(ev: HumanResponseEvent) -> bool:
        raise Boom(ev.text)

    class Waits(Workflow):
        @step
        async def trade(self, ctx: Context, ev: Trade) -> Traded:
            await anyio.sleep(2)
            await ctx.wait_for_event(HumanResponseEvent, where=fails)
            return Traded(sku="never")

    async with Application(monitor=Monitor(), orders=Waits()) as app:
        with pytest.raises(Boom, match="fee"):
            async with app.run("monitor", sku="tea") as run:
                run.send_event(HumanResponseEvent(text="fee"))
                await run


class Stuffed(Workflow[None]):
    """Has room for one."""

    def __init__(self) -> None:
        self.done: list[str] = []
        super().__init__(queue_size=1, timeout=None)

    @step(num_workers=1)
    async def trade(self, ev: Trade) -> None:
        await anyio.sleep(2)
        self.done.append(ev.sku)


async def test_a_step_that_sends_waits_for_room_in_the_member_that_gets_it():
    class Sends(Workflow[float]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[float] | Trade:
            began = anyio.current_time()
            for n in range(4):
                await ctx.send(Trade(sku=f"{n}"))
            with pytest.raises(QueueFullError):
                ctx.send_event(Trade(sku="refused"))
            return StopEvent(result=anyio.current_time() - began)

    stuffed = Stuffed()
    async with Application(a=Sends(), b=stuffed) as app:
        assert await app.run("a") == pytest.approx(4)
    assert stuffed.done == ["0", "1", "2", "3"]
    assert len(app.dead_letters) == 0


async def test_what_a_step_returns_needs_no_room_in_another_member_either():
    """It ended the conversation with an InternalError, because nobody was there whom the refusal could be told."""

    class Lists(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> list[Trade]:
            return [Trade(sku=f"{n}") for n in range(4)]

        @step
        async def end(self, ev: Go) -> StopEvent[str]:
            return StopEvent(result="gone")

    stuffed = Stuffed()
    async with Application(a=Lists(), b=stuffed) as app, app.run("a") as run:
        await anyio.sleep(1)
        run.send_event(Go())
        assert await run == "gone"
    assert stuffed.done == ["0", "1", "2", "3"]


async def test_who_sends_from_outside_waits_for_room_in_the_member_that_gets_it():
    class Listens(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> Trade:
            return Trade(sku=ev.sku)

        @step
        async def end(self, ev: Go) -> StopEvent[str]:
            return StopEvent(result="gone")

    stuffed = Stuffed()
    app = Application(a=Listens(), b=stuffed)
    async with app, app.run("a", sku="0") as run:
        await anyio.sleep(1)
        began = anyio.current_time()
        for n in range(1, 4):
            await run.send(Trade(sku=f"{n}"), to="b")
        assert anyio.current_time() - began == pytest.approx(3)
        with pytest.raises(RoutingError, match="has no member 'd'"):
            await run.send(Trade(sku="x"), to="d")
        run.send_event(Go())
        assert await run == "gone"
    assert stuffed.done == ["0", "1", "2", "3"]


@pytest.mark.parametrize("how", ["fails", "is late", "is cancelled"])
async def test_the_others_do_not_go_on_while_the_run_that_was_called_cleans_up(how: str):
    """They worked on, for as long as the clean-up took."""

    class Root(Workflow[None]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Trade | StopEvent:
            ctx.send_event(Trade(sku="tea", seconds=8))
            await anyio.sleep(1)
            if how == "fails":
                raise Boom("root")
            await anyio.sleep(60)
            return StopEvent()

        @step
        async def slow(self, ev: StartEvent) -> None:
            try:
                await anyio.sleep(60)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(5)

        @step
        async def traded(self, ev: Traded) -> None: ...

    ends: list[float] = []

    class Clocked(Workflow):
        @step
        async def trade(self, ev: Trade) -> Traded:
            try:
                await anyio.sleep(ev.seconds)
            finally:
                ends.append(anyio.current_time() - began)
            return Traded(sku=ev.sku)

    async with Application(a=Root(timeout=1 if how == "is late" else None), b=Clocked()) as app:
        began = anyio.current_time()
        with pytest.raises((Boom, WorkflowTimeoutError, WorkflowCancelledError)):
            async with app.run("a") as run:
                await anyio.sleep(1)
                if how == "is cancelled":
                    await run.cancel()
                await run
        assert (ends, anyio.current_time() - began) == ([1], pytest.approx(6))


# -- what feeds a conversation from outside, and what does not ------------------------------------------------------


class Hint(Event):
    n: int


class Both(Event, external=True):
    """From outside, and from a member too."""

    n: int


@pytest.mark.parametrize("kind", [Hint, Both])
async def test_a_wait_for_what_no_member_sends_or_for_what_may_come_from_outside_too_keeps_it_going(
    kind: type[Hint | Both],
):
    class Waits(Workflow):
        @step
        async def wait(self, ctx: Context, ev: Trade) -> Traded | Both:
            hint = await ctx.wait_for_event(kind)
            return Traded(sku=str(hint.n))

    class Hears(Workflow):
        @step
        async def hear(self, ev: HumanResponseEvent) -> Both:
            return Both(n=0)

    app = Application(monitor=Monitor(), orders=Waits(), hears=Hears())
    async with app, app.run("monitor", sku="tea") as run:
        await anyio.sleep(5)
        run.send_event(kind(n=7))
        assert await run == "traded 7"


@pytest.mark.parametrize("kind", [Hint, Both])
async def test_an_opened_run_whose_step_takes_an_external_type_keeps_it_going(kind: type[Hint | Both]):
    class Orders(Workflow):
        @step
        async def trade(self, ev: Trade) -> None: ...

        @step
        async def hear(self, ev: kind) -> Traded:  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]
            return Traded(sku=str(ev.n))  # type: ignore[attr-defined]

    external = [Hint] if kind is Hint else []
    app = Application(monitor=Monitor(), orders=Orders(), external=external)
    async with app, app.run("monitor", sku="tea") as run:
        await anyio.sleep(5)
        run.send_event(kind(n=7))
        assert await run == "traded 7"


async def test_a_failure_says_what_was_at_work_in_other_members_meanwhile():
    class Works(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Trade | None:
            ctx.send_event(Trade(sku="tea", seconds=2, fails=True))
            await anyio.sleep(9)

        @step
        async def end(self, ev: Traded) -> StopEvent: ...

    async with Application(works=Works(), orders=Station()) as app:
        with pytest.raises(Boom) as caught:
            await app.run("works")
    (note,) = [note for note in caught.value.__notes__ if "meanwhile" in note]
    assert note.startswith("meanwhile in works: active: Works.begin (")
    assert note.endswith(" x1 for 2 s")


async def test_a_block_that_is_cancelled_while_it_waits_for_open_conversations_cuts_them():
    station, ends = Station(timeout=None), list[object]()
    began = anyio.current_time()

    async def call(app: Application) -> None:
        try:
            await app.run("monitor", sku="tea", seconds=90)
        except WorkflowCancelledError as error:
            ends.append(str(error))

    async with anyio.create_task_group() as tg:
        with anyio.move_on_after(3):
            async with Application(monitor=Monitor(timeout=None), orders=station) as app:
                tg.start_soon(call, app)  # noqa: ASYNC111 - the block is left first, on purpose
                await anyio.sleep(1)
    assert anyio.current_time() - began == pytest.approx(3)
    assert ends == ["Monitor was cancelled because its application was cancelled"]
    assert station.log == ["begin tea", "end tea"]
