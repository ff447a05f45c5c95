"""A ledger in which steps sign when they begin and when they are through with their clean-up."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import attrs


@attrs.define
class Ledger:
    """Who came, who went, and in which order."""

    entered: list[str] = attrs.Factory(list)
    left: list[str] = attrs.Factory(list)
    log: list[str] = attrs.Factory(list)

    @property
    def inside(self) -> Counter[str]:
        """Who came and has not gone."""
        return Counter(self.entered) - Counter(self.left)

    @asynccontextmanager
    async def signed(self, name: str, *, cleanup: float = 0.0) -> AsyncGenerator[None]:
        """Sign in and out; the clean-up may take `cleanup` seconds in a shield."""
        self.enter(name)
        try:
            yield
        finally:
            try:
                if cleanup:
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(cleanup)
            finally:  # a native Task.cancel() goes through shields
                self.leave(name)

    def enter(self, name: str) -> None:
        self.entered.append(name)
        self.log.append(f"+{name}")

    def leave(self, name: str) -> None:
        self.left.append(name)
        self.log.append(f"-{name}")
