"""Forks and what is due to their joins: random trees of branches against a model that looks through all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto._core.gathering import Arrival, Each, Join, gather
from stretto._core.joining import Forks
from stretto.errors import DefinitionError
from stretto.events import Event, StepFailedEvent
from stretto.joins import All, ByKey, First, Quorum, Settle, Until, Window
from tests.core.counting import calls_during
from tests.core.families import Family, Node, further
from tests.core.plans import A, B, Numbered, SubA

pytestmark = pytest.mark.timeout(600)  # to make a long life that fails a short one takes its time

JOINS: list[Join] = [All(), All(order="source"), First(), First(2, order="source"), Each((A, B))]
POLICIES: list[Join] = [
    *JOINS,
    First(2, losers="keep"),
    First(1, losers="drain", order="source"),
    Until(lambda event: isinstance(event, B)),
    Until(lambda event: isinstance(event, B), losers="keep", order="source"),
    Until(lambda event: isinstance(event, B), losers="drain"),
    Quorum(lambda came: sum(isinstance(event, B) for event in came) >= 2),
    Quorum(lambda came: len({type(event) for event in came}) > 1, losers="keep"),
    Quorum(lambda came: len(came) > 2, losers="drain", order="source"),
    ByKey(type),
    ByKey(lambda event: type(event).__name__, order="source"),
    Window(2),
    Window(seconds=5, order="source"),
    Window(3, seconds=5),
    Settle(),
    Settle(order="source"),
]
BRANCHES = st.lists(st.sampled_from(range(len(JOINS))), max_size=2, unique=True).map(
    lambda may: tuple(sorted(may))
)
TAKERS = st.lists(st.one_of(BRANCHES, BRANCHES, st.sampled_from(range(len(JOINS)))), min_size=1, max_size=3)
EVENTS = st.sampled_from([A, B])


class Branch:
    """What a step at work is here."""

    def __init__(self, join: int | None = None, events: Sequence[Event] = ()) -> None:
        self.join = join
        self.events = events


class ForksLife(RuleBasedStateMachine):
    """The forks of one run."""

    @initialize(lifetime=st.integers(5, 40), joins=st.tuples(*[st.sampled_from(POLICIES)] * len(JOINS)))
    def begin(self, lifetime: int, joins: Sequence[Join]) -> None:
        self.lifetime = lifetime
        self.joins = joins
        self.forks = Forks[Branch, str](
            dict(enumerate(joins)),
            lambda join, events, origin: Branch(join, events),
            {join: further(joins, join) for join in range(len(joins))},
        )
        self.model = Family(joins)
        self.live: list[tuple[Branch, Node]] = []
        self.alive: list[Event] = []  # identities are compared
        self.went_in = 0
        self.came_out = 0

    # -- what both are told ------------------------------------------------------------------------------------

    def send(
        self, sender: Branch | None, node: Node | None, kind: type[Numbered], takers: Sequence[Any]
    ) -> None:
        event = kind()
        self.alive.append(event)
        begun = self.model.send(node, event, takers)
        place = self.forks.place(sender, len(takers), "")
        answers: list[Branch | None] = []
        for taker in takers:
            if isinstance(taker, int):
                self.went_in += 1
                self.forks.arrive(taker, event, place, further(self.joins, taker))
            else:
                branch = Branch()
                answers.append(branch if self.forks.begin(branch, place, taker) else None)
        self.forks.sent(sender, place)
        assert [each is None for each in answers] == [each is None for each in begun]
        self.live += [(a, b) for a, b in zip(answers, begun, strict=True) if a is not None and b is not None]

    def agree(self) -> None:
        """Both say the same is due, lost and late; what is due begins."""
        assert ids(self.forks.failed) == ids(self.model.failed)
        self.came_out += len(self.forks.failed)
        due = [(branch.join, ids(branch.events)) for branch in self.forks.due]
        assert due == [(join, ids(events)) for _, join, events in self.model.due]
        self.came_out += sum(len(branch.events) for branch in self.forks.due)
        self.live += [(a, b) for a, (b, _, _) in zip(self.forks.due, self.model.due, strict=True)]
        late = [*self.forks.late, *self.forks.dropped]
        assert sorted((join, id(event)) for join, event in late) == sorted(
            (join, id(event)) for join, event in self.model.late
        )
        self.came_out += len(late)
        lost = {branch for branch, node in self.live if node in self.model.lost}
        assert lost == {branch for branch in self.forks.lost if branch in self.forks.spots}
        for news in (
            self.forks.due,
            self.forks.failed,
            self.model.failed,
            self.forks.late,
            self.forks.dropped,
            self.forks.lost,
            self.model.due,
            self.model.late,
            self.model.lost,
        ):
            news.clear()

    def drawn(self, data: st.DataObject) -> tuple[Branch, Node]:
        at = data.draw(st.integers(0, len(self.live) - 1))
        return self.live[at]

    def ends(self, branch: Branch, node: Node) -> None:
        self.live.remove((branch, node))
        self.forks.leave(branch)
        self.model.end(node)
        self.agree()

    # -- rules -------------------------------------------------------------------------------------------------

    @rule(kind=EVENTS, takers=TAKERS)
    def an_event_comes_from_outside(self, kind: type[Numbered], takers: list[Any]) -> None:
        if self.lifetime <= 0:
            return
        self.lifetime -= 1
        self.send(None, None, kind, takers)
        self.agree()

    @precondition(lambda self: self.lifetime > 0 and self.live)
    @rule(data=st.data(), kind=EVENTS, takers=TAKERS)
    def a_branch_sends(self, data: st.DataObject, kind: type[Numbered], takers: list[Any]) -> None:
        self.lifetime -= 1
        branch, node = self.drawn(data)
        assert self.forks.is_lost(branch) == node.lost
        if not node.lost:
            self.send(branch, node, kind, takers)
            self.agree()

    @precondition(lambda self: self.lifetime > 0 and self.live)
    @rule(data=st.data(), kind=EVENTS, takers=TAKERS)
    def a_branch_returns_an_event(self, data: st.DataObject, kind: type[Numbered], takers: list[Any]) -> None:
        self.lifetime -= 1
        branch, node = self.drawn(data)
        if not node.lost:
            self.forks.ends(branch, 1, "")
            self.send(branch, node, kind, takers)
        self.ends(branch, node)

    @precondition(lambda self: self.lifetime > 0 and self.live)
    @rule(data=st.data(), listed=BRANCHES, sent=st.lists(st.tuples(EVENTS, TAKERS), max_size=3))
    def a_branch_returns_a_list(
        self, data: st.DataObject, listed: tuple[int, ...], sent: list[tuple[type[Numbered], list[Any]]]
    ) -> None:
        self.lifetime -= 1
        branch, node = self.drawn(data)
        if not node.lost:
            calls = tuple(join for join in listed if not isinstance(self.joins[join], Each))
            if calls:
                node.listed = calls
                for join in range(len(self.joins)):
                    self.model.look(node, join)
            self.forks.ends(branch, len(sent), "", calls)
            for kind, takers in sent:
                self.send(branch, node, kind, takers)
        self.ends(branch, node)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_branch_returns_nothing(self, data: st.DataObject) -> None:
        self.ends(*self.drawn(data))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), may=BRANCHES)
    def a_branch_fails_and_may_be_settled(self, data: st.DataObject, may: tuple[int, ...]) -> None:
        branch, node = self.drawn(data)
        if node.lost:
            return
        failure = StepFailedEvent(step="work", event=A(), exception=ValueError(), attempts=1, elapsed=0.0)
        self.alive.append(failure)
        settled = self.forks.fails(branch, may, failure)
        assert settled == self.model.fail(node, may, failure)
        self.went_in += settled
        self.agree()
        if settled:
            self.ends(branch, node)

    @precondition(lambda self: hasattr(self, "forks"))
    @rule(seconds=st.integers(1, 6))
    def time_passes(self, seconds: int) -> None:
        self.model.tick(seconds)
        if (due := self.forks.timing.to_ask()) is not None:
            assert due > self.forks.at
        self.forks.time_is(self.model.at)
        self.agree()

    @precondition(lambda self: hasattr(self, "forks"))
    @rule()
    def nothing_is_left_to_do(self) -> None:
        self.forks.end_windows()
        self.model.last_parts(self.model.loose, None)
        self.agree()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def a_branch_fails_and_is_recovered(self, data: st.DataObject) -> None:
        branch, node = self.drawn(data)
        if node.lost:
            return
        other = Branch()
        self.live.remove((branch, node))
        self.forks.replace(branch, other)
        self.live.append((other, self.model.replace(node)))
        self.agree()

    # -- what always holds -------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_or_given_twice(self) -> None:
        if hasattr(self, "forks"):
            assert self.went_in == self.came_out + len([*self.forks.leftovers()])

    @invariant()
    def what_has_ended_leaves_nothing_behind(self) -> None:
        if hasattr(self, "forks"):
            assert {*self.forks.spots} == {branch for branch, _ in self.live}
            assert {*self.forks.opened.values()} <= {None}, "a set that keeps its order"
            assert {each for fork in self.forks.opened for each in fork.live.values()} <= {None}
            if not self.live:
                assert not self.forks.opened

    def teardown(self) -> None:
        """When everything has ended every fork is closed: a join cannot be stuck."""
        while getattr(self, "live", None):
            self.ends(*self.live[0])
        if hasattr(self, "forks"):
            self.what_has_ended_leaves_nothing_behind()
            self.nothing_is_lost_or_given_twice()


TestForksLife = ForksLife.TestCase
TestForksLife.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


def ids(events: Sequence[Event]) -> list[int]:
    return [id(event) for event in events]


# -- claims of its own -----------------------------------------------------------------------------------------------


def forks_of(joins: Sequence[Join] = JOINS) -> Forks[Branch, str]:
    return Forks(dict(enumerate(joins)), lambda join, events, origin: Branch(join, events))


def begun(forks: Forks[Branch, str], sender: Branch | None = None, may: Sequence[int] = ()) -> Branch:
    """One branch more."""
    branch = Branch()
    place = forks.place(sender, 1, "")
    assert forks.begin(branch, place, may)
    forks.sent(sender, place)
    return branch


def inheriting() -> tuple[Forks[Branch, str], list[str]]:
    """Forks, and from where each join that they make inherits."""
    origins: list[str] = []

    def make(join: int, events: list[Event], origin: str) -> Branch:
        origins.append(origin)
        return Branch(join, events)

    return Forks({0: All(), 1: First(), 2: Each((A, B))}, make), origins


def test_a_join_inherits_from_where_its_fork_was_sent():
    forks, origins = inheriting()
    sender = begun(forks)
    for origin in ("first", "second"):
        forks.arrive(0, A(), forks.place(sender, 1, origin))
    forks.leave(sender)
    forks.arrive(0, A(), forks.place(None, 1, "outside"))
    assert origins == ["first", "outside"]


def test_a_join_of_several_steps_that_take_one_event_inherits_from_where_that_was_sent():
    forks, origins = inheriting()
    place = forks.place(None, 2, "outside")
    branches = [Branch(), Branch()]
    assert [forks.begin(branch, place, (0,)) for branch in branches] == [True, True]
    forks.sent(None, place)
    for branch in branches:
        forks.ends(branch, 1, "later")
        forks.arrive(0, A(), forks.place(branch, 1, "later"))
        forks.leave(branch)
    assert origins == ["outside"]


def test_a_join_beside_the_race_that_a_branch_has_decided_inherits_from_where_its_event_was_sent():
    forks, origins = inheriting()
    sender = begun(forks)
    for origin in ("first", "second"):
        forks.arrive(1, A(), forks.place(sender, 1, origin))
    forks.arrive(0, A(), forks.place(sender, 1, "third"))
    assert origins == ["first", "third"]


def test_a_join_of_the_one_event_that_a_branch_has_sent_inherits_from_where_that_was_sent():
    forks, origins = inheriting()
    sender = begun(forks)
    forks.arrive(0, A(), forks.place(sender, 1, "sent"))
    assert origins == []
    forks.leave(sender)
    assert origins == ["sent"]


def test_a_pair_in_a_fork_inherits_from_where_the_fork_was_sent():
    forks, origins = inheriting()
    sender = begun(forks)
    forks.arrive(2, A(), forks.place(sender, 1, "first"))
    forks.arrive(2, B(), forks.place(sender, 1, "second"))
    assert origins == ["first"]


def test_a_pair_that_one_comes_to_out_of_a_fork_inherits_from_where_the_fork_was_sent():
    forks, origins = inheriting()
    forks.arrive(2, B(), forks.place(None, 1, "outside"))
    sender = begun(forks)
    forks.arrive(2, A(), forks.place(sender, 1, "sent"))
    forks.arrive(2, A(), forks.place(sender, 1, "later"))
    forks.leave(sender)
    assert origins == ["sent"]


def test_a_join_of_the_one_event_that_a_branch_returns_inherits_from_where_that_was_returned():
    forks, origins = inheriting()
    branch = begun(forks)
    forks.ends(branch, 1, "")
    forks.arrive(0, A(), forks.place(branch, 1, "returned"))
    assert origins == ["returned"]


@pytest.mark.parametrize(("order", "expected"), [("arrival", [3, 1, 2, 0]), ("source", [0, 1, 2, 3])])
def test_a_join_is_called_in_the_order_of_arrival_or_in_that_of_the_branches(
    order: Literal["arrival", "source"], expected: list[int]
):
    forks = forks_of([All(order=order)])
    sender = begun(forks)
    forks.ends(sender, 4, "", (0,))
    branches = [begun(forks, sender, (0,)) for _ in range(4)]
    forks.leave(sender)
    for number in (3, 1, 2, 0):
        forks.ends(branches[number], 1, "")
        forks.arrive(0, A(n=number), forks.place(branches[number], 1, ""))
        forks.leave(branches[number])
    assert [getattr(event, "n", None) for event in forks.due[0].events] == expected


def returns(forks: Forks[Branch, str], branch: Branch, join: int, event: Event) -> None:
    """A branch ends with an event for a join."""
    forks.ends(branch, 1, "")
    forks.arrive(join, event, forks.place(branch, 1, ""))
    forks.leave(branch)


def test_what_a_fork_had_too_few_of_is_paired_in_the_fork_around_as_of_the_branch_that_sent_it():
    forks = forks_of([All(order="source"), Each((A, B))])
    outer = begun(forks)
    forks.ends(outer, 4, "", (0,))
    first, second, third, fourth = [begun(forks, outer, (0, 1)) for _ in range(4)]
    forks.leave(outer)
    one, other = begun(forks, second, (1,)), begun(forks, second, (1,))
    forks.leave(second)
    returns(forks, one, 1, A())
    forks.leave(other)
    returns(forks, fourth, 1, B())
    pair = forks.due.popleft()
    assert pair.join == 1
    for number, branch in [(2, pair), (3, third), (1, first)]:
        returns(forks, branch, 0, A(n=number))
    assert [getattr(event, "n", None) for event in forks.due[0].events] == [1, 2, 3]


def test_a_fork_that_is_left_out_leaves_word_of_the_joins_that_were_called_in_it():
    """Or they would be called with nothing when the list around has ended."""
    forks = forks_of([All(), All()])
    outer = begun(forks)
    forks.ends(outer, 2, "", (0, 1))
    first, second = [begun(forks, outer, (0, 1)) for _ in range(2)]
    forks.leave(outer)

    def lists(branch: Branch, join: int) -> Branch:
        forks.ends(branch, 1, "", (join,))
        forks.arrive(join, A(), forks.place(branch, 1, ""))
        forks.leave(branch)
        return forks.due.popleft()

    forks.leave(lists(second, 1))
    inner, lasting = begun(forks, first, (0,)), begun(forks, first)
    joined = lists(inner, 0)
    following = begun(forks, lasting)
    forks.leave(lasting)
    forks.leave(first)
    assert len(forks.opened) == 3
    forks.leave(joined)
    assert len(forks.opened) == 2
    forks.leave(following)
    assert not forks.opened
    assert not forks.due


def test_a_race_that_is_decided_stands_in_the_fork_around_though_that_was_left_out():
    forks = forks_of([First()])
    sender = begun(forks)
    middle = begun(forks, sender, (0,))
    branch = begun(forks, middle, (0,))
    forks.leave(middle)
    for event in (A(), B()):
        forks.arrive(0, event, forks.place(branch, 1, ""))
    forks.leave(forks.due.popleft())
    (own,) = forks.decided()
    assert own.around in forks.opened
    forks.leave(sender)
    assert forks.decided() == [own]
    assert own.around is None
    forks.leave(branch)
    assert forks.decided() == []


def test_what_a_branch_sends_when_it_has_ended_is_complete_with_that():
    forks = forks_of()
    ended = begun(forks)
    forks.leave(ended)
    place = forks.place(ended, 2, "")
    forks.arrive(0, A(), place)
    forks.arrive(0, A(), place)
    assert not forks.due
    forks.sent(ended, place)
    assert [len(branch.events) for branch in forks.due] == [2]


def test_a_loop_of_single_sends_keeps_nothing():
    """Each round the step sends the next and ends: no fork stays, however long it goes on."""
    forks = forks_of()
    branch = begun(forks)
    for _ in range(1000):
        following = begun(forks, branch, (0,))
        forks.leave(branch)
        branch = following
        assert len(forks.opened) == 1
    forks.leave(branch)
    assert not forks.spots


def test_a_loop_whose_rounds_overlap_keeps_what_is_live():
    """The next begins, and sends, before the last has ended: two forks are open at most."""
    forks = forks_of()
    last, branch = begun(forks), None
    for _ in range(1000):
        following = begun(forks, last if branch is None else branch, (0,))
        if branch is not None:
            forks.leave(last)
            last = branch
        branch = following
        assert len(forks.opened) <= 3


def test_the_cost_of_an_arrival_does_not_grow_with_their_number():
    def calls(count: int) -> int:
        def program() -> None:
            forks = forks_of()
            sender = begun(forks)
            forks.ends(sender, count, "", (0,))
            branches = [begun(forks, sender, (0,)) for _ in range(count)]
            forks.leave(sender)
            for branch in branches:
                forks.ends(branch, 1, "")
                forks.arrive(0, A(), forks.place(branch, 1, ""))
                forks.leave(branch)
            assert len(forks.due[0].events) == count

        return calls_during(program)

    assert calls(2000) < 2.2 * calls(1000)


def test_what_waits_is_told_the_earliest_fork_first():
    forks = forks_of()
    senders = [begun(forks) for _ in range(2)]
    forks.arrive(4, B(), forks.place(None, 1, ""))
    for sender in reversed(senders):
        forks.arrive(0, A(), forks.place(sender, 1, ""))
    told = [(join, [type(event) for event in gathering.events()]) for join, gathering in forks.gathered()]
    assert told == [(0, [A]), (0, [A]), (4, [B])]


def test_who_is_not_known_is_not_lost():
    assert not forks_of().is_lost(Branch())


def test_a_fork_that_pairs_in_vain_and_wins_elsewhere_calls_what_was_due_too_late():
    """What one of each leaves over goes to the fork around; there it may decide a race that ends this very fork."""
    forks = forks_of([All(), Each((A, B))])
    outer = begun(forks)
    forks.ends(outer, 2, "", (0,))
    inner = begun(forks, outer, (0, 1))
    forks.leave(outer)
    forks.ends(inner, 1, "", (0,))
    forks.arrive(1, A(), forks.place(inner, 1, ""))
    forks.leave(inner)
    assert [branch.join for branch in forks.due] == [0]
    assert [type(event) for event in forks.leftovers()] == [A]


def test_what_comes_out_of_a_branch_behind_what_decides_the_race_around_it_is_late():
    forks = forks_of([First(), All()])
    outer = begun(forks)
    forks.ends(outer, 2, "", (0,))
    sender, _ = begun(forks, outer, (0, 1)), begun(forks, outer, (0,))
    forks.leave(outer)
    forks.arrive(0, A(), forks.place(sender, 1, ""))
    forks.arrive(1, B(), forks.place(sender, 1, ""))
    forks.leave(sender)
    assert list(forks.late) == [(1, B())]


@settings(deadline=None)
@given(st.lists(st.sampled_from([A, B, SubA]), max_size=12), st.booleans())
def test_one_of_each_takes_the_earliest_of_each(kinds: list[type[Numbered]], subclasses: bool):
    kinds = [kind for kind in kinds if subclasses or kind is not SubA]
    gathering = gather(Each((A, B), subclasses))
    taken: list[list[Event]] = []
    events = [kind() for kind in kinds]
    for serial, event in enumerate(events):
        gathering.add(Arrival(serial, 0, event))
        if gathering.is_enough():
            taken.append([each.event for each in gathering.take()])
    lefts = [event for event in events if not isinstance(event, B)]
    rights = [event for event in events if isinstance(event, B)]
    assert [ids(pair) for pair in taken] == [ids(pair) for pair in zip(lefts, rights, strict=False)]
    assert len(gathering) == abs(len(lefts) - len(rights))
    missing = ["a A"] * (len(lefts) <= len(rights)) + ["a B"] * (len(rights) <= len(lefts))
    assert gathering.awaited() == " and ".join(missing)


def test_an_event_of_exactly_a_type_is_taken_as_that_and_not_as_the_base_before_it():
    assert [Each((A, SubA), subclasses=True).slot(event) for event in (A(), SubA())] == [0, 1]


def test_what_the_first_are_taken_of_keeps_the_others_in_the_order_of_arrival():
    gathering = gather(First(2))
    events = [A(n=number) for number in range(5)]
    for serial, event in enumerate(events):
        gathering.add(Arrival(serial, 0, event))
    assert [each.event for each in gathering.take()] == events[:2]
    assert [*gathering.events()] == events[2:]


def test_what_is_kept_is_told_in_the_order_of_arrival():
    gathering = gather(Each((A, B)))
    events = [B(n=1), B(n=2), A(n=3)]
    for serial, event in enumerate(events):
        gathering.add(Arrival(serial, 0, event))
    assert [*gathering.events()] == events


# -- policies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: First(0), lambda: First(True), lambda: All(order="any")])  # pyright: ignore[reportArgumentType]
def test_a_policy_that_makes_no_sense_is_refused(make: Callable[[], object]):
    with pytest.raises(DefinitionError):
        make()


def test_policies_are_values():
    assert All() == All(order="arrival") != All(order="source")
    assert First() == First(1) != First(2)


def test_a_branch_is_lost_once_though_the_fork_around_is_cut_short_too():
    """A race within a race: the inner one waits for its loser when the outer one is decided."""
    forks = forks_of()
    sender = begun(forks)
    forks.ends(sender, 2, "", (2,))
    inner, other = begun(forks, sender, (2,)), begun(forks, sender, (2,))
    forks.leave(sender)
    forks.ends(inner, 2, "", (2,))
    loser = begun(forks, inner, (2,))
    forks.arrive(2, A(), forks.place(inner, 1, ""))
    forks.leave(inner)
    assert [*forks.lost] == [loser]
    forks.ends(other, 1, "")
    won = B()
    forks.arrive(2, won, forks.place(other, 1, ""))
    forks.leave(other)
    assert [*forks.lost] == [loser]  # and not the winner, which has ended
    assert not forks.due
    forks.leave(loser)
    assert [ids(branch.events) for branch in forks.due] == [[id(won)]]
    assert [type(event) for _, event in forks.late] == [A]


def test_of_what_had_come_before_it_was_asked_about_only_what_is_enough_is_taken():
    gathering = gather(Until(lambda event: isinstance(event, B)))
    assert gathering.asked is None
    for serial, event in enumerate([A(), B(), A()]):
        gathering.add(Arrival(serial=serial, number=serial, event=event))
    assert gathering.is_enough()
    assert [type(each.event) for each in gathering.take()] == [A, B]
    assert len(gathering) == 1


# -- failures ----------------------------------------------------------------------------------------------------------


def failed() -> StepFailedEvent:
    return StepFailedEvent(step="work", event=A(), exception=ValueError(), attempts=1, elapsed=0.0)


def test_a_race_that_is_decided_in_a_branch_that_has_failed_is_not_called():
    forks = forks_of([Settle(), All(), First()])
    sender = begun(forks)
    forks.ends(sender, 1, "", (0,))
    branch = begun(forks, sender, (0,))
    forks.leave(sender)
    forks.ends(branch, 2, "", (1,))
    racing, fails = begun(forks, branch, (1,)), begun(forks, branch, (1,))
    forks.leave(branch)
    forks.ends(racing, 2, "", (2,))
    winner, loser = begun(forks, racing, (2,)), begun(forks, racing, (2,))
    forks.leave(racing)
    returns(forks, winner, 2, A())
    assert [*forks.lost] == [loser]
    assert forks.fails(fails, (1,), failed())
    forks.leave(fails)
    forks.leave(loser)
    assert [(branch.join, len(branch.events)) for branch in forks.due] == [(0, 1)]
    assert [join for join, _ in forks.dropped] == [2]
    assert forks.failure_of(loser) is None, "it had lost before"


def test_a_failure_ends_all_of_its_branch_also_where_its_sender_has_sent_one_by_one_and_ended():
    forks = forks_of([Settle(), All()])
    sender = begun(forks)
    forks.ends(sender, 1, "", (0,))
    branch = begun(forks, sender, (0,))
    forks.leave(sender)
    sent, beside = begun(forks, branch, (0,)), begun(forks, branch, ())
    following = begun(forks, sent, ())
    forks.leave(sent)
    forks.leave(branch)
    failure = failed()
    assert forks.fails(following, (), failure)
    assert [*forks.lost] == [beside]
    assert forks.failure_of(beside) is failure
    assert forks.failure_of(following) is None
    forks.leave(following)
    assert not forks.due
    forks.leave(beside)
    assert [branch.events for branch in forks.due] == [[failure]]


def test_a_call_in_parts_is_a_branch_that_leads_on_although_those_that_it_joins_have_ended():
    for on in ((0,), ()):
        joins: dict[int, Join] = {0: Settle(), 1: ByKey(type)}
        forks = Forks[Branch, str](joins, lambda join, events, origin: Branch(join, events), {1: on})
        sender = begun(forks)
        forks.ends(sender, 2, "", (0, 1))
        for _ in range(2):
            branch = begun(forks, sender, (0, 1))
            forks.ends(branch, 1, "")
            forks.arrive(1, A(), forks.place(branch, 1, ""), on)
            forks.leave(branch)
        forks.leave(sender)
        called = forks.due.popleft()
        assert forks.fails(called, (), failed()) == bool(on)


def test_nothing_is_kept_of_branches_that_have_ended_while_their_sender_is_at_work():
    forks = forks_of([Settle()])
    sender = begun(forks)
    for _ in range(100):
        forks.leave(begun(forks, sender, (0,)))
    (fork,) = forks.opened
    assert fork.leads == {}
    assert fork.of == {}
    begun(forks, sender, (0,))
    assert fork.leads == {100: (0,)}


def test_where_nothing_settles_nothing_is_kept_of_where_branches_lead():
    forks = forks_of([All()])
    sender = begun(forks)
    branch = begun(forks, sender, (0,))
    (fork,) = forks.opened
    assert fork.leads is None
    assert fork.of == {}
    assert not forks.fails(branch, (0,), failed())
