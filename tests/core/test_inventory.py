"""The inventory, against a model: a dict of what is being made with its waiters, and a list of what is there."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.inventory import Entry, Inventory, Stage

KEYS = st.sampled_from("abc")
BOOM = ValueError("boom")


class InventoryLife(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.inventory: Inventory[str] = Inventory()
        self.making: dict[str, int] = {}
        self.there: list[str] = []
        self.entries: dict[str, Entry[str]] = {}

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        entry, new = self.inventory.ask(key)
        assert new is (key not in self.making and key not in self.there)
        if new:
            self.making[key] = 0
            self.entries[key] = entry
        assert entry is self.entries[key]
        if key in self.making:
            self.making[key] += 1
            assert entry.stage is Stage.MAKING
        else:
            assert (entry.stage, entry.value) == (Stage.READY, key)

    @precondition(lambda self: any(self.making.values()))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([key for key, count in self.making.items() if count]))
        self.making[key] -= 1
        assert self.inventory.give_up(self.entries[key]) is (self.making[key] == 0)

    @precondition(lambda self: self.making)
    @rule(data=st.data())
    def is_ready(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.making)))
        del self.making[key]
        self.there.append(key)
        self.inventory.ready(self.entries[key], key)
        assert self.entries[key].waiting == 0 or self.inventory.give_up(self.entries[key]) is False

    @precondition(lambda self: self.making)
    @rule(data=st.data(), fails=st.booleans())
    def is_not_made(self, data: st.DataObject, fails: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.making)))
        del self.making[key]
        entry = self.entries.pop(key)
        if fails:
            self.inventory.failed(entry, BOOM)
            assert (entry.stage, entry.value) == (Stage.FAILED, BOOM)
        else:
            self.inventory.dropped(entry)
            assert (entry.stage, entry.value) == (Stage.DROPPED, None)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), in_turn=st.booleans())
    def goes(self, data: st.DataObject, in_turn: bool) -> None:
        key = self.there[-1] if in_turn else data.draw(st.sampled_from(self.there))
        self.there.remove(key)
        entry = self.entries.pop(key)
        self.inventory.gone(entry)
        assert (entry.stage, entry.value) == (Stage.GONE, None)

    @invariant()
    def what_there_is_goes_in_reverse_order(self) -> None:
        if hasattr(self, "inventory"):
            last = self.inventory.last()
            assert (None if last is None else last.key) == (self.there[-1] if self.there else None)


TestInventory = InventoryLife.TestCase
