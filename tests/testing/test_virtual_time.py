"""The clocks that users get: exact, patient with threads, and never stuck in silence."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import anyio
import pytest

from stretto import DefinitionError, Event, StartEvent, StopEvent, Workflow, WorkflowError, step
from stretto.testing import Deadlock, virtual_backend, virtual_run
from stretto.testing._virtual import current_world
from tests.projects import run_pytest

BACKENDS = ("asyncio", "trio")


class Again(Event):
    day: int


class Patient(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent) -> Again:
        return Again(day=0)

    @step
    async def day(self, ev: Again) -> Again | StopEvent[int]:
        await anyio.sleep(24 * 3600)
        return Again(day=ev.day + 1) if ev.day < 6 else StopEvent(result=ev.day + 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_week_takes_no_time_and_is_exact(backend: str):
    async def week() -> float:
        assert await Patient(timeout=None).run() == 7
        return anyio.current_time()

    began = time.monotonic()
    assert virtual_run(week, backend=backend) % (7 * 24 * 3600) == 0
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_takes_arguments_and_gives_the_result(backend: str):
    async def add(a: int, b: int) -> int:
        return a + b

    assert virtual_run(add, 1, 2, backend=backend) == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deadlock_is_told_at_once_with_the_line(backend: str):
    async def main() -> None:
        await anyio.Event().wait()

    with pytest.raises(Deadlock, match=r"test_virtual_time\.py:\d+ main"):
        virtual_run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("frozen", [False, True])
def test_idle_is_when_nobody_can_do_anything_and_comes_before_a_jump(backend: str, frozen: bool):
    seen: list[str] = []

    async def sleeper() -> None:
        seen.append("sleeps")
        await anyio.sleep(1)
        seen.append("woke")

    async def main() -> None:
        world = current_world()
        assert world is not None
        world.frozen = frozen
        start = anyio.current_time()
        async with anyio.create_task_group() as tg:
            tg.start_soon(sleeper)
            tg.start_soon(anyio.to_thread.run_sync, partial(time.sleep, 0.02))
            await world.idle()
            seen.append("idle")
            assert world.threads == 0
            aged = anyio.current_time() - start
            assert (aged == 0) is frozen
            world.jump(5)
            assert anyio.current_time() == pytest.approx(start + aged + 5)
        assert anyio.current_time() == pytest.approx(start + aged + 5)

    virtual_run(main, backend=backend)
    assert seen == ["sleeps", "idle", "woke"]


def test_a_backend_that_there_is_none_of_is_refused():
    with pytest.raises(DefinitionError, match=r"^a backend is 'asyncio' or 'trio', not 'gevent'$"):
        virtual_backend("gevent")


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_says_that_it_is_called_inside_of_an_event_loop(backend: str):
    async def inside() -> None:
        with pytest.raises(WorkflowError) as caught:
            virtual_run(anyio.sleep, 1, backend=backend)
        assert str(caught.value) == (
            "virtual time has an event loop of its own, and one is running here; call virtual_run, or a test of "
            "explore, outside of async functions: in a plain def test_…, or at the top of a file"
        )

    anyio.run(inside, backend=backend)


# -- the plugin, in a project that is not this one ------------------------------------------------------------------

PROJECT = """
    import anyio
    import pytest
    from stretto.testing import Deadlock

    pytestmark = pytest.mark.anyio

    async def test_an_hour():
        start = anyio.current_time()
        await anyio.sleep(3600)
        assert anyio.current_time() == start + 3600

    async def test_stuck():
        await anyio.Event().wait()

    async def test_real(real_time):
        start = anyio.current_time()
        await anyio.sleep(0.001)
        assert 0.001 <= anyio.current_time() - start < 3600

    async def test_leaves_a_generator(no_leaks):
        async def numbers():
            yield 1
        global kept
        kept = numbers()
        await anext(kept)
"""


@pytest.mark.parametrize("how", ["option", "conftest"])
def test_the_plugin_gives_virtual_time_where_it_is_asked_for(tmp_path: Path, how: str):
    options: list[str] = []
    if how == "option":
        options = ["-p", "stretto.testing.plugin"]
    else:
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["stretto.testing.plugin"]\n', "utf-8")
    said = run_pytest(tmp_path, PROJECT, *options)
    assert "4 failed, 4 passed" in said, said
    assert said.count("Deadlock: every task waits") == 2, said
    assert "open async generator test_leaves_a_generator" in said, said


def test_nothing_of_it_is_there_where_nobody_asks(tmp_path: Path):
    program = """
        def test_none(pytestconfig):
            import sys
            assert not pytestconfig.pluginmanager.hasplugin("stretto.testing.plugin")
            assert "stretto.testing" not in sys.modules
    """
    assert "1 passed" in run_pytest(tmp_path, program)
