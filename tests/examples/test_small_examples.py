"""The small examples do what their docstrings say, on both backends, in virtual time."""

import anyio
import pytest

from examples import (
    board_vote,
    first_of_three as race,
    human_approval as approval,
    inventory_monitor as monitor,
    inventory_progress as progress,
    reviews_map_reduce as reviews,
    smallest,
)
from stretto import StopEvent

pytestmark = pytest.mark.anyio


async def test_the_smallest_workflow_greets(capsys: pytest.CaptureFixture[str]):
    assert await smallest.Welcome().run(smallest.Guest(name="ada")) == "Hello, ada!"
    await smallest.main()
    assert capsys.readouterr().out == "Hello, world!\n"


async def test_praise_orders_and_a_complaint_clears_out(capsys: pytest.CaptureFixture[str]):
    start = anyio.current_time()
    await monitor.main()
    days = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert days == ["day 1", "day 2", "day 3", "day 4", "on day 5 there are 10 crates of apples"]
    assert anyio.current_time() - start == pytest.approx(4 * (0.1 + 0.2))


@pytest.mark.parametrize(
    ("happy", "crates"),
    [((), 20), ((True,), 30), ((False,), 0), ((True, False), 0), ((False, True, True), 20)],
)
async def test_the_loop_carries_the_crates_from_day_to_day(happy: tuple[bool, ...], crates: int):
    comments = [monitor.Comment(happy=each, words="") for each in happy]
    stall = await monitor.InventoryMonitor(comments).run(monitor.Open(stall=monitor.Stall(sku="pears")))
    assert stall == monitor.Stall(sku="pears", crates=crates, day=len(happy) + 1)


async def test_one_monitor_looks_after_many_stalls_at_once():
    """The state of a run is in its events: fifty stalls share one monitor, and take the time of one."""
    watch = monitor.InventoryMonitor(monitor.COMMENTS)
    results: dict[int, monitor.Stall] = {}

    async def look_after(number: int) -> None:
        stall = monitor.Stall(sku=str(number), crates=number)
        results[number] = await watch.run(monitor.Open(stall=stall))

    start = anyio.current_time()
    async with anyio.create_task_group() as tg:
        for number in range(50):
            tg.start_soon(look_after, number)
    assert anyio.current_time() - start == pytest.approx(1.2)
    assert results == {number: monitor.Stall(sku=str(number), crates=10, day=5) for number in range(50)}


async def test_progress_arrives_when_it_is_made_and_in_order():
    """Each line is read at the moment it was written, not at the end of the run."""
    seen: list[tuple[float, int]] = []
    start = anyio.current_time()
    stall = progress.Stall(sku="apples")
    async with progress.ReportingMonitor(progress.COMMENTS).run(progress.Open(stall=stall)) as run:
        async for ev in run.stream_events():
            if isinstance(ev, progress.Progress):
                seen.append((round(anyio.current_time() - start, 6), ev.day))
            else:
                assert isinstance(ev, StopEvent)
        result = await run
    assert result == progress.Stall(sku="apples", crates=10, day=5)
    bought = [(0.0, 1), (0.2, 1), (0.3, 1), (0.3, 2), (0.5, 2), (0.6, 2)]
    cleared = [(0.6, 3), (0.9, 3)]
    assert seen == [*bought, *cleared, (0.9, 4), (1.1, 4), (1.2, 4)]


async def test_the_caller_prints_the_progress(capsys: pytest.CaptureFixture[str]):
    await progress.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "day 1: what do they say today?",
        'day 1: "crisp and sweet": lorry 1 of 2 has brought five crates of apples',
    ]
    assert lines[-1] == "on day 5 there are 10 crates of apples"
    assert len(lines) == 12


async def test_who_is_asked_is_asked_about_all_at_once(capsys: pytest.CaptureFixture[str]):
    start = anyio.current_time()
    await approval.main()
    assert capsys.readouterr().out.splitlines() == [
        "coffee for 8.70, yes or no? yes",
        "saffron for 99.00, yes or no? yes",
        "spent 111.10",
    ]
    assert anyio.current_time() - start == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("yes", "spent"), [({"coffee"}, 1210), (set[str](), 340), ({"coffee", "saffron"}, 11110)]
)
async def test_what_is_refused_is_not_bought(yes: set[str], spent: int):
    """Both questions are open at once, and are answered in the other order."""
    asked: list[approval.Question] = []
    async with approval.Purchase().run(approval.Basket(items=tuple(approval.SHELVES))) as run:
        async for ev in run.stream_events():
            if isinstance(ev, approval.Question):
                asked.append(ev)
            if len(asked) == 2 and isinstance(ev, approval.Question):
                assert {waiting.step for waiting in run.waiting_for} == {"buy"}
                for each in reversed(asked):
                    run.send_event(approval.Answer(item=each.item, yes=each.item in yes))
        assert await run == spent


async def test_the_reviews_are_mapped_and_reduced_to_a_line_for_each_product(
    capsys: pytest.CaptureFixture[str],
):
    totals = await reviews.Reviews().run()
    assert [(total.product, total.reviews) for total in totals] == [
        ("apex-ad2600-dvd-player", 98),
        ("canon-g3-camera", 39),
        ("creative-zen-xtra-player", 90),
        ("nikon-coolpix-4300-camera", 33),
        ("nokia-6610-phone", 40),
    ]
    assert all(total.balance["great"] > 0 for total in totals)
    await reviews.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0] == (
        "apex-ad2600-dvd-player       98 reviews: great, price, plays, feature; but service, after, customer, their"
    )


async def test_the_board_is_not_asked_any_longer_when_its_vote_is_decided(capsys: pytest.CaptureFixture[str]):
    start = anyio.current_time()
    await board_vote.main()
    assert capsys.readouterr().out == "carried: Ada for it, Ben against it, Cleo for it, Dan for it\n"
    assert anyio.current_time() - start == pytest.approx(0.4)


async def test_the_first_of_three_is_taken_and_the_losers_stop_before(capsys: pytest.CaptureFixture[str]):
    start = anyio.current_time()
    await race.main()
    *asked, answered, one, other, won, result = capsys.readouterr().out.splitlines()
    assert sorted(asked) == [f"{mirror} is asked for hymn.txt" for mirror in ("Bergen", "Lisbon", "Osaka")]
    assert answered == "Lisbon has answered"
    assert {one, other} == {f"{mirror} is not needed any more" for mirror in ("Bergen", "Osaka")}
    assert (won, result) == ("Lisbon has won", "hymn.txt from Lisbon")
    assert anyio.current_time() - start == pytest.approx(0.1)
