"""One contender in a process of its own: a line of JSON on stdin asks for a sample, a line on stdout answers.

    python -m benchmarks.peers.worker MODULE BACKEND

The first line on stdout says who is there. The process ends when its stdin does. It imports the contender and
otherwise only the standard library: a peer's environment holds the peer and nothing else.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, Protocol, TextIO, TypedDict, cast, final

from benchmarks.answer import expect
from benchmarks.contenders.native import Backend, Native, native

Kind = Literal["run", "loop", "fan", "asleep", "runs"]


class Contender(Protocol):
    """What the module of a contender holds. A function for a program that it cannot express is left out."""

    @property
    def PACKAGE(self) -> str:  # noqa: N802 - a constant of the module
        """The distribution whose version is told."""
        ...

    @property
    def CANNOT(self) -> Mapping[str, str]:  # noqa: N802 - a constant of the module
        """Kinds of program that it cannot express, each with the reason."""
        ...

    async def run(self, number: int, /) -> int:
        """One step, from start to stop; gives `number`."""
        ...

    async def loop(self, turns: int, /) -> int:
        """A step that hands over to itself `turns` times; gives how often."""
        ...

    async def fan(self, pieces: int, /) -> int:
        """Hands 0, 1, 2... out to pieces that double them, and joins them; gives their sum."""
        ...

    async def asleep(self, naps: int, seconds: float, /) -> int:
        """The same; the pieces sleep meanwhile, all at once."""
        ...

    async def three(self, number: int, seconds: float, /) -> int:
        """Three steps in a row; the first two add one to `number`, and the second sleeps."""
        ...


class Hello(TypedDict):
    """The first line of a worker."""

    package: str
    version: str
    cannot: dict[str, str]


class Request(TypedDict):
    """Asks for one sample: `repeats` times the same program."""

    kind: Kind
    size: int
    wait: float
    repeats: int


@final
class Times(TypedDict):
    """Seconds of processor time and of wall time, of all repeats together."""

    cpu: float
    wall: float


@final
class Failure(TypedDict):
    """What went wrong."""

    error: str


Answer = Times | Failure


Work = Callable[[Contender, Native, Request], Awaitable[None]]


async def runs_in_turn(contender: Contender, floor: Native, request: Request) -> None:
    for number in range(request["size"]):
        expect(await contender.run(number), number)


async def loop(contender: Contender, floor: Native, request: Request) -> None:
    expect(await contender.loop(request["size"]), request["size"])


async def fan(contender: Contender, floor: Native, request: Request) -> None:
    expect(await contender.fan(request["size"]), doubled(request["size"]))


async def asleep(contender: Contender, floor: Native, request: Request) -> None:
    expect(await contender.asleep(request["size"], request["wait"]), doubled(request["size"]))


async def runs_at_once(contender: Contender, floor: Native, request: Request) -> None:
    results = [0] * request["size"]

    async def one(number: int) -> None:
        results[number] = await contender.three(number, request["wait"])

    await floor.each(one, range(request["size"]))
    expect(results, [number + 2 for number in range(request["size"])])


WORKS: dict[Kind, Work] = {
    "run": runs_in_turn,
    "loop": loop,
    "fan": fan,
    "asleep": asleep,
    "runs": runs_at_once,
}


def doubled(pieces: int) -> int:
    """The sum of 0, 2, 4... of that many pieces."""
    return pieces * (pieces - 1)


async def sample(contender: Contender, floor: Native, request: Request) -> Times:
    """Does the work and times it; a wrong result raises."""
    work = WORKS[request["kind"]]
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(request["repeats"]):
        await work(contender, floor, request)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def answered(contender: Contender, floor: Native, request: Request) -> Answer:
    """The sample, or the error: one program that fails leaves the worker there for the next."""
    try:
        return floor.run(partial(sample, contender, floor, request))
    except Exception as error:  # noqa: BLE001 - told to the one who asked
        return {"error": f"{type(error).__name__}: {error}"}


def hello(contender: Contender) -> Hello:
    try:
        found = version(contender.PACKAGE)
    except PackageNotFoundError:
        found = "from the path"
    return {"package": contender.PACKAGE, "version": found, "cannot": dict(contender.CANNOT)}


def conversation(contender: Contender, backend: Backend, requests: Iterator[str]) -> Iterator[Hello | Answer]:
    """Everything that a worker says, line by line."""
    floor = native(backend)
    yield hello(contender)
    for line in requests:
        yield answered(contender, floor, cast(Request, json.loads(line)))


def own_stdout() -> TextIO:
    """The stdout that was given, for answers alone: what an engine prints goes to stderr from now on."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def main(arguments: list[str]) -> None:
    module, named = arguments
    backend: Backend = "trio" if named == "trio" else "asyncio"
    with own_stdout() as out:
        for said in conversation(cast(Contender, import_module(module)), backend, sys.stdin):
            print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
