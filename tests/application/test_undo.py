"""Undos in an application: a conversation is undone as one, across its members, last completed first."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from stretto import Application, Context, Event, SnapshotError, StartEvent, StopEvent, Workflow, step
from stretto.undo import UndoError

pytestmark = pytest.mark.anyio

log: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    log.clear()


class BoomError(Exception):
    pass


class Order(Event):
    sku: str = "tea"


class Placed(Event):
    pass


class Bill(Event):
    pass


class Paid(Event):
    pass


class Done(Event):
    pass


class Done2(Event):
    pass


class Shop(Workflow[str]):
    """Reserves, orders at another member, and is told; then it ends as it is told to."""

    def __init__(self, *, fails: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.fails = fails

    async def give_free(self) -> None:
        log.append("give free")

    async def forget(self) -> None:
        log.append("forget")

    @step(undo=give_free)
    async def reserve(self, ev: StartEvent) -> Order:
        return Order()

    @step(undo=forget)
    async def note(self, ev: Placed) -> Done:
        return Done()

    @step
    async def end(self, ev: Done) -> StopEvent[str]:
        if self.fails:
            raise BoomError("shop")
        return StopEvent(result="sold")


class Station(Workflow[None]):
    """Places orders and has them billed by a third member."""

    async def unplace(self, ev: Order) -> None:
        await anyio.sleep(0.1)
        log.append(f"unplace {ev.sku}")

    @step(undo=unplace)
    async def place(self, ev: Order) -> Bill:
        return Bill()

    @step
    async def told(self, ev: Paid) -> Placed:
        return Placed()


class Bank(Workflow[None]):
    async def refund(self) -> None:
        log.append("refund")

    @step(undo=refund)
    async def charge(self, ev: Bill) -> Paid:
        return Paid()


ALL = ["forget", "refund", "unplace tea", "give free"]


async def test_a_conversation_that_fails_is_undone_across_its_members():
    async with Application(shop=Shop(), station=Station(), bank=Bank()) as app:
        run = app.run("shop")
        with pytest.raises(BoomError):
            await run
        assert log == ALL
        assert [each.step for each in run.undone] == ["note", "charge", "place", "reserve"]


async def test_a_conversation_with_a_result_undoes_nothing():
    async with Application(shop=Shop(fails=False), station=Station(), bank=Bank()) as app:
        assert await app.run("shop") == "sold"
    assert log == []


async def test_two_conversations_are_undone_each_by_itself():
    class Second(Shop):
        @step
        async def end(self, ev: Done) -> StopEvent[str]:
            await anyio.sleep(1)
            return StopEvent(result="second")

    async with (
        Application(shop=Second(), station=Station(), bank=Bank()) as app,
        app.run("shop") as first,
        app.run("shop") as second,
    ):
        await anyio.sleep(0.5)
        await first.cancel()
        assert log == ALL
        assert await second == "second"
    assert log == ALL


async def test_a_member_that_fails_is_undone_with_the_call():
    class Broken(Bank):
        @step(undo=Bank.refund)
        async def charge(self, ev: Bill) -> Paid:
            raise BoomError("bank")

    async with Application(shop=Shop(), station=Station(), bank=Broken()) as app:
        with pytest.raises(BoomError, match="bank"):
            await app.run("shop")
    assert log == ["unplace tea", "give free"]


async def test_a_conversation_that_is_cancelled_or_late_is_undone():
    class Slow(Bank):
        @step
        async def charge(self, ev: Bill) -> Paid:
            await anyio.sleep_forever()
            return Paid()

    async with Application(shop=Shop(timeout=1), station=Station(), bank=Slow()) as app:
        with pytest.raises(TimeoutError):
            await app.run("shop")
        assert log == ["unplace tea", "give free"]
        log.clear()
        with anyio.move_on_after(0.5):
            await app.run("shop")
        assert log == ["unplace tea", "give free"]
    log.clear()
    with pytest.raises(KeyError):
        async with Application(shop=Shop(), station=Station(), bank=Slow()) as app, app.run("shop"):
            await anyio.sleep(0.5)
            raise KeyError
    assert log == ["unplace tea", "give free"]


async def test_what_a_run_that_was_closed_has_done_is_undone_with_its_conversation():
    class Closing(Workflow[None]):
        @step
        async def place(self, ev: Order) -> Bill:
            return Bill()

        async def unend(self) -> None:
            log.append("unend")

        @step(undo=unend)
        async def told(self, ev: Paid) -> Placed | StopEvent:
            return Placed()

    class Once(Bank):
        @step(undo=Bank.refund)
        async def charge(self, ctx: Context, ev: Bill) -> Paid | StopEvent:
            ctx.send_event(Paid())
            return StopEvent()

    async with Application(shop=Shop(), station=Closing(), bank=Once()) as app:
        with pytest.raises(BoomError):
            await app.run("shop")
    assert log.count("refund") == log.count("unend") == log.count("give free") == 1
    assert log[-1] == "give free"


class Asking(Workflow[str]):
    """Asks another member, and ends as it is told to."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.fails = fails

    async def unask(self) -> None:
        log.append("unask")

    @step(undo=unask)
    async def ask(self, ctx: Context, ev: StartEvent) -> Bill | Done:
        await ctx.request(Bill(), reply=Paid)
        await anyio.sleep(1)
        return Done()

    @step
    async def end(self, ev: Done) -> StopEvent[str]:
        if self.fails:
            raise BoomError("asking")
        return StopEvent(result="asked")


