"""A pytest plugin: async tests in virtual time, on both backends, and a check that they leave nothing behind.

It is loaded only where it is asked for: ``-p stretto.testing.plugin`` in ``addopts``, or in the conftest at the top
``pytest_plugins = ["stretto.testing.plugin"]``. Async tests are run by anyio's own plugin (``@pytest.mark.anyio``);
this one gives them

* the fixture ``anyio_backend``: asyncio, and trio where it is installed, each with a fresh virtual time. A test that
  asks for the fixture ``real_time`` has the real one. A test that deadlocks fails at once with `Deadlock`;
* the fixture ``watchdog``: the test fails if a step of it blocks the loop, see `Watchdog`;
* the fixture ``no_leaks``: the test fails if a task, a thread or an open async generator is left when it ends.

``--stretto-replay=TOKEN`` runs the tests that `explore` made for the workflow of a token, under its schedule alone.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Coroutine, Generator
from inspect import iscoroutinefunction
from typing import Any

import pytest

from ._explorer import Explorer, replaying
from ._leaks import Before, BeforeLoop
from ._schedule import StaleTokenError, Token
from ._virtual import backends, guarded, virtual_backend
from ._watchdog import Watchdog

__all__ = [
    "no_leaks",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_unconfigure",
    "real_time",
    "watchdog",
]

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


@pytest.fixture
def watchdog() -> Generator[Watchdog]:
    """Fails the test if a step keeps the loop for half a second of real time, and names the step."""
    with Watchdog() as dog:
        yield dog


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--stretto-replay``."""
    group = parser.getgroup("stretto")
    group.addoption(
        "--stretto-replay",
        metavar="TOKEN",
        help="run the tests of one workflow, under the schedule of a token",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of the workflow that a token is for."""
    text: str | None = config.getoption("--stretto-replay")
    if text is None:
        return
    try:
        token = Token.read(text)
    except StaleTokenError as error:
        raise pytest.UsageError(str(error).replace("replay=", "--stretto-replay=", 1)) from None
    kept = [item for item in items if _fingerprint(item) == token.workflow]
    if not kept:
        raise pytest.UsageError(
            f"--stretto-replay={text}: no test here explores the workflow that this token is for, or the steps of that "
            "workflow have changed since"
        )
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    replaying[:] = [text]


def pytest_unconfigure() -> None:
    """Forgets the token."""
    replaying.clear()


def _fingerprint(item: pytest.Item) -> str | None:
    explorer = getattr(getattr(item, "obj", None), "explorer", None)
    return explorer.fingerprint if isinstance(explorer, Explorer) else None


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
