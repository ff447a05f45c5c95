"""What one call causes among several workflows: who is in it, and whether it goes on.

A conversation is opened by a call and stands around the run that was called. Each other member has at most one open
run in it, or one for each key. It is judged as a whole, because a run that has nothing to do may be sent to by another.
It knows its runs by an identity alone, and of each only whether it works and whether something outside feeds it; so
judging it costs O(1), however many runs there are.

A request opens a conversation below that of the run which asks. One that stands still fails at once if nothing left it.
If something did, the runs around it may yet send to it: then it is said to stand, and it fails when all around it stand
still too, the youngest first.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar, final

__all__ = ["Conversation", "Verdict"]

T = TypeVar("T", bound=Hashable)


@final
class Verdict(enum.Enum):
    """Whether a conversation goes on."""

    GOES_ON = "it goes on"
    OVER = "all is done"
    STUCK = "nothing can happen any more"


@final
class Conversation(Generic[T]):
    """One conversation.

    Attributes:
        root: The run that was called.
        member: Whose run that is.
        asker: The run around that asked; None if somebody outside did.
        asks: Whether it is a request, which is done when it was answered.
        runs: The open runs by member and key, the root left out.
        working: How many runs are at work.
        fed: How many runs may be sent to from outside, or wait for a time.
        below: How many requests of its runs are at work.
        standing: The requests of its runs that stand still and may be sent to, oldest first.
        done: Whether the root has stopped, or the request was answered.
        left: Whether something was sent from it to a run around it.
        closing: Whether it is being cut short; what stands still then is not stuck.
    """

    __slots__ = (
        "_states", "asker", "asks", "below", "closing", "depth", "done", "fed", "left", "member", "parent", "root",
        "runs", "standing", "working",
    )  # fmt: skip

    def __init__(
        self,
        root: T,
        member: str,
        *,
        parent: Conversation[T] | None = None,
        asker: tuple[str, T] | None = None,
        asks: bool = False,
    ) -> None:
        self.root = root
        self.member = member
        self.parent = parent
        self.asker = asker
        self.asks = asks
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.runs: dict[tuple[str, Hashable], T] = {}
        self.standing: dict[Conversation[T], None] = {}
        self._states: dict[T, tuple[bool, bool]] = {}
        self.working = self.fed = self.below = 0
        self.done = self.left = self.closing = False

    # -- which run -------------------------------------------------------------------------------------------

    def find(self, member: str, key: Hashable, behalf: tuple[str, T] | None) -> T | None:
        """The run of a member that takes an event; None if a new one is to be opened.

        The one on whose behalf the sender works, else the nearest caller's, else the one in this conversation.
        """
        if behalf is not None and behalf[0] == member:
            return behalf[1]
        if self.asker is not None or self.parent is not None:
            for caller, run in self.callers():
                if caller == member:
                    return run
        if member == self.member:
            return self.root
        return self.runs.get((member, key))

    def callers(self) -> Iterator[tuple[str, T]]:
        """The runs that asked, the nearest first."""
        around: Conversation[T] | None = self
        while around is not None:
            if around.asker is not None:
                yield around.asker
            around = around.parent

    def knows(self, member: str, key: Hashable) -> bool:
        """Whether a run of the member is open for a key."""
        return (member, key) in self.runs

    def open(self, member: str, key: Hashable, run: T) -> None:
        """From now on this run is the member's."""
        self.runs[member, key] = run

    def close(self, member: str, key: Hashable, run: T) -> None:
        """The next event for the member opens another run."""
        if self.runs.get((member, key)) is run:
            del self.runs[member, key]

    # -- whether it goes on ----------------------------------------------------------------------------------

    def note(self, run: T, *, works: bool, fed: bool) -> None:
        """Says what a run does now."""
        worked, was_fed = self._states.get(run, (False, False))
        self.working += works - worked
        self.fed += fed - was_fed
        if works or fed:
            self._states[run] = (works, fed)
        else:
            self._states.pop(run, None)
        if works and not worked:
            self._wake()

    def ask(self) -> None:
        """One of its runs asks, in a conversation below."""
        self.below += 1

    def answered(self, below: Conversation[T]) -> None:
        """A conversation below is over."""
        if below in self.standing:
            del self.standing[below]
        else:
            self.below -= 1

    def judge(self) -> tuple[Conversation[T], Verdict]:
        """Whether it goes on; if not, which conversation ends: this one, or one around or below that it holds up."""
        if self.closing or self.working or self.below:
            return self, Verdict.GOES_ON
        if self.done:
            return self, Verdict.OVER
        if self.fed:
            return self, Verdict.GOES_ON
        if self.standing:
            return next(reversed(self.standing)), Verdict.STUCK
        if not (self.asks and self.left and self.parent is not None):
            return self, Verdict.STUCK
        if self not in self.parent.standing:
            self.parent.standing[self] = None
            self.parent.below -= 1
        return self.parent.judge()

    def _wake(self) -> None:
        """It does not stand still any more, and neither does what is around it."""
        around = self.parent
        if around is not None and self in around.standing:
            del around.standing[self]
            around.below += 1
            around._wake()  # noqa: SLF001 - of this very class
