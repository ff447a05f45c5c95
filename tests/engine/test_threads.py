"""A plain `def` step runs in a thread: the loop goes on meanwhile, and the run waits for it at its end."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from stretto import (
    Context,
    Event,
    StartEvent,
    StopEvent,
    UndeclaredEventError,
    Workflow,
    WorkflowCancelledError,
    WorkflowError,
    step,
)
from stretto._threads import Work
from tests import leaks

pytestmark = pytest.mark.anyio


class Job(Event):
    number: int = 0


class Done(Event):
    number: int = 0


class Shout(Event):
    number: int = 0


class BoomError(Exception):
    pass


async def test_the_articles_unbound_step_runs_in_a_thread():
    class TestWorkflow(Workflow[str]):
        __test__ = False

    @step(workflow=TestWorkflow)
    def some_step(ev: StartEvent) -> StopEvent:
        return StopEvent(result=threading.current_thread().name)

    assert await TestWorkflow().run() != threading.main_thread().name


async def test_the_loop_goes_on_while_a_thread_works():
    class Slow(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | Shout | None:
            ctx.send_event(Job())
            ctx.send_event(Shout())

        @step
        async def shout(self, ev: Shout) -> None:
            while not ended.is_set():
                beats.append(1)
                await anyio.sleep(0.002)

    @step(workflow=Slow)
    def work(ev: Job) -> StopEvent:
        began = time.monotonic()
        while len(beats) < 4 and time.monotonic() < began + 5:
            time.sleep(0.002)
        ended.set()
        return StopEvent(result=len(beats))

    ended.clear()
    beats: list[int] = []
    assert await Slow().run() >= 4


async def test_as_many_threads_work_at_once_as_the_step_has_workers():
    class Pool(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(6):
                ctx.send_event(Job(number=number))

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            return None if ctx.collect_events(ev, [Done] * 6) is None else StopEvent(result="met")

    @step(workflow=Pool, num_workers=3)
    def work(ev: Job) -> Done:
        barrier.wait(timeout=10)  # three must be here at once, or it breaks
        return Done(number=ev.number)

    barrier = threading.Barrier(3)
    assert await Pool().run() == "met"


async def test_a_context_works_from_a_thread():
    class Threaded(Workflow[list[int]]):
        @step
        async def begin(self, ev: StartEvent) -> Job:
            return Job()

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            batch = ctx.collect_events(ev, [Done] * 3)
            return None if batch is None else StopEvent(result=[done.number for done in batch])

    @step(workflow=Threaded)
    def work(ctx: Context, ev: Job) -> Done:
        for number in range(2):
            ctx.send_event(Done(number=number))
            ctx.write_event_to_stream(Shout(number=number))
        assert isinstance(ctx.run_id, str)
        remaining = ctx.remaining
        assert remaining is not None
        assert remaining > 0
        return Done(number=2)

    async with Threaded().run() as run:
        events = [ev async for ev in run.stream_events()]
        assert await run == [0, 1, 2]
    assert events == [Shout(number=0), Shout(number=1), StopEvent(result=[0, 1, 2])]


async def test_collecting_works_from_a_thread():
    class Threaded(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            for number in range(4):
                ctx.send_event(Job(number=number))

    @step(workflow=Threaded)
    def gather(ctx: Context, ev: Job) -> StopEvent | None:
        batch = ctx.collect_events(ev, [Job] * 4)
        return None if batch is None else StopEvent(result=len(batch))

    assert await Threaded().run() == 4


async def test_an_error_in_a_thread_comes_out_bare_with_notes():
    class Fails(Workflow[str]):
        pass

    @step(workflow=Fails)
    def fail(ev: StartEvent) -> StopEvent:
        raise error

    error = BoomError()
    with pytest.raises(BoomError) as caught:
        await Fails().run()
    assert caught.value is error
    assert "Fails.fail" in "\n".join(caught.value.__notes__)


async def test_a_thread_that_returns_nonsense_is_told():
    class Wrong(Workflow[str]):
        pass

    @step(workflow=Wrong)
    def wrong(ev: StartEvent) -> StopEvent:
        return "text"  # pyright: ignore[reportReturnType]

    with pytest.raises(UndeclaredEventError, match=r"Wrong\.wrong"):
        await Wrong().run()


began, ended = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def fresh_events() -> None:
    began.clear()
    ended.clear()


class Sits(Workflow[str]):
    """One thread that takes its time, and a step that ends the run meanwhile."""

    def __init__(self, end: str, grace: float = 5.0) -> None:
        self.end = end
        super().__init__(timeout=10, grace=grace)

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent:
        ctx.send_event(Job())
        while not began.is_set():  # noqa: ASYNC110 - a thread sets it
            await anyio.sleep(0.001)
        if self.end == "error":
            raise BoomError
        if self.end == "sleep":
            await anyio.sleep(5)
        return StopEvent(result="stopped")


@step(workflow=Sits)
def sit(ev: Job) -> None:
    began.set()
    time.sleep(0.05)
    ended.set()


async def test_a_run_waits_for_its_threads_after_a_stop_event():
    before = leaks.Before()
    wf = Sits("stop")
    assert await wf.run() == "stopped"
    assert ended.is_set()
    assert before.left_behind() == []


async def test_a_run_waits_for_its_threads_after_an_error():
    before = leaks.Before()
    wf = Sits("error")
    with pytest.raises(BoomError):
        await wf.run()
    assert ended.is_set()
    assert before.left_behind() == []


async def test_a_run_waits_for_its_threads_when_the_caller_is_cancelled():
    wf = Sits("sleep")
    async with anyio.create_task_group() as tg:

        async def call() -> None:
            try:
                await wf.run()
            finally:
                assert ended.is_set()

        tg.start_soon(call)
        while not began.is_set():  # noqa: ASYNC110 - a thread sets it
            await anyio.sleep(0.001)
        tg.cancel_scope.cancel()
    assert ended.is_set()


async def test_a_run_waits_for_its_threads_when_it_is_cancelled():
    wf = Sits("sleep")
    async with wf.run() as run:
        while not began.is_set():  # noqa: ASYNC110 - a thread sets it
            await anyio.sleep(0.001)
        await run.cancel()
        assert ended.is_set()
        with pytest.raises(WorkflowCancelledError):
            await run


async def test_what_a_thread_returns_after_the_end_is_left_over():
    class Late(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent:
            ctx.send_event(Job())
            while not began.is_set():  # noqa: ASYNC110 - a thread sees to it
                await anyio.sleep(0.001)
            return StopEvent(result="first")

    @step(workflow=Late)
    def late(ev: Job) -> Done:
        began.set()
        time.sleep(0.05)
        return Done(number=7)

    @step(workflow=Late)
    async def never(ev: Done) -> None:
        raise BoomError

    run = Late().run()
    assert await run == "first"
    assert run.leftovers == (Done(number=7),)


async def test_what_a_thread_sends_after_the_end_is_a_dead_letter():
    class Late(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | StopEvent:
            ctx.send_event(Job())
            while not began.is_set():  # noqa: ASYNC110 - a thread sees to it
                await anyio.sleep(0.001)
            return StopEvent(result="first")

    @step(workflow=Late)
    def late(ctx: Context, ev: Job) -> None:
        began.set()
        time.sleep(0.05)
        ctx.send_event(Done(number=7))

    @step(workflow=Late)
    async def never(ev: Done) -> None:
        raise BoomError

    run = Late().run()
    assert await run == "first"
    assert [letter.event for letter in run.dead_letters] == [Done(number=7)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_a_base_exception_in_a_thread_comes_out_bare(kind: type[BaseException]):
    class Fails(Workflow[str]):
        pass

    @step(workflow=Fails)
    def fail(ev: StartEvent) -> StopEvent:
        raise error

    error = kind("mine")
    with pytest.raises(kind) as caught:
        await Fails().run()
    assert caught.value is error


async def test_a_step_in_a_thread_may_run_another_workflow_in_a_loop_of_its_own(anyio_backend_name: str):
    class Inner(Workflow[str]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            ctx.send_event(Job())

        @step
        async def end(self, ev: Job) -> StopEvent:
            await anyio.sleep(0.001)
            return StopEvent(result="inner")

    class Outer(Workflow[str]):
        pass

    @step(workflow=Outer)
    def run_it(ev: StartEvent) -> StopEvent:
        return StopEvent(result=Inner().run_sync(backend=anyio_backend_name))

    assert await Outer().run() == "inner"


async def test_a_step_in_a_thread_that_goes_on_after_the_grace_is_named(caplog: pytest.LogCaptureFixture):
    wf = Sits("sleep", grace=0.01)
    async with wf.run() as run:
        while not began.is_set():  # noqa: ASYNC110 - a thread sets it
            await anyio.sleep(0.001)
        await run.cancel()
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("Sits: 0.01 s after the run was cancelled these steps have not ended: Sits.sit (")


async def test_a_thousand_threads_each_do_their_part():
    class Thousand(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(1_000)]

        @step
        def work(self, ev: Job) -> Done:
            return Done(number=ev.number)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
            batch = ctx.collect_events(ev, [Done] * 1_000)
            return None if batch is None else StopEvent(result=sum(done.number for done in batch))

    assert await Thousand().run() == 499_500


async def test_of_many_threads_that_fail_each_is_kept():
    class Fails(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(50)]

        @step(num_workers=4)
        def fail(self, ev: Job) -> StopEvent[str]:
            barrier.wait(timeout=10)
            raise BoomError(ev.number)

    barrier = threading.Barrier(4)
    run = Fails().run()
    with pytest.raises(BoomError):
        await run
    assert sorted(error.args[0] for error in run.failures) == [0, 1, 2, 3]


async def test_a_thread_may_use_its_context_in_threads_of_its_own():
    class Threaded(Workflow[list[int]]):
        @step
        def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            threads = [threading.Thread(target=ctx.send_event, args=[Job(number=n)]) for n in range(3)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()

        @step
        async def gather(self, ctx: Context, ev: Job) -> StopEvent[list[int]] | None:
            batch = ctx.collect_events(ev, [Job] * 3)
            return None if batch is None else StopEvent(result=sorted(job.number for job in batch))

    assert await Threaded().run() == [0, 1, 2]


async def test_a_thread_that_goes_back_to_the_loop_may_use_its_context_there():
    class Threaded(Workflow[int]):
        @step
        def begin(self, ctx: Context, ev: StartEvent) -> Job | None:
            anyio.from_thread.run(in_the_loop, ctx)

        @step
        async def end(self, ev: Job) -> StopEvent[int]:
            return StopEvent(result=ev.number)

    async def in_the_loop(ctx: Context) -> None:
        await anyio.sleep(0.001)
        assert ctx.remaining is not None
        ctx.send_event(Job(number=3))

    assert await Threaded().run() == 3


async def test_a_mistake_that_a_thread_makes_with_its_context_comes_out_there():
    class Wrong(Workflow[str]):
        @step
        def begin(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            with pytest.raises(TypeError, match="send_event takes an event"):
                ctx.send_event("text")  # pyright: ignore[reportArgumentType]
            with pytest.raises(TypeError, match="no StopEvent"):
                ctx.write_event_to_stream(StopEvent())
            with pytest.raises(WorkflowError, match="needs an async step"):
                ctx.wait_for_event(Job)  # pyright: ignore[reportUnusedCoroutine]
            with pytest.raises(WorkflowError, match="needs an async step"):
                ctx.sleep(1)  # pyright: ignore[reportUnusedCoroutine]
            return StopEvent(result="told")

    assert await Wrong().run() == "told"


async def test_a_context_that_outlives_its_step_sends_dead_letters(caplog: pytest.LogCaptureFixture):
    class Leaks(Workflow[str]):
        @step
        def begin(self, ctx: Context, ev: StartEvent) -> Job:
            contexts.append(ctx)
            return Job()

        @step
        async def end(self, ev: Job) -> StopEvent[str]:
            await anyio.to_thread.run_sync(contexts[0].send_event, Job(number=2))
            return StopEvent(result="ended")

    contexts: list[Context] = []
    run = Leaks().run()
    assert await run == "ended"
    assert [letter.event for letter in run.dead_letters] == [Job(number=2)]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("Leaks: dead letter Job(number=2) from Leaks.begin (")


async def test_all_threads_see_one_run_id():
    class Asks(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(8)]

        @step(num_workers=8)
        def ask(self, ctx: Context, ev: Job) -> Done:
            barrier.wait(timeout=10)
            ids.add(ctx.run_id)
            return Done(number=ev.number)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
            return None if ctx.collect_events(ev, [Done] * 8) is None else StopEvent(result=len(ids))

    barrier, ids = threading.Barrier(8), set[str]()
    run = Asks().run()
    assert await run == 1
    assert ids == {run.run_id}


async def test_more_workers_than_threads_wait_for_each_other_and_are_told_once(
    caplog: pytest.LogCaptureFixture,
):
    class Wide(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(50)]

        @step(num_workers=50)
        def work(self, ev: Job) -> Done:
            with lock:
                now.append(len(now) + 1)
                most[0] = max(most[0], len(now))
            time.sleep(0.0005)
            with lock:
                now.pop()
            return Done(number=ev.number)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent[int] | None:
            return None if ctx.collect_events(ev, [Done] * 50) is None else StopEvent(result=most[0])

    now, most, lock = list[int](), [0], threading.Lock()
    anyio.to_thread.current_default_thread_limiter().total_tokens = 3
    assert await Wide().run() <= 3
    assert await Wide().run() <= 3
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("Wide: Wide.work (test_threads.py:")
    assert told.endswith(
        ") has num_workers=50, but anyio lets 3 threads run at once, of all steps and runs together; for more write "
        "anyio.to_thread.current_default_thread_limiter().total_tokens = 50"
    )


async def test_as_many_workers_as_threads_may_run_are_all_at_work_at_once(caplog: pytest.LogCaptureFixture):
    class Wide(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job]:
            return [Job(number=number) for number in range(50)]

        @step(num_workers=50)
        def work(self, ev: Job) -> Done:
            barrier.wait(timeout=10)
            return Done(number=ev.number)

        @step
        async def gather(self, ctx: Context, ev: Done) -> StopEvent[str] | None:
            return None if ctx.collect_events(ev, [Done] * 50) is None else StopEvent(result="met")

    barrier = threading.Barrier(50)
    anyio.to_thread.current_default_thread_limiter().total_tokens = 50
    assert await Wide().run() == "met"
    assert caplog.records == []


def test_a_thread_that_ends_after_its_caller_was_cancelled_natively_is_told(
    caplog: pytest.LogCaptureFixture,
):
    class Late(Workflow[str]):
        @step
        def late(self, ev: StartEvent) -> StopEvent[str]:
            began.set()
            ended.wait(10)
            return StopEvent(result="late")

    async def main() -> None:
        task = asyncio.create_task(Late().execute())
        while not began.is_set():  # noqa: ASYNC110 - a thread sets it
            await anyio.sleep(0.001)
        task.cancel()
        await anyio.sleep(0.005)
        assert not task.done()
        ended.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    anyio.run(main)  # in real time: the virtual clock takes a thread whose wait was cancelled for none
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.endswith(
        ") returned StopEvent(result='late') in its thread, when nobody waited for it any more"
    )


async def test_what_ends_a_program_comes_out_bare_from_a_call_in_the_loop_too():
    class Key:
        def __hash__(self) -> int:
            raise error

    class Ends(Workflow[str]):
        @step
        def end(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
            ctx.collect_events(ev, [StartEvent], buffer_id=Key())
            return StopEvent(result="")

    error = SystemExit("mine")
    with pytest.raises(SystemExit) as caught:
        await Ends().run()
    assert caught.value is error


async def test_a_thread_that_raises_stop_iteration_fails_and_nothing_else_is_told(
    caplog: pytest.LogCaptureFixture,
):
    class Runs(Workflow[str]):
        @step
        def out(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result=next(iter(())))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await Runs().run()
    assert caplog.records == []


async def test_a_call_that_is_called_off_before_it_begins_is_never_made():
    """Whoever waited for it was cancelled while no thread had taken it up."""
    work = Work("Late: Late.late", anyio.get_cancelled_exc_class(), abandon=False)
    work._let_go()
    with pytest.raises(RuntimeError, match="called off"):
        await anyio.to_thread.run_sync(work._work, ended.set)
    assert not ended.is_set()


@pytest.mark.parametrize("thread_first", [True, False])
async def test_a_thread_never_begins_if_what_was_ready_with_it_has_ended_the_run(*, thread_first: bool):
    begun: list[int] = []

    class AtOnce(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> list[Job | Shout]:
            return [Job(), Shout()] if thread_first else [Shout(), Job()]

        @step
        def block(self, ev: Job) -> None:
            begun.append(1)

        @step
        async def stop(self, ev: Shout) -> StopEvent[str]:
            return StopEvent(result="stopped")

    for _ in range(20):  # trio takes up in any order who is ready
        assert await AtOnce().run() == "stopped"
    assert begun == []
