"""A conversation that is written while a member waits for its restart goes on with what is left of that."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from stretto import Application, Context, Event, SnapshotError, Workflow, step
from stretto.retry import fixed, no_wait
from stretto.supervision import Restart
from tests.application.programs import Boom
from tests.application.test_supervision import Boss, Done, Job, Pair, Worker, jobs, letters

pytestmark = pytest.mark.anyio


async def cut(app: Application, at: float) -> Any:
    async with app, app.run("boss") as run:
        await anyio.sleep(at)
        data = run.ctx.to_dict()
        await run.cancel()
    return json.loads(json.dumps(data, allow_nan=False))


def application(expects: int = 2, worker: Worker | None = None, **policy: Any) -> Application:
    boss = Boss({0: jobs(0, 1, 2, fails=(0,))}, expects=expects)
    restart = Restart(**{"backoff": fixed(9), **policy})
    return Application(boss=boss, worker=worker or Worker(), supervise={"worker": restart})


async def test_what_is_left_of_the_backoff_is_waited_for_and_what_was_kept_is_handled_then():
    data = await cut(application(), 4)
    assert data["restarts"] == {"worker": [3.0]}
    assert [run.get("held") for run in data["runs"]] == [None, 6.0]
    worker = Worker()
    async with application(worker=worker) as app:
        assert await app.resume(data) == [1, 2]
        assert letters(app) == []  # what was in flight was told before
    assert [at for at, what in worker.log if "begins" in what] == [6, 7]


async def test_restarts_before_a_snapshot_count_after_it_and_grow_old():
    def failing() -> Application:
        boss = Boss({0: jobs(0, 1, 2, fails=(0, 1))}, expects=1)
        return Application(
            boss=boss, worker=Worker(), supervise={"worker": Restart(backoff=fixed(9), limit=1)}
        )

    data = await cut(failing(), 4)
    async with failing() as app:
        with pytest.raises(Boom):
            await app.resume(data)
    data["restarts"] = {"worker": [49.0]}  # and 7 more until it fails again
    async with failing() as app:
        with pytest.raises(Boom):
            await app.resume(data)
    data["restarts"] = {"worker": [53.0]}
    async with failing() as app:
        assert await app.resume(data) == [2]


async def test_what_comes_before_the_restart_is_discarded_after_a_snapshot_too():
    def late() -> Application:
        boss = Boss({0: jobs(0, fails=(0,)), 30: []}, expects=1)
        restart = Restart(backoff=fixed(9), mailbox="discard")
        return Application(boss=boss, worker=Worker(), supervise={"worker": restart}, external=[Job])

    data = await cut(late(), 4)
    async with late() as app, app.resume(data) as run:
        await anyio.sleep(1)
        run.send_event(Job(n=7), to="worker")
        await anyio.sleep(6)
        run.send_event(Job(n=8), to="worker")
        assert await run == [8]
        assert [reason.split(",")[0] for n, reason in letters(app) if n == 7] == [
            "worker (Worker) is to be restarted in 5 s"
        ]


async def test_an_application_that_does_not_supervise_it_any_more_goes_on_at_once():
    data = await cut(application(), 4)
    worker = Worker()
    async with Application(boss=Boss({}, expects=2), worker=worker) as app:
        assert await app.resume(data) == [1, 2]
    assert [at for at, what in worker.log if "begins" in what] == [0, 1]
    async with Application(boss=Boss({}, expects=2), worker=Worker(), supervise={"boss": Restart()}) as app:
        assert await app.resume(data) == [1, 2]


async def test_there_is_no_snapshot_while_the_steps_of_the_old_run_clean_up():
    boss = Boss({0: [Job(n=0, fails=True), Job(n=1, seconds=9)], 9: jobs(2)}, expects=1)
    supervise = {"pair": Restart(backoff=no_wait())}
    async with (
        Application(boss=boss, pair=Pair(clean_up=4), supervise=supervise) as app,
        app.run("boss") as run,
    ):
        await anyio.sleep(3)
        with pytest.raises(SnapshotError) as caught:
            run.ctx.to_dict()
        assert str(caught.value) == (
            "pair (Pair) is being restarted, and its steps still clean up, so what becomes of their events is not "
            "decided; take the snapshot when they have ended"
        )
        await anyio.sleep(3)
        assert "restarts" in run.ctx.to_dict()
        assert await run == [2]


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("restarts", {"x": [1.0]}, r"^restarts\.x: the application has no member 'x', it has: boss, worker$"),
        (
            "restarts",
            {"worker": [-1]},
            r"^restarts\.worker\[0\]: this should be a time in seconds, and is -1$",
        ),
        ("held", "soon", r"^runs\[1\]\.held: this should be a time in seconds, and is 'soon'$"),
        ("discards", 1, r"^runs\[1\]\.discards: this should be true or false, and is 1$"),
    ],
)
async def test_what_is_wrong_with_the_data_is_told_with_its_place(where: str, value: object, says: str):
    data = await cut(application(), 4)
    (data if where == "restarts" else data["runs"][1])[where] = value
    async with application() as app:
        with pytest.raises(SnapshotError, match=says):
            app.resume(data)


class Query(Event):
    n: int


class Found(Event):
    n: int


class Keyed(Workflow):
    """Queries for a job, and fails at a negative one, in the run of its key."""

    @step
    async def work(self, ctx: Context, ev: Job) -> Query | None:
        if ev.fails:
            raise Boom
        await ctx.store.set("n", ev.n)
        return Query(n=ev.n) if ev.n < 10 else None

    @step
    async def found(self, ctx: Context, ev: Found) -> Done:
        return Done(n=await ctx.store.get("n", -1))


class Store(Workflow):
    @step
    async def look(self, ev: Query) -> Found:
        await anyio.sleep(5)
        return Found(n=ev.n)


async def test_what_comes_back_after_a_snapshot_for_a_run_that_was_replaced_is_for_the_new_one():
    def keyed() -> Application:
        sent = {0: [Job(n=1)], 1: [Job(n=1, fails=True)], 2: [Job(n=11)], 20: []}
        app = Application(
            boss=Boss(sent, 1), keyed=Keyed(), store=Store(), supervise={"keyed": Restart(backoff=no_wait())}
        )
        return app.connect(Job, key=lambda ev: ev.n % 2)

    async with keyed() as app:
        assert await app.run("boss") == [11]
    data = await cut(keyed(), 3)
    assert [run.get("key") for run in data["runs"] if run["member"] == "keyed"] == [1]
    async with keyed() as app:
        assert await app.resume(data) == [11]
