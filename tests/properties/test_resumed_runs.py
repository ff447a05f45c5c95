"""Cut off at any moments and gone on with elsewhere, a run comes to what it would have come to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests import virtual
from tests.properties import resumable
from tests.properties.resumable import Begin, Forked, Random, again, count, effects, for_a_while

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent


def numbered(jobs: list[dict[str, Any]], path: str = "") -> list[dict[str, Any]]:
    """Each has a name of its own."""
    return [
        {**job, "name": (name := f"{path}{number}"), "inner": numbered(job["inner"], f"{name}.")}
        for number, job in enumerate(jobs)
    ]


job = st.recursive(
    st.builds(dict, kind=st.sampled_from(["plain", "flaky", "effect", "state"]),
              delay=st.sampled_from([0.0, 0.25, 1.0]), inner=st.just([])),
    lambda inner: st.builds(dict, kind=st.just("fan"), delay=st.sampled_from([0.0, 0.5]),
                            inner=st.lists(inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip
jobs = st.lists(job, min_size=1, max_size=4).map(numbered)
cuts = st.lists(st.floats(0, 5), max_size=5)


def wanted(jobs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """An even number of jobs, and half of that."""
    if count(jobs) % 2:
        jobs = [*jobs, {"name": "odd", "kind": "effect", "delay": 0.5, "inner": []}]
    return jobs, count(jobs) // 2


def named(jobs: list[dict[str, Any]], kind: str) -> list[str]:
    return [
        name
        for each in jobs
        for name in [*([each["name"]] if each["kind"] == kind else []), *named(each["inner"], kind)]
    ]


def every(jobs: list[dict[str, Any]]) -> list[str]:
    return [name for each in jobs for name in [each["name"], *every(each["inner"])]]


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@given(jobs=jobs, cuts=cuts)
@settings(deadline=None)
def test_a_run_that_is_cut_off_again_and_again_comes_to_the_same(
    backend: str, jobs: list[dict[str, Any]], cuts: list[float]
):
    effects.clear()
    jobs, pairs = wanted(jobs)

    async def main() -> Any:
        run = Random(pairs).run(Begin(jobs=jobs, parts=count(jobs)))
        for seconds in cuts:
            data, result = await for_a_while(run, seconds)
            if data is None:
                return result
            run = again(pairs, data)
        return await run

    assert virtual.run(main, backend=backend) == {
        "values": sorted(every(jobs)),
        "done": dict.fromkeys(named(jobs, "state"), 1),
    }
    assert sorted(effects) == sorted(named(jobs, "effect"))


def joined(jobs: list[dict[str, Any]]) -> list[str]:
    """What comes to the outer join: nothing of an effect, and of a fan the names of its twigs, at once."""
    return sorted(
        ",".join(sorted(twig["name"] for twig in each["inner"] if twig["kind"] != "effect"))
        if each["kind"] == "fan"
        else each["name"]
        for each in jobs
        if each["kind"] != "effect"
    )


@pytest.mark.parametrize("backend", virtual.BACKENDS)
@given(jobs=jobs, cuts=cuts)
@settings(deadline=None)
def test_what_was_forked_is_joined_however_often_it_is_cut_off(
    backend: str, jobs: list[dict[str, Any]], cuts: list[float]
):
    async def main() -> Any:
        run = Forked().run(Begin(jobs=jobs, parts=0))
        for seconds in cuts:
            data, result = await for_a_while(run, seconds)
            if data is None:
                return result
            run = again(0, data)
        return await run

    assert virtual.run(main, backend=backend) == joined(jobs)


@pytest.mark.parametrize("first", [0.3, 1.1, 2.6])
async def test_it_does_so_in_other_processes_too(first: float, anyio_backend_name: str):
    """Three processes, one after the other: none knows more of the run than its snapshot."""
    effects.clear()
    jobs, pairs = wanted(
        numbered(
            [
                {"kind": kind, "delay": 0.25, "inner": [{"kind": "effect", "delay": 0.5, "inner": []}]}
                for kind in ("plain", "flaky", "effect", "state")
            ]
        )
    )
    data, result = await for_a_while(Random(pairs).run(Begin(jobs=jobs, parts=count(jobs))), first)
    happened = list(effects)
    for seconds in (1.7, 1e9):
        assert data is not None
        given = {"data": data, "pairs": pairs, "seconds": seconds, "backend": anyio_backend_name}
        done = subprocess.run(  # noqa: ASYNC221 - time stands still meanwhile
            [sys.executable, "-m", resumable.__name__],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
        said = json.loads(done.stdout)
        data, result = said["data"], said["result"]
        happened += said["effects"]
    assert result == {"values": sorted(every(jobs)), "done": {"3": 1}}
    assert sorted(happened) == sorted(named(jobs, "effect"))
