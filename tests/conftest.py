"""Every async test runs on asyncio and on trio, in virtual time, and must leave nothing behind.

A test that needs the real clock asks for the fixture `real_time`. A test that runs loops of its own is a
plain function and takes `anyio_backend_name`.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Coroutine, Generator
from inspect import iscoroutinefunction
from typing import Any

import pytest

from tests import leaks, virtual


@pytest.fixture
def real_time() -> None:
    """Ask for this and the test's seconds are real ones."""


@pytest.fixture(params=virtual.BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both backends, each with a fresh clock. anyio's pytest plugin looks for this name."""
    if "real_time" in request.fixturenames:
        return request.param, {}
    return virtual.virtual_backend(request.param)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Generator[None]:
    """Threads and open async generators end with their test; so do coroutines that nobody awaited.

    Those make a warning when they are collected, and warnings are errors here.
    """
    before = leaks.BeforeLoop()
    yield
    gc.collect()
    assert not (found := before.left_behind()), f"left behind: {', '.join(found)}"
    gc.freeze()  # what is there now is there to stay: each test pays for its own objects alone


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Put a guard round each async test, in its loop: a deadlock is told, a task left behind fails it."""
    if "anyio_backend" not in pyfuncitem.funcargs:
        return
    test: Any = pyfuncitem.obj
    if hasattr(test, "hypothesis"):
        inner = test.hypothesis.inner_test
        inner = getattr(inner, "_anyio_original_func", inner)  # the plugin wrapped it for the other backend
        if iscoroutinefunction(inner) and not hasattr(inner, "watched"):
            test.hypothesis.inner_test = watched(inner)
    elif iscoroutinefunction(test):
        pyfuncitem.obj = watched(test)


def watched(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(test)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        before = leaks.Before()
        await virtual.guarded(test, args, kwargs)
        before.check()

    wrapper.watched = True  # pyright: ignore[reportAttributeAccessIssue]
    return wrapper


def pytest_sessionfinish() -> None:
    """Let go again: hypothesis, when the summary imports it, asks the collector who refers to what."""
    gc.unfreeze()
