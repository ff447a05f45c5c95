"""The state of a run: `ctx.store` belongs to the run, is read as committed, and is edited by one at a time."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, cast

import anyio
import anyio.lowlevel
import attrs
import pydantic
import pytest

from stretto import (
    Context,
    DefinitionError,
    Event,
    Handler,
    RunEndedError,
    StartEvent,
    StopEvent,
    ThreadContext,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    step,
)
from stretto.errors import StateError

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int


class Go(Event, external=True):
    number: int = 0


@attrs.define
class Cart:
    items: list[int] = attrs.Factory(list)
    total: int = 0


@dataclasses.dataclass
class DataCart:
    items: list[int] = dataclasses.field(default_factory=list)
    total: int = 0


class ModelCart(pydantic.BaseModel):
    items: list[int] = []
    total: int = 0


Body = Callable[[Any], Any]


def workflow(body: Body, state: Any = Any, **options: Any) -> Workflow[Any]:
    """A workflow of one step with this body, whose state is of this class."""

    class One(Workflow[Any]):
        @step
        async def only(self, ctx: Context[state], ev: StartEvent) -> StopEvent:  # pyright: ignore[reportInvalidTypeForm]
            return StopEvent(result=await body(ctx))

    return One(**options)


def threaded(body: Body, state: Any = Any) -> Workflow[Any]:
    """The same in a thread."""

    class InThread(Workflow[Any]):
        @step
        def only(self, ctx: ThreadContext[state], ev: StartEvent) -> StopEvent:  # pyright: ignore[reportInvalidTypeForm]
            return StopEvent(result=body(ctx))

    return InThread()


class Adding(Workflow[Cart]):
    """Ten steps add at once, and each waits in the middle of its edit."""

    def __init__(self, count: int = 10) -> None:
        self.count = count
        super().__init__()

    @step
    async def begin(self, ev: StartEvent) -> list[Job]:
        return [Job(number=number) for number in range(self.count)]

    @step(num_workers=10)
    async def add(self, ctx: Context[Cart], ev: Job) -> StopEvent[Cart] | None:
        async with ctx.store.edit_state() as cart:
            total = cart.total
            await anyio.sleep(1)
            cart.total = total + 1
            cart.items.append(ev.number)
        return StopEvent(result=await ctx.store.get_state()) if cart.total == self.count else None


# -- reading and writing -------------------------------------------------------------------------------------


async def test_a_free_state_takes_what_it_is_given():
    async def body(ctx: Context) -> None:
        assert await ctx.store.get_state() == {}
        assert await ctx.store.get("user.name", "nobody") == "nobody"
        await ctx.store.set("user.name", "Ada")
        await ctx.store.set("user.tags", ["a"])
        async with ctx.store.edit_state() as state:
            state["user"]["tags"].append("b")
            state["count"] = state.get("count", 0) + 1
        assert await ctx.store.get("user.tags.1") == "b"
        assert await ctx.store.get_state() == {"user": {"name": "Ada", "tags": ["a", "b"]}, "count": 1}

    await workflow(body).run()


@pytest.mark.parametrize("kind", [Cart, DataCart, ModelCart])
async def test_a_state_of_a_class_begins_as_the_class_says(kind: Any):
    async def body(ctx: Context[Any]) -> Any:
        assert await ctx.store.get_state() == kind()
        await ctx.store.set("total", 2)
        async with ctx.store.edit_state() as cart:
            assert isinstance(cart, kind)
            cart.items.append(1)
            cart.total += 1
        assert await ctx.store.get("items.0") == 1
        return await ctx.store.get_state()

    assert await workflow(body, kind).run() == kind(items=[1], total=3)


async def test_what_is_read_is_itself_and_no_copy():
    async def body(ctx: Context) -> None:
        value = [object()]
        await ctx.store.set("value", value)
        assert await ctx.store.get("value") is value
        assert (await ctx.store.get_state())["value"] is value

    await workflow(body).run()


async def test_a_lock_and_a_client_can_be_kept():
    async def body(ctx: Context) -> None:
        lock = threading.Lock()
        await ctx.store.set("lock", lock)
        async with ctx.store.edit_state() as state:
            assert state["lock"] is lock
            state["held"] = [lock]
        assert await ctx.store.get("held.0") is lock

    await workflow(body).run()


async def test_a_missing_path_is_told():
    async def body(ctx: Context[Cart]) -> None:
        with pytest.raises(StateError, match="did you mean 'total'"):
            await ctx.store.get("totl")
        with pytest.raises(StateError, match="did you mean 'total'"):
            await ctx.store.set("totl", 1)

    await workflow(body, Cart).run()


async def test_two_runs_share_nothing():
    adding = Adding()
    carts: list[Cart] = []

    async def one() -> None:
        carts.append(await adding.run())

    async with anyio.create_task_group() as tg:
        tg.start_soon(one)
        tg.start_soon(one)
    assert [sorted(cart.items) for cart in carts] == [list(range(10))] * 2
    assert carts[0].items is not carts[1].items


async def test_the_steps_of_a_run_share_its_state_and_a_nested_run_has_its_own():
    class Child(Workflow[Any]):
        @step
        async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.store.set("a", "child's")
            return StopEvent(result=await ctx.store.get_state())

    class Parent(Workflow[Any]):
        @step
        async def first(self, ctx: Context, ev: StartEvent) -> Job:
            await ctx.store.set("a", "parent's")
            return Job(number=0)

        @step
        async def second(self, ctx: Context, ev: Job) -> StopEvent:
            async with ctx.store.edit_state() as state:
                child = await Child().run()
                return StopEvent(result=(state["a"], child))

    assert await Parent().run() == ("parent's", {"a": "child's"})


async def test_a_run_that_never_asks_has_no_state():
    class Counted:
        made = 0

        def __attrs_post_init__(self) -> None:
            Counted.made += 1

    @attrs.define
    class State(Counted):
        total: int = 0

    async def nothing(ctx: Context[Any]) -> None:
        assert ctx.store is not None

    async def something(ctx: Context[Any]) -> None:
        await ctx.store.get("total")
        await ctx.store.set("total", 1)

    await workflow(nothing, State).run()
    assert Counted.made == 0
    await workflow(something, State).run()
    assert Counted.made == 1


async def test_what_making_the_state_raises_comes_out_of_the_step():
    def fail() -> int:
        raise OSError("no disk")

    @attrs.define
    class Broken:
        total: int = attrs.Factory(fail)

    async def body(ctx: Context[Any]) -> None:
        await ctx.store.get("total")

    with pytest.raises(OSError, match="no disk") as told:
        await workflow(body, Broken).run()
    assert "while the state of a run of One was made" in told.value.__notes__


# -- one editor at a time ------------------------------------------------------------------------------------


async def test_no_edit_is_lost():
    cart = await Adding().run()
    assert cart.total == 10
    assert anyio.current_time() == pytest.approx(10)


async def test_editors_have_their_turn_in_the_order_in_which_they_asked():
    class InOrder(Adding):
        @step(num_workers=10)
        async def add(self, ctx: Context[Cart], ev: Job) -> StopEvent[Cart] | None:
            await anyio.sleep(0.01 * ev.number)
            return await Adding.add(self, ctx, ev)

    assert (await InOrder().run()).items == list(range(10))


async def test_set_waits_for_an_edit_and_get_does_not():
    async def body(ctx: Context) -> None:
        log: list[object] = []

        async def reader() -> None:
            await ctx.store.set("a", 0)
            await anyio.sleep(1)
            log.append(await ctx.store.get("a"))

        async def editor() -> None:
            await anyio.sleep(0.5)
            async with ctx.store.edit_state() as state:
                state["a"] = 1
                await anyio.sleep(1)
                log.append("left")

        async def writer() -> None:
            await anyio.sleep(1.2)
            await ctx.store.set("a", 2)
            log.append("set")

        async with anyio.create_task_group() as tg:
            for each in (reader, editor, writer):
                tg.start_soon(each)
        assert log == [0, "left", "set"]
        assert await ctx.store.get("a") == 2

    await workflow(body).run()


async def test_who_reads_during_an_edit_sees_what_is_committed_deep_inside_too():
    async def body(ctx: Context[Cart]) -> None:
        before = await ctx.store.get_state()
        async with ctx.store.edit_state() as cart:
            cart.items.append(1)
            cart.total = 1
            assert await ctx.store.get("items") == []
            assert await ctx.store.get_state() is before
        assert before == Cart()
        assert await ctx.store.get("items") == [1]

    await workflow(body, Cart).run()


async def test_an_error_takes_the_whole_edit_back():
    async def body(ctx: Context[Cart]) -> Cart:
        with pytest.raises(ZeroDivisionError):
            async with ctx.store.edit_state() as cart:
                cart.items.append(1)
                cart.total = 1 // 0
        await ctx.store.set("total", 5)  # and the turn was given back
        return await ctx.store.get_state()

    assert await workflow(body, Cart).run() == Cart(total=5)


async def test_a_cancellation_takes_the_whole_edit_back():
    async def body(ctx: Context[Cart]) -> Cart:
        with anyio.move_on_after(1):
            async with ctx.store.edit_state() as cart:
                cart.items.append(1)
                await anyio.sleep_forever()
        await ctx.store.set("total", 5)
        return await ctx.store.get_state()

    assert await workflow(body, Cart).run() == Cart(total=5)


async def test_who_is_cancelled_while_waiting_leaves_no_turn_taken():
    async def body(ctx: Context) -> list[int]:
        order: list[int] = []

        async def edit(number: int, patience: float) -> None:
            await anyio.sleep(number / 10)
            with anyio.move_on_after(patience):
                async with ctx.store.edit_state():
                    order.append(number)
                    await anyio.sleep(3)

        async with anyio.create_task_group() as tg:
            for number in range(4):
                tg.start_soon(edit, number, 1.0 if number in {1, 2} else 10.0)
        return order

    assert await workflow(body).run() == [0, 3]


async def test_who_is_cancelled_in_the_very_turn_in_which_its_own_comes_hands_it_on():
    async def body(ctx: Context) -> list[str]:
        order: list[str] = []
        scope = anyio.CancelScope()

        async def first() -> None:
            async with ctx.store.edit_state():
                await anyio.sleep(1)
            scope.cancel()  # the second was woken and has not begun

        async def second() -> None:
            await anyio.sleep(0.1)
            with scope:
                async with ctx.store.edit_state():
                    order.append("second")
                    await anyio.lowlevel.checkpoint()
                    order.append("never")

        async def third() -> None:
            await anyio.sleep(0.2)
            await ctx.store.set("third", 1)
            order.append("third")

        async with anyio.create_task_group() as tg:
            for each in (first, second, third):
                tg.start_soon(each)
        return order

    assert [each for each in await workflow(body).run() if each != "second"] == ["third"]


async def test_a_store_can_be_written_during_clean_up():
    """A turn that is free is taken without a checkpoint, so also by who is being cancelled."""

    class Cleans(Workflow[Any]):
        @step
        async def first(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await anyio.sleep(1)
            return StopEvent(result="done")

        @step
        async def second(self, ctx: Context, ev: StartEvent) -> StopEvent:
            try:
                await anyio.sleep_forever()
            finally:
                await ctx.store.set("cleaned", True)
                async with ctx.store.edit_state() as state:
                    state["twice"] = True
            raise AssertionError

    async with Cleans().run() as run:
        assert await run == "done"
    assert await run.ctx.store.get_state() == {"cleaned": True, "twice": True}


async def test_an_edit_that_cannot_begin_gives_its_turn_back():
    @attrs.define
    class Stubborn:
        total: int = 0
        copies: int = 0

        def __copy__(self) -> Stubborn:
            if self.total == 0:
                self.total = 1
                raise ZeroDivisionError
            return Stubborn(self.total)

    async def body(ctx: Context[Any]) -> int:
        with pytest.raises(ZeroDivisionError):
            async with ctx.store.edit_state():
                pass
        async with ctx.store.edit_state() as state:
            state.total += 1
        return await ctx.store.get("total")

    assert await workflow(body, Stubborn).run() == 2


async def test_a_run_that_ends_by_its_deadline_takes_its_edit_back():
    async def body(ctx: Context) -> None:
        await ctx.store.set("a", 1)
        async with ctx.store.edit_state() as state:
            state["a"] = 2
            await anyio.sleep_forever()

    async with workflow(body, timeout=3).run() as run:
        with pytest.raises(WorkflowTimeoutError):
            await run
    assert await run.ctx.store.get("a") == 1


# -- an edit within an edit ----------------------------------------------------------------------------------

NESTED_SET = (
    "ctx.store.set(…) within an edit_state() block of the same step would wait for itself; set it on the state that "
    "the block was given"
)
NESTED_EDIT = (
    "ctx.store.edit_state() within an edit_state() block of the same step would wait for itself; change the state that "
    "the outer block was given"
)


async def test_an_edit_within_an_edit_of_the_same_step_is_an_error_at_once():
    async def body(ctx: Context) -> None:
        async with ctx.store.edit_state() as state:
            with pytest.raises(StateError) as told:
                await ctx.store.set("a", 1)
            assert str(told.value) == NESTED_SET
            with pytest.raises(StateError) as told:
                async with ctx.store.edit_state():
                    pass
            assert str(told.value) == NESTED_EDIT
            state["a"] = 2
        assert await ctx.store.get("a") == 2
        await ctx.store.set("a", 3)

    await workflow(body).run()
    assert anyio.current_time() == 0


async def test_so_it_is_from_a_task_that_the_block_waits_for():
    async def body(ctx: Context) -> None:
        async def child() -> None:
            with pytest.raises(StateError, match="would wait for itself"):
                await ctx.store.set("a", 1)

        async with ctx.store.edit_state(), anyio.create_task_group() as tg:
            tg.start_soon(child)

    await workflow(body).run()


async def test_so_it_is_from_a_run_that_the_block_awaits():
    async def body(ctx: Context) -> None:
        async def child(inner: Context) -> None:
            async with inner.store.edit_state():
                with pytest.raises(StateError, match="would wait for itself"):
                    await ctx.store.set("a", 1)

        async with ctx.store.edit_state():
            await workflow(child).run()

    await workflow(body).run()


async def test_tasks_of_one_step_that_edit_beside_each_other_take_turns():
    async def body(ctx: Context) -> int:
        async def add() -> None:
            async with ctx.store.edit_state() as state:
                count = state.get("count", 0)
                await anyio.sleep(1)
                state["count"] = count + 1

        async with anyio.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(add)
        return await ctx.store.get("count")

    assert await workflow(body).run() == 3


async def test_a_step_that_handles_an_event_sent_within_an_edit_waits_its_turn():
    class Sends(Workflow[Any]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            async with ctx.store.edit_state() as state:
                ctx.send_event(Job(number=1))
                await anyio.sleep(2)
                state["first"] = anyio.current_time()

        @step
        async def second(self, ctx: Context, ev: Job) -> StopEvent:
            async with ctx.store.edit_state() as state:
                with pytest.raises(StateError):
                    await ctx.store.set("a", 1)
                return StopEvent(result=(state["first"], anyio.current_time()))

    assert await Sends().run() == pytest.approx((2, 2))


async def test_a_block_can_be_entered_once():
    async def body(ctx: Context) -> None:
        block = ctx.store.edit_state()
        async with block:
            pass
        with pytest.raises(StateError, match=r"was entered before; call ctx\.store\.edit_state\(\) again"):
            async with block:
                pass
        await ctx.store.set("a", 1)

    await workflow(body).run()


async def test_edits_one_after_the_other_leave_nothing_behind():
    """Each edit left its mark in the context variables that all later steps inherit, and marks were chained."""
    from stretto._editor import _marks

    class Chain(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return Job(number=0)

        @step
        async def again(self, ctx: Context, ev: Job) -> Job | StopEvent | None:
            async with ctx.store.edit_state() as state:
                state["count"] = ev.number
                ctx.send_event(Job(number=ev.number + 1)) if ev.number < 20 else None
            mark = _marks.get()
            assert mark is None or mark.owner is None
            assert mark is None or mark.around is None, "a chain that grows"
            return StopEvent() if ev.number == 20 else None

    await Chain().run()


# -- from outside --------------------------------------------------------------------------------------------


class Waiting(Workflow[Any]):
    @step
    async def begin(self, ctx: Context[Cart], ev: StartEvent) -> None:
        await ctx.store.set("total", 1)

    @step
    async def end(self, ctx: Context[Cart], ev: Go) -> StopEvent:
        return StopEvent(result=await ctx.store.get("total"))


async def test_a_handler_reads_and_writes_while_the_run_is_at_work_and_reads_afterwards():
    async with Waiting().run() as run:
        await anyio.sleep(1)
        store = run.ctx.store
        assert await store.get("total") == 1
        await store.set("total", 2)
        async with store.edit_state() as cart:
            cart.total += 1
            assert await store.get("total") == 2
            with pytest.raises(StateError, match="of the same caller would wait for itself"):
                await run.ctx.store.set("total", 7)
        run.send_event(Go())
        assert await run == 3
    assert await store.get("total") == await run.ctx.store.get("total") == 3
    assert await store.get_state() == Cart(total=3)


LATE = "the state of a run of Waiting is written too late: the run is over, it had a result; it can still be read"


async def test_a_write_after_the_end_is_too_late():
    async with Waiting().run() as run:
        run.send_event(Go())
        await run
    for write in (run.ctx.store.set("total", 2), _edit(run)):
        with pytest.raises(RunEndedError) as told:
            await write
        assert str(told.value) == LATE
    assert await run.ctx.store.get("total") == 1


async def _edit(run: Handler[Any]) -> None:
    async with run.ctx.store.edit_state():
        pass


async def test_an_edit_from_outside_that_the_end_overtakes_is_too_late_and_so_is_who_waits_for_it():
    async with Waiting().run() as run:
        await anyio.sleep(1)

        async def late() -> None:
            with pytest.raises(RunEndedError):
                await run.ctx.store.set("total", 9)

        async with anyio.create_task_group() as tg:
            with pytest.raises(RunEndedError):
                async with run.ctx.store.edit_state() as cart:
                    cart.total = 5
                    tg.start_soon(_soon, late)
                    await anyio.sleep(1)
                    run.send_event(Go())
                    assert await run == 1
    assert await run.ctx.store.get("total") == 1


async def _soon(call: Callable[[], Any]) -> None:
    from stretto._editor import _marks

    _marks.set(None)  # as a task that was started elsewhere
    await call()


async def test_a_step_keeps_its_context_and_writes_when_the_run_is_over():
    kept: list[Context] = []

    async def body(ctx: Context) -> None:
        kept.append(ctx)

    await workflow(body).run()
    with pytest.raises(RunEndedError):
        await kept[0].store.set("a", 1)
    assert await kept[0].store.get("a", "nothing") == "nothing"


async def test_a_run_never_started_and_one_cancelled_can_be_read():
    run = Waiting().run()
    with pytest.raises(Exception, match="has not started"):
        print(run.ctx)
    await run.cancel()
    assert await run.ctx.store.get_state() == Cart()
    with pytest.raises(RunEndedError, match="it was cancelled"):
        await run.ctx.store.set("total", 1)
    with pytest.raises(WorkflowCancelledError):
        await run


# -- in a thread ---------------------------------------------------------------------------------------------


async def test_a_plain_def_step_has_the_same_names_without_await():
    def body(ctx: ThreadContext[Cart]) -> Cart:
        assert ctx.store.get_state() == Cart()
        ctx.store.set("total", 1)
        with ctx.store.edit_state() as cart:
            cart.items.append(cart.total)
            assert ctx.store.get("items") == []
        with pytest.raises(StateError, match="did you mean 'total'"):
            ctx.store.get("totl")
        assert ctx.store.get("nothing", None) is None
        return ctx.store.get_state()

    assert await threaded(body, Cart).run() == Cart(items=[1], total=1)


async def test_a_thread_is_given_a_thread_store_whichever_context_it_asks_for():
    class Plain(Workflow[Any]):
        @step
        def only(self, ctx: Context[Cart], ev: StartEvent) -> StopEvent:
            store: Any = ctx.store
            store.set("total", 4)
            return StopEvent(result=store.get("total"))

    assert await Plain().run() == 4


async def test_an_error_in_a_thread_takes_its_edit_back():
    def body(ctx: ThreadContext[Cart]) -> Cart:
        with pytest.raises(ZeroDivisionError), ctx.store.edit_state() as cart:
            cart.items.append(1)
            cart.total = 1 // 0
        ctx.store.set("total", 2)
        return ctx.store.get_state()

    assert await threaded(body, Cart).run() == Cart(total=2)


async def test_an_edit_within_an_edit_is_an_error_in_a_thread_too():
    def body(ctx: ThreadContext[Any]) -> None:
        with ctx.store.edit_state():
            with pytest.raises(StateError) as told:
                ctx.store.set("a", 1)
            assert str(told.value) == NESTED_SET
            with pytest.raises(StateError) as told, ctx.store.edit_state():
                pass
            assert str(told.value) == NESTED_EDIT
        block = ctx.store.edit_state()
        with block:
            pass
        with pytest.raises(StateError, match="was entered before"), block:
            pass

    await threaded(body).run()


async def test_threads_and_tasks_take_turns():
    class Mixed(Workflow[Any]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(5)]

        @step(num_workers=5)
        def in_threads(self, ctx: ThreadContext[Cart], ev: Job) -> Go:
            with ctx.store.edit_state() as cart:
                total = cart.total
                threading.Event().wait(0.002)
                cart.total = total + 1
            return Go()

        @step(num_workers=5)
        async def in_tasks(self, ctx: Context[Cart], ev: Job) -> Go:
            async with ctx.store.edit_state() as cart:
                total = cart.total
                await anyio.sleep(0.002)
                cart.total = total + 1
            return Go()

        @step
        async def end(self, ctx: Context[Cart], ev: Go) -> StopEvent | None:
            done = ctx.collect_events(ev, [Go] * 10)
            return StopEvent(result=await ctx.store.get("total")) if done else None

    assert await Mixed().run() == 10


@pytest.mark.parametrize("how", ["set", "edit"])
async def test_a_thread_that_waits_for_its_turn_ends_with_its_run(how: str):
    class Held(Workflow[Any]):
        @step
        async def hold(self, ctx: Context, ev: StartEvent) -> StopEvent:
            async with ctx.store.edit_state() as state:
                state["held"] = True
                await anyio.sleep(0.01)  # until the other waits for its turn
                ctx.send_event(Go())
                await anyio.sleep(0.05)
                return StopEvent(result="done")

        @step
        async def hold_on(self, ctx: Context, ev: StartEvent) -> None:
            async with ctx.store.edit_state():
                await anyio.sleep_forever()

        @step
        def wait(self, ctx: ThreadContext[Any], ev: Go) -> None:
            try:
                if how == "set":
                    ctx.store.set("a", 1)
                else:
                    with ctx.store.edit_state() as state:
                        state["a"] = 1
            finally:
                ended.append(how)

    ended: list[str] = []
    async with Held().run() as run:
        assert await run == "done"
    assert ended == [how]
    assert run.failures == ()
    assert await run.ctx.store.get_state() == {"held": True}


# -- the class that steps name -------------------------------------------------------------------------------


async def test_the_most_derived_class_wins_and_a_bare_context_is_fine():
    @attrs.define
    class Base:
        total: int = 0

    @attrs.define
    class Derived(Base):
        more: int = 0

    class Steps(Workflow[Any]):
        @step
        async def first(self, ctx: Context[Base], ev: StartEvent) -> Job:
            await ctx.store.set("total", 1)
            return Job(number=0)

        @step
        async def second(self, ctx: Context[Derived], ev: Job) -> Go:
            await ctx.store.set("more", 2)
            return Go()

        @step
        async def third(self, ctx: Context, ev: Go) -> StopEvent:
            return StopEvent(result=await ctx.store.get_state())

    assert await Steps().run() == Derived(total=1, more=2)


async def test_a_step_added_later_has_its_say():
    class App(Workflow[Any]):
        pass

    @step(workflow=App)
    async def first(ctx: Context[Cart], ev: StartEvent) -> StopEvent:
        return StopEvent(result=await ctx.store.get_state())

    assert await App().run() == Cart()
    with pytest.raises(DefinitionError, match="name different classes"):

        @step(workflow=App)
        async def second(ctx: Context[DataCart], ev: Job) -> None: ...

    assert await App().run() == Cart()


@pytest.mark.parametrize("free", [Any, dict, dict[str, Any]])
async def test_a_mapping_may_be_named_too(free: Any):
    async def body(ctx: Context[Any]) -> Any:
        return await ctx.store.get_state()

    assert await workflow(body, free).run() == {}


async def test_a_union_with_none_and_a_generic_class_are_understood():
    from typing import Generic, TypeVar

    T = TypeVar("T")

    @attrs.define
    class Box(Generic[T]):
        inside: list[T] = attrs.Factory(list)

    class Boxes(Workflow[Any]):
        @step
        async def only(self, ev: StartEvent, ctx: Context[Box[int]] | None = None) -> StopEvent:
            assert ctx is not None
            async with ctx.store.edit_state() as box:
                box.inside.append(1)
            return StopEvent(result=await ctx.store.get_state())

    assert await Boxes().run() == Box([1])


async def test_a_store_says_what_it_is():
    async def body(ctx: Context) -> str:
        return repr(ctx.store)

    assert await workflow(body).run() == "<Store of a run of One>"


async def test_an_edit_whose_turn_was_taken_changes_nothing_and_takes_no_turn_from_the_next():
    """A thread that is abandoned may have asked to commit a moment before."""

    class Twice(Workflow[int]):
        @step
        async def edit(self, ctx: Context, ev: StartEvent) -> StopEvent[int]:
            access = ctx.store._access
            left_behind = await access.begin()
            access.drop(left_behind)
            following = await access.begin()
            cast("Any", following.working)["n"] = 1
            cast("Any", left_behind.working)["n"] = 2
            with pytest.raises(RunEndedError, match="left behind by its step"):
                access.finish(left_behind, commit=True)
            with anyio.move_on_after(1) as waits:
                await ctx.store.set("n", 3)
            assert waits.cancelled_caught
            access.finish(following, commit=True)
            await ctx.store.set("then", 1)
            return StopEvent(result=await ctx.store.get("n"))

    assert await Twice().run() == 1
