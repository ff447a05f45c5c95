"""Steps of a module that several workflows take in."""

from __future__ import annotations

import pytest

from stretto import Context, DefinitionError, Event, StartEvent, StepGroup, StopEvent, Workflow, step

pytestmark = pytest.mark.anyio


class Priced(Event):
    cents: int


def pricing() -> StepGroup:
    group = StepGroup("pricing")

    @step(workflow=group, num_workers=2)
    async def price(ctx: Context, ev: StartEvent) -> Priced:
        return Priced(cents=ev.cents)

    return group


async def test_the_steps_of_a_group_belong_to_each_workflow_that_it_is_attached_to():
    class Shop(Workflow[str]):
        @step
        async def sell(self, ev: Priced) -> StopEvent[str]:
            return StopEvent(result=f"sold for {ev.cents}")

    class Market(Workflow[str]):
        @step
        async def offer(self, ev: Priced) -> StopEvent[str]:
            return StopEvent(result=f"offered for {ev.cents}")

    class Corner(Shop):
        pass

    group = pricing().attach(Shop, Market)
    assert await Shop().run(cents=3) == "sold for 3"
    assert await Market().run(cents=3) == "offered for 3"
    assert await Corner().run(cents=3) == "sold for 3"
    assert [each.__name__ for each in group] == ["price"]
    assert repr(group) == "StepGroup('pricing', price)"


async def test_a_step_that_comes_later_reaches_the_workflows_that_have_the_group():
    class Alone(Workflow[int]):
        pass

    group = pricing().attach(Alone)

    @step(workflow=group)
    async def end(ev: Priced) -> StopEvent[int]:
        return StopEvent(result=ev.cents)

    assert await Alone().run(cents=5) == 5
    assert (await end(Priced(cents=6))).result == 6


def test_what_is_wrong_is_told_where_it_is_written():
    group = pricing()
    with pytest.raises(DefinitionError, match=r"pricing.bad \(test_step_groups.py:\d+\) takes no event"):

        @step(workflow=group)
        async def bad(ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match="in the group already"):

        @step(workflow=group)
        async def price(ev: StartEvent) -> StopEvent: ...

    with pytest.raises(DefinitionError, match="marked by @step"):
        group.add_step(print)
    with pytest.raises(DefinitionError, match="attach takes workflow classes"):
        group.attach(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DefinitionError, match="has a name"):
        StepGroup("")

    class Has(Workflow):
        @step
        async def price(self, ev: StartEvent) -> StopEvent: ...

    with pytest.raises(DefinitionError, match=r"Has has a step Has.price .* already"):
        group.attach(Has)
