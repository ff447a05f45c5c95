"""Data that somebody else wrote: whatever it is, it is read or told with its path, and runs no code."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings, strategies as st

from stretto import (
    Application,
    Context,
    Handler,
    SnapshotError,
    Workflow,
    WorkflowStalledError,
    WorkflowTimeoutError,
)
from stretto.errors import RestoredError
from tests import virtual
from tests.properties.applications import KINDS, Books, Node, Program, Way, application
from tests.properties.resumable import Begin, Forked, Random, again, count, for_a_while

CANARY = "tests.properties.canary"
ROUNDS = 25
# What steps raise that were given something else than they were made for, and how a run ends that has lost an event.
ITS_OWN = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    ConnectionError,
    RestoredError,
    AssertionError,
)
JUNK: list[Callable[[random.Random], Any]] = [
    lambda of: of.choice([None, True, False, 0, 1, -1, 2**31, 2**70, 0.5, -0.5, 1e308, math.inf, math.nan]),
    lambda of: of.choice(["", "x", "step", "0", "nan", "Job", "Reply", "Gone", CANARY, f"{CANARY}:Bird", "__class__"]),
    lambda of: of.choice([[], {}, [[]], [0], [0, True], {"step": "work", "event": 0}, {"a b": 1}]),
    lambda of: {"$": of.choice(["tuple", "set", "dict", "Decimal", "datetime", "float", "error", "module"]), "of": "a"},
    lambda of: {"$type": of.choice(["Job", "Tally", "Bird", CANARY, "os.system"]), "fields": {}},
    lambda of: {"$type": "Job", "version": of.choice([0, 2, "1"]), "fields": {"name": [], "upgrade": 1}},
]  # fmt: skip


@cache
def wholes() -> list[str]:
    """Snapshots of runs in the middle of all sorts of things."""
    jobs = [
        {"name": f"{number}", "kind": kind, "delay": 0.5, "inner": []}
        for number, kind in enumerate(["flaky", "effect", "state", "flaky", "plain", "state"])
    ]

    fans = [{"name": "fan", "kind": "fan", "delay": 0.0, "inner": jobs}]

    async def cut(seconds: float, *, forked: bool) -> str:
        run: Handler[Any] = Random(3).run(Begin(jobs=jobs, parts=count(jobs)))
        if forked:
            await run.cancel()
            run = Forked().run(Begin(jobs=[*fans, *jobs], parts=0))
        data, _ = await for_a_while(run, seconds)
        assert data is not None
        return data

    return [
        virtual.run(partial(cut, seconds, forked=forked), backend="asyncio")
        for seconds in (0.1, 0.8, 1.3, 2.1, 2.6, 3.9)
        for forked in (False, True)
    ]


def workflow_of(data: Any) -> type[Workflow[Any]]:
    return Forked if isinstance(data, dict) and data.get("workflow") == "Forked" else Random


def nodes(data: Any) -> Iterator[tuple[Any, Any]]:
    """Each container, and a key of it."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in list(pairs):
        yield data, key
        yield from nodes(inner)


def mutate(data: Any, of: random.Random) -> Any:
    """One thing in it is gone, is there twice, is something else, or stands elsewhere."""
    places = list(nodes(data))
    if not places:
        return data
    holder, key = of.choice(places)
    match of.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(of.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        case 2 if isinstance(holder, dict):
            holder[of.choice([*holder, "step", "event", "$", "$type", "of", "fields", "more"])] = holder.pop(
                key
            )
        case 3:
            other, where = of.choice(places)
            holder[key] = copy.deepcopy(other[where])
        case 4 if isinstance(holder[key], (int, float)):
            holder[key] = holder[key] + of.choice([-1, 1, 1000])
        case _:
            holder[key] = of.choice(JUNK)(of)
    return data


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=400)
def test_a_snapshot_that_was_changed_is_read_or_told(seed: int):
    of = random.Random(seed)
    for _ in range(ROUNDS):
        data = json.loads(of.choice(wholes()))
        for _ in range(of.choice([1, 1, 1, 2, 5])):
            data = mutate(data, of)
        with contextlib.suppress(SnapshotError):
            Context.from_dict(workflow_of(data), data)


