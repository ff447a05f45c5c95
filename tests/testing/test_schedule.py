"""Schedules and searches by themselves: tokens, the order of trying, the smallest failure, what may be left out.

The searches know no workflow, so here they search toys: a few threads of steps that read and write named things.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from stretto.testing._choosers import Chooser, Given, Replayed
from stretto.testing._footprint import Footprint
from stretto.testing._schedule import Decision, Move, StaleTokenError, Token, fingerprint
from stretto.testing._search import by_deviations, by_reduction, deviations, minimal, randomly

DECISIONS = st.lists(
    st.integers(2, 200).flatmap(
        lambda size: st.builds(
            Decision,
            st.just(tuple(Move(f"move {number}") for number in range(size))),
            st.integers(0, size - 1),
        )
    ),
    max_size=20,
)

# -- tokens --------------------------------------------------------------------------------------------------------


@given(decisions=DECISIONS, mode=st.sampled_from("vja"))
def test_a_token_can_be_read_again(decisions: list[Decision], mode: str):
    token = Token.of(fingerprint("W"), mode, decisions)
    assert Token.read(str(token)) == token


@given(decisions=DECISIONS)
def test_a_token_leads_to_the_same_choices(decisions: list[Decision]):
    chooser = Replayed(Token.of("abcd", "v", decisions), "abcd")
    for each in decisions:
        chooser.choose(each.moves)
    chooser.check_all_used()
    assert chooser.decisions == decisions


def test_the_normal_order_is_the_shortest_token():
    moves = (Move("a"), Move("b"))
    assert str(Token.of("abcd", "v", [Decision(moves, 0)] * 50)) == "s1-vabcd-"


@given(text=st.text(max_size=12) | st.from_regex(r"s1-[vja][a-z0-9]{4}-[0-9a-zA-Z.]*", fullmatch=True))
def test_any_text_is_a_token_or_is_refused(text: str):
    token = None
    with contextlib.suppress(StaleTokenError):
        token = Token.read(text)
    assert token is None or len(token.choices) == len(token.checks)


# -- toys ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Act:
    """One piece of a thread: ``x += n`` or ``x = n`` of a thing, or a look at it that is remembered."""

    kind: str
    thing: str
    number: int


Program = tuple[tuple[Act, ...], ...]


def run_toy(program: Program, chooser: Chooser) -> tuple[object, ...] | None:
    """The toy's threads, piece by piece as chosen; what came of it, or None if it was given up."""
    things: dict[str, int] = {}
    seen: list[list[int]] = [[] for _ in program]
    at = [0] * len(program)
    while ready := [number for number, acts in enumerate(program) if at[number] < len(acts)]:
        chosen = chooser.choose([Move(f"{number}:{at[number]}") for number in ready])
        if chosen is None:
            return None
        number = ready[chosen]
        act = program[number][at[number]]
        at[number] += 1
        before = things.get(act.thing, 0)
        footprint = Footprint()
        match act.kind:
            case "look":
                seen[number].append(before)
                footprint.reads.add(act.thing)
            case "set":
                things[act.thing] = act.number
                footprint.writes.add(act.thing)
            case "add":
                things[act.thing] = before + act.number
                footprint.writes.add(act.thing)
            case _:
                seen[number].append(sum(things.values()))
                footprint.everything = True
        chooser.happened(footprint)
    return (*sorted(things.items()), *map(tuple, seen))


ACTS = st.builds(
    Act, st.sampled_from(["look", "set", "add", "sum"]), st.sampled_from("xyz"), st.integers(1, 3)
)
PROGRAMS = st.lists(st.lists(ACTS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple)


def count_of_orders(program: Program) -> int:
    whole = [number for number, acts in enumerate(program) for _ in acts]
    return len(set(itertools.permutations(whole))) if len(whole) < 8 else -1


@given(program=PROGRAMS)
@settings(max_examples=60, deadline=None)
def test_every_order_is_tried_and_each_once_with_the_fewest_deviations_first(program: Program):
    tried = [chooser.decisions for chooser, _ in by_deviations(lambda each: run_toy(program, each))]
    schedules = [tuple(each.chosen for each in decisions) for decisions in tried]
    assert len(set(schedules)) == len(schedules)
    counts = [len(deviations(decisions)) for decisions in tried]
    assert counts == sorted(counts)
    if (count := count_of_orders(program)) >= 0:
        assert len(schedules) == count


@given(program=PROGRAMS)
@settings(max_examples=200, deadline=None)
def test_what_is_left_out_makes_no_difference(program: Program):
    def probe(chooser: Chooser) -> tuple[object, ...] | None:
        return run_toy(program, chooser)

    full = {came for _, came in by_deviations(probe)}
    reduced = [each.came for each in by_reduction(probe) if each.came is not None]
    assert set(reduced) == full
    assert len(reduced) <= sum(1 for _ in by_deviations(probe))


def test_what_does_not_meet_is_tried_in_one_order_only():
    apart: Program = tuple((Act("add", thing, 1), Act("look", thing, 1)) for thing in "xyz")
    assert len([each for each in by_reduction(lambda it: run_toy(apart, it)) if each.came is not None]) == 1


@given(program=PROGRAMS, wanted=st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_the_smallest_failure_is_as_small_as_the_full_search_finds(program: Program, wanted: int):
    def probe(chooser: Chooser) -> tuple[object, ...] | None:
        return run_toy(program, chooser)

    def fails(came: object) -> bool:
        return hash_of(came) % 5 == wanted % 5

    failing = [chooser for chooser, came in by_deviations(probe) if fails(came)]
    if failing:
        found = minimal(probe, failing[-1], fails, budget=100_000)
        assert len(deviations(found.decisions)) == len(deviations(failing[0].decisions))


def test_without_a_budget_the_failure_stays_as_it_is():
    program: Program = ((Act("add", "x", 1), Act("look", "x", 1)), (Act("set", "x", 3),))
    probe: Callable[[Chooser], object] = lambda each: run_toy(program, each)  # noqa: E731
    *_, (last, _) = by_deviations(probe)
    assert minimal(probe, last, lambda came: True, budget=0) is last


def test_chance_begins_with_the_normal_order_and_is_the_same_each_time():
    program: Program = ((Act("add", "x", 1),) * 5, (Act("add", "x", 1),) * 5)

    def tokens(seed: str) -> list[str]:
        found = randomly(lambda each: run_toy(program, each), seed, 30)
        return [str(Token.of("abcd", "v", chooser.decisions)) for chooser, _ in found]

    assert tokens("one") == tokens("one") != tokens("two")
    assert tokens("one")[0] == "s1-vabcd-"
    assert len(set(tokens("one"))) > 10


def test_a_number_that_there_is_none_of_is_the_nearest():
    chooser = Given({0: 9})
    assert chooser.choose([Move("a"), Move("b")]) == 1


def test_a_program_that_does_not_do_the_same_twice_is_noticed():
    calls = iter(range(100))

    def probe(chooser: Chooser) -> object:
        chooser.choose([Move(f"a{next(calls)}"), Move("b")])
        return 1

    with pytest.raises(AssertionError, match="does not do the same twice"):
        list(by_reduction(probe))


def hash_of(came: object) -> int:
    return sum(map(ord, repr(came)))