async def test_a_request_with_a_reply_is_undone_with_who_asked_and_before_the_step_that_did():
    async with Application(asking=Asking(fails=True), bank=Bank()) as app:
        with pytest.raises(BoomError, match="asking"):
            await app.run("asking")
        assert log == ["refund", "unask"]


async def test_what_others_have_done_for_a_reply_is_undone_with_who_asked():
    """The member that is asked has no undo itself, and the one that asks neither."""

    class Passes(Workflow[None]):
        @step
        async def ask(self, ev: Order) -> Bill:
            return Bill()

        @step
        async def told(self, ev: Paid) -> Placed:
            return Placed()

    class Plain(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Order:
            await ctx.request(Order(), reply=Placed)
            log.append("placed")
            raise BoomError("plain")

    async with Application(plain=Plain(), passes=Passes(), bank=Bank()) as app:
        with pytest.raises(BoomError, match="plain"):
            await app.run("plain")
        assert log == ["placed", "refund"]
        assert await app.request(Order(), reply=Placed) == Placed()
    assert log == ["placed", "refund"]


async def test_a_request_with_a_reply_is_not_undone_if_all_goes_well():
    async with Application(asking=Asking(fails=False), bank=Bank()) as app:
        assert await app.run("asking") == "asked"
        assert await app.request(Bill(), reply=Paid) == Paid()
    assert log == []


async def test_a_request_that_fails_undoes_itself_before_who_asked_goes_on():
    class Checks(Workflow[None]):
        async def uncheck(self) -> None:
            log.append("uncheck")

        @step(undo=uncheck)
        async def check(self, ev: Bill) -> Order:
            return Order()

        @step
        async def fail(self, ev: Order) -> Paid:
            raise BoomError("bank")

    class Catches(Asking):
        @step(undo=Asking.unask)
        async def ask(self, ctx: Context, ev: StartEvent) -> Bill | Done:
            with pytest.raises(BoomError, match="bank"):
                await ctx.request(Bill(), reply=Paid)
            log.append("caught")
            return Done()

    async with Application(asking=Catches(fails=True), bank=Checks()) as app:
        with pytest.raises(BoomError, match="asking"):
            await app.run("asking")
        assert log == ["uncheck", "caught", "unask"]
        with pytest.raises(BoomError, match="bank"):
            await app.request(Bill(), reply=Paid)
        assert log == ["uncheck", "caught", "unask", "uncheck"]


async def test_a_call_within_a_step_is_undone_with_the_run_of_that_step():
    async with Application(shop=Shop(fails=False), station=Station(), bank=Bank()) as app:

        class Around(Workflow[str]):
            async def unbuy(self) -> None:
                log.append("unbuy")

            @step(undo=unbuy)
            async def buy(self, ev: StartEvent) -> Done:
                await app.run("shop")
                return Done()

            @step
            async def fail(self, ev: Done) -> StopEvent[str]:
                raise BoomError("around")

        with pytest.raises(BoomError, match="around"):
            await Around().run()
    assert log == [*ALL, "unbuy"]


async def test_a_nested_run_of_a_member_is_undone_with_the_conversation():
    class Inner(Workflow[None]):
        async def uninner(self) -> None:
            log.append("uninner")

        @step(undo=uninner)
        async def inner(self, ev: StartEvent) -> StopEvent[None]:
            return StopEvent(result=None)

        @step
        async def never(self, ev: Done) -> None: ...

    class Nests(Bank):
        @step(undo=Bank.refund)
        async def charge(self, ev: Bill) -> Paid:
            await Inner(disable_validation=True).run()
            return Paid()

    async with Application(shop=Shop(), station=Station(), bank=Nests()) as app:
        with pytest.raises(BoomError):
            await app.run("shop")
    assert log == ["forget", "uninner", "refund", "unplace tea", "give free"]


async def test_a_reply_that_leaves_work_behind_is_undone_with_the_nested_run_that_asked():
    """The request goes on after its reply, when the nested run that asked is over; it is undone with the outermost."""

    class Replies(Workflow[None]):
        async def unreply(self) -> None:
            log.append("unreply")

        async def unfinish(self) -> None:
            log.append("unfinish")

        @step(undo=unreply)
        async def reply(self, ctx: Context, ev: Bill) -> Paid | Order:
            ctx.send_event(Paid())
            return Order()

        @step(undo=unfinish)
        async def finish(self, ev: Order) -> None:
            await anyio.sleep(1)

    class Inner(Workflow[str]):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str] | Bill:
            await ctx.request(Bill(), reply=Paid)
            return StopEvent(result="inner")

    class Nests(Workflow[str]):
        async def unnest(self) -> None:
            log.append("unnest")

        @step(undo=unnest)
        async def nest(self, ev: StartEvent, inner: Inner) -> Done:
            log.append(await inner.run())
            return Done()

        @step
        async def end(self, ev: Done) -> StopEvent[str]:
            await anyio.sleep(2)
            raise BoomError("outer")

    async with Application(nests=Nests(inner=Inner()), replies=Replies()) as app:
        with pytest.raises(BoomError, match="outer"):
            await app.run("nests")
    assert log == ["inner", "unfinish", "unreply", "unnest"]


