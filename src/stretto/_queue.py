"""The deliveries of a run that are ready to start, in the order in which they became so.

They stand in a deque. A leader with nothing to do waits in a memory object stream, and is handed the next delivery
there: the stream is for waiting, because sending and taking an item that nobody waits for costs six times as much in
it. Neither holds the only copy of an event: the machine has each delivery in its state.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

import anyio

from ._core.state import Delivery

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

__all__ = ["ReadyQueue"]


@final
class ReadyQueue:
    """A queue that knows who stands by for it.

    Attributes:
        ready: What is ready to start; None until something is.
        idle: Whether the leader waits for a delivery.
        spare: Whether somebody who has nothing to do will come for the next delivery: a task that was started
            and has not begun, or the leader, who was handed one and has not woken up.
    """

    ready: deque[Delivery] | None = None
    idle = False
    spare = False
    _send: MemoryObjectSendStream[Delivery] | None = None
    _receive: MemoryObjectReceiveStream[Delivery] | None = None

    def put(self, delivery: Delivery) -> bool:
        """Puts a delivery in, or hands it to the leader; whether a spare is needed, as nobody stands by."""
        if self.idle and self._send is not None:
            self.idle = False
            self.spare = True
            self._send.send_nowait(delivery)
            return False
        if self.ready is None:
            self.ready = deque()
        self.ready.append(delivery)
        return not self.spare

    async def wait(self) -> Delivery | None:
        """Waits for the next delivery, as the leader; None when the run is over."""
        if self._receive is None:
            self._send, self._receive = anyio.create_memory_object_stream[Delivery](1)
        self.idle = True
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            return None
        finally:
            self.idle = self.spare = False

    def wake(self) -> None:
        """Tells a waiting leader that the run is over."""
        if self.idle and self._send is not None:
            self.idle = False
            self._send.close()

    def close(self) -> None:
        """Closes both ends of the stream."""
        if self._send is not None and self._receive is not None:
            self._send.close()
            self._receive.close()
