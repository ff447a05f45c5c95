"""Who goes on, against a model that is a list."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stretto._core.crowd import Crowd


class CrowdLife(RuleBasedStateMachine):
    """Whoever comes is a number; where one is too many the oldest goes that is not spared."""

    @initialize(most=st.integers(1, 3))
    def begin(self, most: int) -> None:
        self.crowd: Crowd[int] = Crowd(most)
        self.model: list[int] = []
        self.count = 0

    @rule(spares=st.sets(st.integers(0, 20)))
    def comes(self, spares: set[int]) -> None:
        self.count += 1
        self.crowd.join(self.count)
        self.model.append(self.count)
        assert self.crowd.is_too_large is (len(self.model) > self.crowd.most)
        others = [who for who in self.model if who not in spares]
        oldest = self.crowd.oldest(spares)
        assert oldest == (others[0] if others else None)
        if oldest is not None and self.crowd.is_too_large:
            self.crowd.leave(oldest)
            self.model.remove(oldest)

    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        who = data.draw(st.integers(0, self.count))
        self.crowd.leave(who)
        if who in self.model:
            self.model.remove(who)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if hasattr(self, "crowd"):
            assert len(self.crowd) == len(self.model)
            assert [who for who in range(self.count + 1) if who in self.crowd] == self.model


TestCrowd = CrowdLife.TestCase
