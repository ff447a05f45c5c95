"""hypothesis and virtual time go together: each example has its loop, and all of them take no time."""

import anyio
import pytest
from hypothesis import given, strategies as st

pytestmark = pytest.mark.anyio


@given(seconds=st.integers(0, 10**6))
async def test_hypothesis_runs_on_both_backends_in_virtual_time(seconds: int):
    start = anyio.current_time()
    await anyio.sleep(seconds)
    assert anyio.current_time() == start + seconds
