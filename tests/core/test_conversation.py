"""Which run takes an event, and whether a conversation goes on: against a model that looks at everything anew."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.conversation import Conversation, Verdict


def conversation(**more: Any) -> Conversation[str]:
    return Conversation("root", "a", **more)


# -- which run -------------------------------------------------------------------------------------------------


def test_an_event_goes_to_the_run_worked_for_then_to_the_nearest_caller_then_to_the_one_in_the_conversation():
    outer = conversation(asker=("c", "far"))
    inner: Conversation[str] = Conversation("asked", "b", parent=outer, asker=("c", "near"), asks=True)
    inner.open("c", None, "own")
    assert inner.find("c", None, ("c", "worked for")) == "worked for"
    assert inner.find("c", None, ("d", "worked for")) == "near"
    assert inner.find("b", None, None) == "asked"
    assert outer.find("c", None, None) == "far"
    assert list(inner.callers()) == [("c", "near"), ("c", "far")]
    assert (inner.depth, outer.depth) == (1, 0)


@given(st.lists(st.tuples(st.sampled_from("bcd"), st.sampled_from([None, 1, 2]), st.booleans()), max_size=20))
def test_a_member_has_one_open_run_for_each_key(deeds: list[tuple[str, int | None, bool]]):
    talk, model = conversation(), dict[tuple[str, int | None], str]()
    for number, (member, key, closes) in enumerate(deeds):
        known = talk.find(member, key, None)
        assert known == model.get((member, key))
        if closes and known is not None:
            talk.close(member, key, "another")
            assert talk.find(member, key, None) == known
            talk.close(member, key, known)
            del model[member, key]
        elif known is None:
            talk.open(member, key, f"run {number}")
            model[member, key] = f"run {number}"
    assert talk.runs == model


# -- whether it goes on ----------------------------------------------------------------------------------------


def test_one_in_which_nothing_runs_is_over_if_it_is_done_and_stuck_if_not():
    talk = conversation()
    talk.note("root", works=True, fed=False)
    assert talk.judge() == (talk, Verdict.GOES_ON)
    talk.note("root", works=False, fed=False)
    assert talk.judge() == (talk, Verdict.STUCK)
    talk.note("root", works=False, fed=True)
    assert talk.judge() == (talk, Verdict.GOES_ON)
    talk.done = True
    assert talk.judge() == (talk, Verdict.OVER)
    talk.closing = True
    assert talk.judge() == (talk, Verdict.GOES_ON)


def test_a_request_from_which_nothing_was_sent_is_stuck_at_once():
    outer = conversation()
    outer.note("root", works=True, fed=False)
    outer.ask()
    inner: Conversation[str] = Conversation("asked", "b", parent=outer, asks=True)
    assert inner.judge() == (inner, Verdict.STUCK)
    assert outer.below == 1


def test_one_from_which_something_was_sent_stands_until_all_around_it_does_and_the_youngest_fails_first():
    outer = conversation()
    requests: list[Conversation[str]] = []
    outer.note("root", works=True, fed=False)
    for name in ("first", "second"):
        outer.ask()
        inner: Conversation[str] = Conversation(name, "b", parent=outer, asks=True)
        inner.left = True
        requests.append(inner)
    assert [each.judge() for each in requests] == [(outer, Verdict.GOES_ON)] * 2
    assert [each.judge() for each in requests] == [
        (outer, Verdict.GOES_ON)
    ] * 2  # looking twice changes nothing
    assert (outer.below, list(outer.standing)) == (0, requests)
    outer.note("root", works=False, fed=False)
    assert outer.judge() == (requests[1], Verdict.STUCK)
    requests[1].note("second", works=True, fed=False)  # it was sent to
    assert outer.judge() == (outer, Verdict.GOES_ON)
    assert (outer.below, list(outer.standing)) == (1, requests[:1])
    outer.answered(requests[1])
    outer.answered(requests[0])
    assert (outer.below, list(outer.standing)) == (0, [])
    assert outer.judge() == (outer, Verdict.STUCK)


def test_what_wakes_a_request_in_a_request_that_stands_wakes_both():
    outer = conversation()
    outer.ask()
    middle: Conversation[str] = Conversation("middle", "b", parent=outer, asks=True)
    middle.ask()
    inner: Conversation[str] = Conversation("inner", "c", parent=middle, asks=True)
    middle.left = inner.left = True
    assert inner.judge() == (
        inner,
        Verdict.STUCK,
    )  # the youngest of those that stand below one that stands still
    assert list(middle.standing) == [inner]
    inner.note("inner", works=True, fed=False)
    assert (middle.below, outer.below) == (1, 1)


class Judged(RuleBasedStateMachine):
    """Runs that begin and rest, and requests that begin, are sent to and end, in any order."""

    @initialize()
    def begin(self) -> None:
        self.talk = conversation()
        self.working: set[str] = set()
        self.fed: set[str] = set()
        self.below: list[Conversation[str]] = []
        self.works_below: set[Conversation[str]] = set()

    @rule(run=st.sampled_from(["root", "b", "c"]), works=st.booleans(), fed=st.booleans())
    def note(self, run: str, works: bool, fed: bool) -> None:
        self.talk.note(run, works=works, fed=fed)
        (self.working.add if works else self.working.discard)(run)
        (self.fed.add if fed else self.fed.discard)(run)

    @rule(left=st.booleans())
    def ask(self, left: bool) -> None:
        self.talk.ask()
        below: Conversation[str] = Conversation("asked", "d", parent=self.talk, asks=True)
        below.note("asked", works=True, fed=False)
        below.left = left
        self.below.append(below)
        self.works_below.add(below)

    @precondition(lambda self: self.below)
    @rule(data=st.data(), works=st.booleans())
    def goes_on_below(self, data: st.DataObject, works: bool) -> None:
        below = data.draw(st.sampled_from(self.below))
        below.note("asked", works=works, fed=False)
        (self.works_below.add if works else self.works_below.discard)(below)
        who, verdict = below.judge()
        if works:
            assert (who, verdict) == (below, Verdict.GOES_ON)
        elif not below.left:
            assert (who, verdict) == (below, Verdict.STUCK)
        else:
            assert below in self.talk.standing

    @precondition(lambda self: self.below)
    @rule(data=st.data())
    def ends_below(self, data: st.DataObject) -> None:
        below = data.draw(st.sampled_from(self.below))
        self.below.remove(below)
        self.works_below.discard(below)
        self.talk.answered(below)

    @rule()
    def done(self) -> None:
        self.talk.done = True

    @invariant()
    def is_judged_as_the_model_says(self) -> None:
        if not hasattr(self, "talk"):
            return
        standing = [each for each in self.talk.standing if each in self.below]
        assert standing == list(self.talk.standing)
        assert not self.works_below & set(standing)
        assert self.talk.below == len(self.below) - len(standing)
        if self.working or self.talk.below:
            expected = (self.talk, Verdict.GOES_ON)
        elif self.talk.done:
            expected = (self.talk, Verdict.OVER)
        elif self.fed:
            expected = (self.talk, Verdict.GOES_ON)
        else:
            expected = ((standing or [self.talk])[-1], Verdict.STUCK)
        assert self.talk.judge() == expected


TestJudged = Judged.TestCase
