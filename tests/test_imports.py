"""What importing and running the package loads: trio only in a program that runs on it, hypothesis never."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

RUN = """
    import anyio
    from stretto import Context, Event, StartEvent, StopEvent, Workflow, step

    class Ask(Event):
        number: int

    class Sum(Workflow[int]):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | None:
            for number in range(3):
                ctx.send_event(Ask(number=number))

        @step
        async def add(self, ctx: Context, ev: Ask) -> StopEvent[int] | None:
            asked = ctx.collect_events(ev, [Ask] * 3)
            return None if asked is None else StopEvent(result=sum(each.number for each in asked))

    class Plain(Workflow[int]):
        @step
        def begin(self, ev: StartEvent) -> StopEvent[int]:
            return StopEvent(result=3)

    async def main():
        async with Sum(timeout=10).run() as run:
            streamed = [ev async for ev in run.stream_events()]
            assert await run == 3 == streamed[-1].result
        assert await Sum().run() == await Plain().run() == 3
        article = Sum().run()
        assert [type(ev) async for ev in article.stream_events()] == [StopEvent]
        assert await article == 3

    anyio.run(main, backend=BACKEND)
    assert Sum().run_sync(backend=BACKEND) == 3
"""

# Put in front of the program: importing one of BLOCKED fails as if it were not installed.
BLOCK = """
    import sys
    from importlib.abc import MetaPathFinder

    class NotInstalled(MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name.partition(".")[0] in BLOCKED:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, NotInstalled())
"""


def python(*parts: str, **names: object) -> str:
    """Runs a program made of these parts in a process of its own and gives what it prints."""
    program = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    program += "\n".join(textwrap.dedent(part) for part in parts)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = (
    "import sys; print(sorted({'trio', 'hypothesis', 'typing_extensions', 'stretto'} & sys.modules.keys()))"
)


def test_importing_the_package_and_its_pictures_loads_neither_trio_nor_hypothesis():
    loaded = python("import stretto, stretto.drawing", LOADED)
    assert "trio" not in loaded.replace("stretto", "")
    assert "hypothesis" not in loaded
    assert "stretto" in loaded


def test_a_run_on_asyncio_never_loads_trio():
    loaded = python(RUN, LOADED, BACKEND="asyncio")
    assert "'trio'" not in loaded
    assert "stretto" in loaded


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_run_loads_hypothesis(backend: str):
    assert "hypothesis" not in python(RUN, LOADED, BACKEND=backend)


def test_the_package_works_where_neither_trio_nor_hypothesis_is_installed():
    python(BLOCK, RUN, BLOCKED={"trio", "hypothesis", "_pytest", "pytest"}, BACKEND="asyncio")


def test_the_block_itself_holds():
    python(
        BLOCK,
        """
        try:
            import trio
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("trio was imported")
        """,
        BLOCKED={"trio"},
    )


def test_importing_the_package_warns_of_nothing_and_prints_nothing():
    assert python("import stretto") == ""