async def test_what_a_conversation_could_not_undo_comes_out_of_its_call():
    class Broken(Station):
        async def refuse(self) -> None:
            raise KeyError

        @step(undo=refuse)
        async def place(self, ev: Order) -> Bill:
            return Bill()

    async with Application(shop=Shop(), station=Broken(), bank=Bank()) as app:
        with pytest.raises(UndoError) as caught:
            await app.run("shop")
    assert [type(each) for each in caught.value.exceptions] == [BoomError, KeyError]
    assert log == ["forget", "refund", "give free"]


class Later(Bank):
    """Takes its time, so that there is a moment for a snapshot."""

    async def refund_later(self) -> None:
        log.append("refund later")

    @step
    async def charge(self, ev: Bill) -> Done2:
        return Done2()

    @step(undo=refund_later)
    async def settle(self, ev: Done2) -> Paid:
        await anyio.sleep(2)
        return Paid()


async def killed(app: Application, at: float) -> Any:
    """The snapshot of a conversation whose process dies."""
    async with app, app.run("shop") as run:
        await anyio.sleep(at)
        data = json.loads(json.dumps(run.ctx.to_dict()))
        talk: Any = run._driver.around  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
        for each in (talk.root, *talk.all_runs()):
            each.undoes = False
        await run.cancel()
    return data


async def test_a_conversation_that_goes_on_undoes_what_was_done_before_the_restart():
    def members() -> Any:
        return {"shop": Shop(), "station": Station(), "bank": Later()}

    data = await killed(Application(**members()), 1)
    assert [(each["run"], each["step"]) for each in data["undos"]] == [(0, "reserve"), (1, "place")]
    assert log == []
    async with Application(**members()) as app:
        run = app.resume(data)
        with pytest.raises(BoomError):
            await run
    assert log == ["forget", "refund later", "unplace tea", "give free"]
    assert [each.step for each in run.undone] == ["note", "settle", "place", "reserve"]


@pytest.mark.parametrize("on_stop", ["drain", "cancel"])
async def test_what_a_run_has_done_that_is_over_is_in_the_snapshot_too(on_stop: Any):
    class Once(Workflow[None]):
        async def unplace(self, ev: Order) -> None:
            log.append(f"unplace {ev.sku}")

        @step(undo=unplace)
        async def place(self, ctx: Context, ev: Order) -> Bill | StopEvent:
            ctx.send_event(Bill())
            return StopEvent()

    class Direct(Later):
        @step(undo=Later.refund_later)
        async def settle(self, ev: Done2) -> Placed:  # type: ignore[override]
            await anyio.sleep(2)
            return Placed()

    def app() -> Application:
        return Application(on_stop=on_stop, shop=Shop(), station=Once(), bank=Direct())

    data = await killed(app(), 1)
    assert [each["step"] for each in data["undos"]] == ["reserve", "place"]
    async with app() as again:
        with pytest.raises(BoomError):
            await again.resume(data)
    assert log == ["forget", "refund later", "unplace tea", "give free"]


async def test_what_a_request_has_done_is_in_no_snapshot_and_an_undo_that_is_gone_is_told():
    class Waits(Asking):
        @step
        async def end(self, ev: Done) -> StopEvent[str]:
            await anyio.sleep(5)
            return StopEvent(result="asked")

    async with Application(asking=Waits(fails=False), bank=Bank()) as app, app.run("asking") as run:
        await anyio.sleep(2)
        with pytest.raises(
            SnapshotError, match=r"undos\[0\]: a run that a step of Waits has awaited or requested"
        ):
            run.ctx.to_dict()

    class Shop2(Shop):
        @step
        async def reserve(self, ev: StartEvent) -> Order:
            return Order()

    data = await killed(Application(shop=Shop(), station=Station(), bank=Later()), 1)
    data["application"]["shop"] = "Shop2"
    async with Application(shop=Shop2(), station=Station(), bank=Later()) as app:
        with pytest.raises(SnapshotError, match="has no undo here; give it one") as caught:
            app.resume(data)
    assert caught.value.path == "undos[0].step"
