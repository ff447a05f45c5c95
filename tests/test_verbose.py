"""`verbose=True`: one line for each step that ends, through the logger `stretto`, or to stderr."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import textwrap
import threading

import anyio
import pytest

from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

pytestmark = pytest.mark.anyio

LINE = re.compile(
    r"(?P<run>[0-9a-f]{12}) +(?P<begun>\d+\.\d{3})s  (?P<step>\w+) #(?P<attempt>\d+)  <- (?P<taken>\w+)  "
    r"-> (?P<out>[\w, ]+)  (?P<took>\d+\.\d) ms"
)


class Ask(Event):
    seconds: float


class Answer(Event):
    pass


class Poll(Workflow[int]):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
        await ctx.sleep(0.5)
        ctx.send_event(Ask(seconds=1))
        ctx.send_event(Ask(seconds=2))

    @step
    async def ask(self, ev: Ask) -> list[Answer]:
        await anyio.sleep(ev.seconds)
        return [Answer()]

    @step
    async def join(self, ctx: Context, ev: Answer) -> StopEvent[int] | None:
        answers = ctx.collect_events(ev, [Answer] * 2)
        return None if answers is None else StopEvent(result=len(answers))


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """The lines that were logged, each taken apart."""
    found = [LINE.fullmatch(record.getMessage()) for record in caplog.records]
    assert all(found), caplog.text
    assert {(record.name, record.levelname) for record in caplog.records} <= {("stretto", "INFO")}
    return [each.groupdict() for each in found if each is not None]


async def test_each_step_that_ends_is_a_line(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "stretto")
    async with Poll(verbose=True).run() as run:
        assert await run == 2
    assert [
        (line["begun"], line["step"], line["taken"], line["out"], line["took"]) for line in lines(caplog)
    ] == [
        ("0.000", "begin", "StartEvent", "Ask x2", "500.0"),
        ("0.500", "ask", "Ask", "Answer", "1000.0"),
        ("1.500", "join", "Answer", "nothing", "0.0"),
        ("0.500", "ask", "Ask", "Answer", "2000.0"),
        ("2.500", "join", "Answer", "StopEvent", "0.0"),
    ]
    assert {line["run"] for line in lines(caplog)} == {run.run_id}
    assert {line["attempt"] for line in lines(caplog)} == {"1"}


@pytest.mark.parametrize("limit", [None, 45.0])
async def test_each_line_has_the_time_at_which_its_step_began(
    limit: float | None, caplog: pytest.LogCaptureFixture
):
    """Without a time limit each step seemed to have begun with the first of its worker."""

    class Two(Workflow[None]):
        @step
        async def begin(self, ev: StartEvent) -> Answer:
            await anyio.sleep(0.5)
            return Answer()

        @step
        async def go_on(self, ev: Answer) -> StopEvent[None]:
            await anyio.sleep(0.25)
            return StopEvent()

    caplog.set_level(logging.INFO, "stretto")
    await Two(timeout=limit, verbose=True).run()
    assert [(line["begun"], line["took"]) for line in lines(caplog)] == [
        ("0.000", "500.0"),
        ("0.500", "250.0"),
    ]


async def test_a_step_that_fails_or_is_cancelled_is_a_line_too(caplog: pytest.LogCaptureFixture):
    class Fails(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
            ctx.send_event(Ask(seconds=1))
            ctx.send_event(Ask(seconds=9))

        @step
        async def ask(self, ctx: Context, ev: Ask) -> Answer | StopEvent:
            await anyio.sleep(ev.seconds)
            ctx.send_event(Answer())
            raise ValueError(ev.seconds)

        @step
        async def answer(self, ev: Answer) -> None: ...

    caplog.set_level(logging.INFO, "stretto")
    with pytest.raises(ValueError, match="1"):
        await Fails(verbose=True).run()
    cancelled = anyio.get_cancelled_exc_class().__name__
    told = [(line["step"], line["out"], line["took"]) for line in lines(caplog)]
    assert told[0] == ("begin", "Ask x2", "0.0")
    assert sorted(told[1:]) == [
        ("ask", "Answer, raised ValueError", "1000.0"),
        ("ask", f"raised {cancelled}", "1000.0"),
    ]


async def test_steps_in_threads_and_in_the_lane_are_told_alike(caplog: pytest.LogCaptureFixture):
    class Both(Workflow[bool]):
        @step
        async def begin(self, ev: StartEvent) -> Answer:
            return Answer()

        @step
        def end(self, ev: Answer) -> StopEvent[bool]:
            return StopEvent(result=threading.current_thread() is threading.main_thread())

    caplog.set_level(logging.INFO, "stretto")
    assert await Both(verbose=True).run() is False
    assert [(line["step"], line["out"]) for line in lines(caplog)] == [
        ("begin", "Answer"),
        ("end", "StopEvent"),
    ]


async def test_runs_can_be_told_apart_and_a_nested_run_has_its_own_verbosity(
    caplog: pytest.LogCaptureFixture,
):
    class Outer(Workflow[int]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=await Poll(verbose=ev.inner).run())

    caplog.set_level(logging.INFO, "stretto")
    assert await Outer(verbose=True).run(inner=False) == 2
    assert [line["step"] for line in lines(caplog)] == ["begin"]
    caplog.clear()
    assert await Outer(verbose=True).run(inner=True) == 2
    by_run: dict[str, list[str]] = {}
    for line in lines(caplog):
        by_run.setdefault(line["run"], []).append(line["step"])
    assert sorted(by_run.values()) == [["begin"], ["begin", "ask", "join", "ask", "join"]]


async def test_without_it_nothing_is_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "stretto")
    assert await Poll().run() == 2
    assert not caplog.records


PROGRAM = """
    import anyio
    from stretto import StartEvent, StopEvent, Workflow, step

    class Hello(Workflow[str]):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent[str]:
            return StopEvent(result="hello")

    print(anyio.run(Hello(verbose=True).run, backend=BACKEND))
"""


def run_program(backend: str, before: str = "") -> subprocess.CompletedProcess[str]:
    program = f"BACKEND = {backend!r}\n{before}\n{textwrap.dedent(PROGRAM)}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, timeout=50
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_where_logging_is_not_set_up_the_lines_go_to_stderr(backend: str):
    done = run_program(backend)
    assert done.stdout == "hello\n"
    assert LINE.fullmatch(done.stderr.strip())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_where_logging_is_set_up_it_decides(backend: str):
    done = run_program(
        backend,
        "import logging, sys; logging.basicConfig(level='INFO', format='%(name)s|%(message)s', stream=sys.stdout)",
    )
    line, hello = done.stdout.splitlines()
    assert line.startswith("stretto|")
    assert LINE.fullmatch(line.removeprefix("stretto|"))
    assert hello == "hello"
    assert done.stderr == ""
    quiet = run_program(backend, "import logging; logging.basicConfig(level='WARNING')")
    assert (quiet.stdout, quiet.stderr) == ("hello\n", "")
