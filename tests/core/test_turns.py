"""Turns, against a model that is two lists."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.turns import Turns


class TurnsLife(RuleBasedStateMachine):
    """Whoever comes is a number; the first `most` in the list that have not left have a turn."""

    @initialize(most=st.integers(1, 3))
    def begin(self, most: int) -> None:
        self.turns: Turns[int] = Turns(most)
        self.having: list[int] = []
        self.waiting: list[int] = []
        self.count = 0

    @rule()
    def join(self) -> None:
        self.count += 1
        at_once = len(self.having) < self.turns.most
        assert self.turns.join(self.count) is at_once
        (self.having if at_once else self.waiting).append(self.count)

    @precondition(lambda self: self.having)
    @rule(data=st.data())
    def leave_after_a_turn(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(self.having))
        self.having.remove(who)
        following = self.waiting.pop(0) if self.waiting else None
        assert self.turns.leave(who) == following
        if following is not None:
            self.having.append(following)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(who)
        assert self.turns.leave(who) is None

    @precondition(lambda self: self.count)
    @rule(data=st.data())
    def leave_again(self, data: st.DataObject) -> None:
        who = data.draw(st.integers(0, self.count))
        if who not in [*self.having, *self.waiting]:
            assert self.turns.leave(who) is None

    @invariant()
    def who_has_a_turn_is_known(self) -> None:
        if hasattr(self, "turns"):
            assert [who for who in range(self.count + 1) if self.turns.has(who)] == sorted(self.having)


TestTurns = TurnsLife.TestCase