def conversation() -> Application:
    ways = (Way((1,), None, keyed=True), Way((0, 2), None, keyed=False), *[Way((3,), None, keyed=False)] * 4)
    inner = tuple(Node(kind, 0, 2, ()) for kind in (1, 2))
    first = tuple(Node(kind, key, 2, inner) for kind in (0, 1, 2) for key in (0, 1))
    program = Program(ways, first, 3.5, frozenset({1}), drains=True)
    return application(program, Books(program), workers=1)


@cache
def conversations() -> list[str]:
    async def cut(seconds: float) -> str:
        async with conversation() as app, app.run("m0") as run:
            await anyio.sleep(seconds)
            data = run.ctx.to_dict(types=[Node, *KINDS])
            await run.cancel()
        return json.dumps(data)

    return [virtual.run(cut, seconds, backend="asyncio") for seconds in (0.5, 2.5, 4.5)]


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_a_snapshot_of_a_conversation_that_was_changed_is_told_or_comes_to_an_end(backend: str, seed: int):
    of = random.Random(seed)
    data = mutate(json.loads(of.choice(conversations())), of)

    async def main() -> None:
        async with conversation() as app:
            try:
                run = app.resume(data, types=[Node, *KINDS])
            except SnapshotError:
                return
            with contextlib.suppress(*ITS_OWN), anyio.move_on_after(3600):
                await run  # some wait for the outside by then

    virtual.run(main, backend=backend)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=3) | st.sampled_from(["stretto", "workflow", "age", "run_id", "events", "active"]), inner
    ),
    max_leaves=10,
))  # fmt: skip
def test_what_is_no_snapshot_at_all_is_told(data: Any):
    with pytest.raises(SnapshotError):
        Context.from_dict(Random, data)


@given(st.data())
def test_a_snapshot_that_is_cut_short_is_no_json_or_told(data: st.DataObject):
    whole = data.draw(st.sampled_from(wholes()))
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for ending in ("", "}", "]}", "}]}", "0]}", "null}"):
        try:
            read = json.loads(part + ending)
        except json.JSONDecodeError:
            continue
        with contextlib.suppress(SnapshotError):
            Context.from_dict(workflow_of(read), read)


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=300)
def test_a_changed_snapshot_that_can_be_read_can_be_run(backend: str, seed: int):
    """It ends, in some way that a program can end in; the engine itself does not stumble over it."""
    of = random.Random(seed)
    data = mutate(json.loads(of.choice(wholes())), of)
    try:
        Context.from_dict(workflow_of(data), data)
    except SnapshotError:
        return

    async def main() -> None:
        if data.get("finished"):  # then it takes a start event
            return
        with contextlib.suppress(*ITS_OWN):
            await again(3 if workflow_of(data) is Random else 0, json.dumps(data))

    virtual.run(main, backend=backend)


AUDIT = """
import json, sys

watched = False

def hook(event, arguments):
    if watched and event in {"import", "exec", "compile", "pickle.find_class", "os.system", "subprocess.Popen", "open"}:
        print("SEEN", event, arguments[:1])

import tests.properties.test_mutated_snapshots as mutated
from stretto import Context

wholes = mutated.wholes()
for whole in wholes:  # loads what reading needs
    Context.from_dict(mutated.workflow_of(json.loads(whole)), json.loads(whole))
sys.addaudithook(hook)
of = mutated.random.Random(int(sys.argv[1]))
for _ in range(1500):
    data = json.loads(of.choice(wholes))
    for _ in range(3):
        data = mutated.mutate(data, of)
    watched = True
    try:
        Context.from_dict(mutated.workflow_of(data), data)
    except mutated.SnapshotError:
        pass
    watched = False
print("canary" if mutated.CANARY in sys.modules else "no canary")
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_loaded_data_runs_no_code_and_imports_nothing(seed: str):
    """Under an audit hook: nothing is imported, compiled, opened or unpickled, whatever names the data has."""
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, seed],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    assert done.stdout == "no canary\n"
