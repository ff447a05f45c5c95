"""A pytest plugin: async tests in virtual time, on both backends, and a check that they leave nothing behind.

It is loaded only where it is asked for: ``-p stretto.testing.plugin`` in ``addopts``, or in the conftest at the top
``pytest_plugins = ["stretto.testing.plugin"]``. Async tests are run by anyio's own plugin (``@pytest.mark.anyio``);
this one gives them

* the fixture ``anyio_backend``: asyncio, and trio where it is installed, each with a fresh virtual time. A test that
  asks for the fixture ``real_time`` has the real one. A test that deadlocks fails at once with `Deadlock`;
* the fixture ``no_leaks``: the test fails if a task, a thread or an open async generator is left when it ends.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Coroutine, Generator
from inspect import iscoroutinefunction
from typing import Any

import pytest

from ._leaks import Before, BeforeLoop
from ._virtual import backends, guarded, virtual_backend

__all__ = ["no_leaks", "pytest_configure", "real_time"]

_Test = Callable[..., Coroutine[Any, Any, None]]


class _BeforeAnyio:
    """What anyio's plugin has too: registered late, so that this comes first."""

    @pytest.fixture(params=backends())
    def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
        """Both backends, each with a fresh clock. anyio's plugin looks for this name."""
        name: str = request.param
        return (name, {}) if "real_time" in request.fixturenames else virtual_backend(name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> None:
        """Puts a guard round each async test, in its loop."""
        if "anyio_backend" not in pyfuncitem.funcargs:
            return
        test: Any = pyfuncitem.obj
        leaks = "no_leaks" in pyfuncitem.fixturenames
        if hasattr(test, "hypothesis"):
            inner = test.hypothesis.inner_test
            inner = getattr(
                inner, "_anyio_original_func", inner
            )  # the plugin wrapped it for the other backend
            if iscoroutinefunction(inner) and not hasattr(inner, "stretto_guarded"):
                test.hypothesis.inner_test = _guarded(inner, leaks=leaks)
        elif iscoroutinefunction(test):
            pyfuncitem.obj = _guarded(test, leaks=leaks)


@pytest.fixture
def real_time() -> None:
    """Ask for this, and the seconds of an async test are real ones."""


@pytest.fixture
def no_leaks() -> Generator[None]:
    """Fails the test if it leaves a task, a thread or an open async generator behind."""
    before = BeforeLoop()
    yield
    gc.collect()
    found = before.left_behind()
    assert not found, f"left behind: {', '.join(found)}"


def pytest_configure(config: pytest.Config) -> None:
    """Adds the rest, now that every plugin of other packages is loaded."""
    config.pluginmanager.register(_BeforeAnyio(), "stretto-before-anyio")


def _guarded(test: _Test, *, leaks: bool) -> _Test:
    @functools.wraps(test)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        before = Before() if leaks else None
        await guarded(test, args, kwargs)
        if before is not None:
            before.check()

    wrapper.stretto_guarded = True  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    return wrapper
