"""Every async test runs on asyncio and on trio, in virtual time, and must leave nothing behind.

The plugin of `stretto.testing`, which pyproject.toml asks for, does most of it. A test that needs the real clock asks
for the fixture `real_time`. A test that runs loops of its own is a plain function and takes `anyio_backend_name`.
"""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from tests import leaks


@pytest.fixture(autouse=True)
def no_leaks() -> Generator[None]:
    """Threads and open async generators end with their test; so do coroutines that nobody awaited.

    Those make a warning when they are collected, and warnings are errors here.
    """
    before = leaks.BeforeLoop()
    yield
    gc.collect()
    assert not (found := before.left_behind()), f"left behind: {', '.join(found)}"
    gc.freeze()  # what is there now is there to stay: each test pays for its own objects alone


def pytest_sessionfinish() -> None:
    """Let go again: hypothesis, when the summary imports it, asks the collector who refers to what."""
    gc.unfreeze()
