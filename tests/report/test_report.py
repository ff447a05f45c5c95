"""`run.report(...)`: a page of what happened, in every state that a run can be in, whatever its names and payloads."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, settings, strategies as st

from stretto import (
    Application,
    Context,
    Event,
    Handler,
    HumanResponseEvent,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowError,
    step,
)
from stretto.drawing import draw_all_possible_flows
from stretto.journal import Journal, Ran
from stretto.report.account import Account
from stretto.report.page import page_of
from stretto.report.rows import Rows
from stretto.report.timeline import seconds
from stretto.report.works import Work, in_lanes, works_of
from stretto.retry import fixed

pytestmark = pytest.mark.anyio


class Ask(Event):
    shop: str


class Offer(Event):
    shop: str


class Unseen(Event):
    pass


class Shops(Workflow[int]):
    """One worker for three, of whom one needs two attempts, and one step that nothing ever reaches."""

    @step
    async def begin(self, ev: StartEvent) -> list[Ask]:
        return [Ask(shop=shop) for shop in ("Mill", "Dock", "Corner")]

    @step(num_workers=1, retry_policy=RetryPolicy(attempts=2, wait=fixed(4)))
    async def ask(self, ctx: Context, ev: Ask) -> Offer:
        await ctx.sleep(1)
        if ev.shop == "Mill" and ctx.attempt.number == 1:
            raise ConnectionError("busy")
        return Offer(shop=ev.shop)

    @step
    async def choose(self, ctx: Context, ev: Offer) -> StopEvent[int] | None:
        offers = ctx.collect_events(ev, [Offer] * 3)
        return None if offers is None else StopEvent(result=len(offers))

    @step
    async def never(self, ev: HumanResponseEvent) -> Unseen | StopEvent[int]:
        return Unseen()


class Tags(HTMLParser):
    """The tags of a page, its texts, and the ids and links in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


async def ended(workflow: Workflow[Any]) -> Handler[Any]:
    run = workflow.run()
    with contextlib.suppress(Exception):  # what it is, the report says
        await run
    return run


async def page(run: Handler[Any], folder: Path) -> str:
    run.report(folder / "run.html")
    return (folder / "run.html").read_text("utf-8")


async def test_a_run_that_is_done_has_its_result_its_times_its_retries_and_its_causes(tmp_path: Path):
    text = Tags(await page(await ended(Shops(journal=100)), tmp_path)).text
    assert "Shops ✓ done 6 s · 8 pieces of work" in text
    assert "Result 3" in text
    assert "Shops.ask" in text
    assert "retries after 4 s" in text
    assert "queued 1 s" in text
    assert "queued 2 s" in text
    assert "ConnectionError('busy')" in text
    assert "never did not run" in text
    assert "outside" in text


async def test_every_piece_of_work_has_a_row_and_every_link_leads_to_one(tmp_path: Path):
    html = await page(await ended(Shops(journal=100)), tmp_path)
    attributes = Tags(html).attributes
    rows = {value for name, value in attributes if name == "id" and value.startswith("w")}
    links = {value for name, value in attributes if name == "href"}
    assert rows == {f"w{number}" for number in range(1, 9)}
    assert links == {f"#{row}" for row in rows}


def classes(html: str, title: str) -> str:
    """The classes of the node with that title in the graph."""
    (found,) = re.findall(rf'<g class="([^"]*)" data-node="{title}"', html)
    return found


async def test_the_graph_is_coloured_by_what_ran(tmp_path: Path):
    html = await page(await ended(Shops(journal=100)), tmp_path)
    assert "st-ran" in classes(html, "ask")
    assert "st-idle" in classes(html, "never")
    assert re.search(r'<g class="[^"]*st-ran[^"]*" data-edge="ask&gt;event_Offer"', html)
    assert re.search(r'<g class="[^"]*st-idle[^"]*" data-edge="never&gt;lost_Unseen"', html)


class Fails(Workflow):
    @step
    async def begin(self, ev: StartEvent) -> StopEvent:
        raise ValueError("no money left")


class Late(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        await anyio.sleep_forever()
        return StopEvent()


class Stuck(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | None:
        ctx.collect_events(Ask(shop="Mill"), [Ask, Ask])
        ctx.send_event(Unseen())


async def test_a_run_that_failed_has_the_error_with_the_line_of_the_step(tmp_path: Path):
    html = await page(await ended(Fails(journal=10)), tmp_path)
    text = Tags(html).text
    assert "Fails ✗ failed" in text
    assert "ValueError: no money left" in text
    assert "test_report.py" in text
    assert "_worker.py" not in text
    assert "st-failed" in classes(html, "begin")


async def test_a_run_that_timed_out_shows_what_was_at_work(tmp_path: Path):
    html = await page(await ended(Late(timeout=3, journal=10)), tmp_path)
    text = Tags(html).text
    assert "Late ✗ timed out 3 s" in text
    assert "WorkflowTimeoutError: Late timed out after 3 s; active: Late.begin" in text
    assert "st-active" in classes(html, "begin")
    assert "cancelled" in text


async def test_a_run_that_stalled_shows_what_is_left_of_it(tmp_path: Path):
    text = Tags(await page(await ended(Stuck(journal=10, disable_validation=True)), tmp_path)).text
    assert "Stuck ✗ stalled" in text
    assert "Dead letters Unseen()" in text
    assert "Leftovers Ask(shop='Mill')" in text


class Undone(Workflow):
    async def give_back(self, ev: StartEvent) -> None: ...

    async def refuse(self) -> None:
        raise OSError("closed")

    @step(undo=give_back)
    async def begin(self, ev: StartEvent) -> Ask:
        return Ask(shop="Mill")

    @step(undo=refuse)
    async def ask(self, ev: Ask) -> Offer:
        return Offer(shop="Mill")

    @step
    async def end(self, ev: Offer) -> StopEvent:
        raise ValueError("no money left")


@pytest.mark.parametrize("journal", [None, 100])
async def test_a_run_that_was_undone_says_what_is_and_what_is_not(tmp_path: Path, journal: int | None):
    text = Tags(await page(await ended(Undone(journal=journal)), tmp_path)).text
    assert "Undone ✗ failed" in text
    assert "ValueError: no money left" in text
    assert "Undone begin by give_back" in text
    assert "Not undone Undone.ask (test_report.py:" in text
    assert "by refuse (raised OSError('closed'))" in text
    assert "OSError: closed" in text


async def test_a_run_that_is_being_undone_says_so(tmp_path: Path):
    class Slow(Undone):
        async def refuse(self) -> None:
            await anyio.sleep(1)

        @step(undo=refuse)
        async def ask(self, ev: Ask) -> Offer:
            return Offer(shop="Mill")

    async with Slow().run() as run:
        await anyio.sleep(0.5)
        assert "Slow: undoing" in Tags(await page(run, tmp_path)).text
        with pytest.raises(ValueError, match="no money left"):
            await run


async def test_a_run_that_is_at_work_is_reported_as_far_as_it_has_come(tmp_path: Path):
    class Asks(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.wait_for_event(HumanResponseEvent)
            return StopEvent()

    async with Asks(journal=10).run() as run:
        await anyio.sleep(2)
        html = await page(run, tmp_path)
        run.send_event(HumanResponseEvent())
    text = Tags(html).text
    assert "Asks … running 2 s" in text
    assert "waits for HumanResponseEvent" in text
    assert "Waits for ask: HumanResponseEvent" in text
    assert "st-active" in classes(html, "ask")


async def test_a_run_that_was_cancelled_is_told_so(tmp_path: Path):
    async with Late(journal=10).run() as run:
        await anyio.sleep(1)
        await run.cancel()
    assert "Late ○ cancelled" in Tags(await page(run, tmp_path)).text


async def test_without_a_journal_the_page_says_how_to_have_times(tmp_path: Path):
    text = Tags(await page(await ended(Shops()), tmp_path)).text
    assert "Shops ✓ done" in text
    assert "This run kept no journal" in text
    assert "Shops(journal=10_000)" in text


@pytest.mark.parametrize("journal", [None, 100])
async def test_how_often_each_step_ran_is_in_the_graph_with_or_without_a_journal(
    tmp_path: Path, journal: int | None
):
    html = await page(await ended(Shops(journal=journal)), tmp_path)
    assert "st-ran" in classes(html, "ask")
    assert "st-idle" in classes(html, "never")
    numbers = re.findall(r'<g class="st-count"><rect[^>]*><text[^>]*>(\d+)</text>', html)
    assert numbers[:3] == ["1", "3", "3"]


async def test_what_a_small_journal_has_lost_is_told(tmp_path: Path):
    text = Tags(await page(await ended(Shops(journal=5)), tmp_path)).text
    assert re.search(r"The journal has lost its \d+ oldest entries", text)


class Piece(Event):
    number: int


class Fetch(Workflow[int]):
    @step
    async def get(self, ctx: Context, ev: StartEvent) -> Piece:
        await ctx.sleep(1)
        return Piece(number=ev.number)

    @step(retry_policy=RetryPolicy(attempts=2, wait=fixed(2)))
    async def check(self, ctx: Context, ev: Piece) -> StopEvent[int]:
        if ctx.attempt.number == 1:
            raise ValueError("not yet")
        return StopEvent(result=ev.number)


class Outer(Workflow[int]):
    @step
    async def begin(self, ev: StartEvent, fetch: Fetch) -> Offer:
        return Offer(shop=f"{await fetch.run(number=1) + await fetch.run(number=2)}")

    @step
    async def end(self, ev: Offer) -> StopEvent[str]:
        return StopEvent(result=ev.shop)


def labels(html: str) -> list[str]:
    """The labels of the timeline, set in as they are there."""
    found = re.findall(r'<text class="(step|group)" x="(\d+)"[^>]*>([^<]*)<tspan[^>]*>([^<]*)<', html)
    return [f"{int(x) // 16 * '  '}{name} ({kind}) {told}".rstrip() for kind, x, name, told in found]


async def test_the_steps_of_nested_runs_stand_beneath_the_step_that_has_made_them(tmp_path: Path):
    html = await page(await ended(Outer(journal=100, fetch=Fetch())), tmp_path)
    assert labels(html) == [
        "begin (step) 1 time",
        "  Fetch (group) 2 runs",
        "    get (step) 2 times",
        "    check (step) 4 times",
        "end (step) 1 time",
    ]
    assert "Timeline of 4 steps" in html
    assert "2 0 s Fetch.get StartEvent(number=1) #1 1 s Piece(number=1) ended" in Tags(html).text
    assert "\u2003\u2003Fetch.check" in html
    assert html.count("retries after 2 s") == 2, "of each run its own"
    rows = re.findall(r'<tr id="w(\d+)".*?</tr>', html, re.DOTALL)
    assert rows == ["1", "2", "3", "4", "5", "6", "7", "8"]
    begun = dict(re.findall(r'<tr id="w(\d+)".*?<td>(?:<a href="#w(\d+)">|outside)', html, re.DOTALL))
    assert begun == {"1": "", "2": "1", "3": "2", "4": "2", "5": "1", "6": "5", "7": "5", "8": "1"}


class FailsBelow(Workflow[int]):
    @step
    async def get(self, ev: StartEvent) -> StopEvent[int]:
        raise ValueError("no")


class Bears(Workflow[int]):
    @step
    async def get(self, ev: StartEvent, fails: FailsBelow) -> StopEvent[int]:
        with contextlib.suppress(ValueError):
            await fails.run()
        return StopEvent(result=1)


async def test_what_fails_in_a_nested_run_does_not_colour_the_step_of_that_name_around_it(tmp_path: Path):
    html = await page(await ended(Bears(journal=100, fails=FailsBelow())), tmp_path)
    (found,) = set(re.findall(r'<g class="([^"]*)" data-node="get"', html))
    assert "st-ran" in found


class Front(Workflow[str]):
    @step
    async def take(self, ev: StartEvent) -> Piece:
        return Piece(number=1)

    @step
    async def give(self, ev: Offer) -> StopEvent[str]:
        return StopEvent(result=ev.shop)


class Back(Workflow):
    @step
    async def work(self, ev: Piece) -> Offer:
        return Offer(shop="Mill")


async def test_the_members_of_an_application_are_groups_of_their_own(tmp_path: Path):
    async with Application(front=Front(journal=100), back=Back()) as app:
        run = app.run("front")
        await run
        html = await page(run, tmp_path)
    assert labels(html) == [
        "take (step) 1 time",
        "give (step) 1 time",
        "back (group) 1 run",
        "  work (step) 1 time",
    ]
    assert "<td>back.work</td>" in html


def test_runs_that_the_journal_has_forgotten_are_a_group_too():
    work = Work(
        number=9,
        step="old",
        attempt=1,
        event=1,
        name="A",
        text="A()",
        causes=(),
        ready=None,
        began=0.0,
        run=1,
    )
    rows = [*Rows("Outer", ["begin"], {2: Ran("Fetch", None, ("get",), 1, 9)}, [work])]
    assert [(row.depth, row.owner, row.step) for row in rows] == [
        (0, "Outer", "begin"),
        (0, "earlier runs", ""),
        (1, "earlier runs", "old"),
        (2, "Fetch", ""),
        (3, "Fetch", "get"),
    ]


class Asks(Workflow[str]):
    @step
    async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent[str]:
        await ctx.wait_for_event(HumanResponseEvent, waiter_event=Ask(shop="Mill"))
        return StopEvent(result="asked")


async def test_what_a_wait_writes_to_the_stream_is_among_what_its_step_has_sent(tmp_path: Path):
    async with Asks(journal=100).run() as run:
        await anyio.sleep(1)
        run.send_event(HumanResponseEvent())
    text = Tags(await page(run, tmp_path)).text
    assert "Ask(shop='Mill') StopEvent(result='asked') ended" in text
    assert [entry.kind for entry in run.journal if entry.name == "Ask"] == ["sent"]


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("x.pdf", ValueError, "a report is an HTML page, and 'x.pdf' does not end in .html or .htm"),
        ("", ValueError, "a report is an HTML page, and '' does not end in .html or .htm"),
        ("folder/", ValueError, "a report is an HTML page, and 'folder/' does not end in .html or .htm"),
        (b"", TypeError, "report takes the name of a file, as in run.report('run.html'), not b''"),
        (3, TypeError, "report takes the name of a file, as in run.report('run.html'), not 3"),
    ],
)
async def test_a_report_is_written_to_a_page(name: Any, error: type[Exception], says: str):
    run = await ended(Shops())
    with pytest.raises(error) as caught:
        run.report(name)
    assert str(caught.value) == says


async def test_a_run_that_has_not_started_has_no_report(tmp_path: Path):
    run = Shops().run()
    with pytest.raises(WorkflowError, match="report: the run of Shops has not started"):
        run.report(tmp_path / "run.html")
    await run


# -- nothing on the page can do anything ---------------------------------------------------------------------------

HOSTILE = st.sampled_from(
    [
        "</script><img onerror=alert(1) src=x>",
        "\"'><svg onload=alert(1)>",
        "\u202egnp.exe\u2066\u200b",
        "x" * 10_000,
        "<!-- <style>*{display:none}</style>",
        "\x00\x1b[31m\ud800",
        "]]>&lt;&amp;",
    ]
) | st.text(max_size=40)
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "span", "p", "main", "section", "h2", "pre",
    "div", "svg", "a", "rect", "text", "tspan", "line", "i", "table", "thead", "tbody", "tr", "th", "td", "code",
    "small", "br", "ul", "li", "g", "path", "circle", "polyline", "polygon", "defs", "marker", "desc",
}  # fmt: skip


def hostile_account(texts: Sequence[str], kind: type[Workflow[Any]]) -> Account:
    one, two, three = texts
    work = Work(
        number=1, step="begin", attempt=2, event=1, name=one, text=two, causes=(), ready=None, began=0.0,
        ended=1.0, how="failed", error=three,
    )  # fmt: skip
    below = attrs.evolve(work, number=2, run=1, step=three)
    return Account(
        name=one, run_id="0", picture=draw_all_possible_flows(kind), blueprint=kind.blueprint(), state="failed",
        result=two, error=three,
        failures=(one, two), works=[work, below], missed=0, end=1.0, rest=[("Leftovers", [three])],
        rows=Rows(one, ["begin"], {1: Ran(two, None, (three,), 0, 1), 2: Ran(one, three, (two,), 0, 0)}, [work, below]),
    )  # fmt: skip


@settings(deadline=None)
@given(st.tuples(HOSTILE, HOSTILE, HOSTILE))
def test_whatever_names_and_payloads_are_they_are_text(texts: tuple[str, str, str]):
    html = page_of(hostile_account(texts, Fails))
    tags = Tags(html)
    assert set(tags.tags) <= ALLOWED
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name == "src"]
    assert all(value.startswith("#w") for name, value in tags.attributes if name == "href")
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\x00\x1b]", html)
    assert len(html) < 60_000
    html.encode("utf-8", "surrogatepass")


async def test_a_payload_of_many_letters_and_marks_is_written_and_cut(tmp_path: Path):
    class Big(Workflow):
        @step
        async def begin(self, ev: StartEvent) -> StopEvent:
            raise ValueError("\u202e" + "<b>" * 10_000)

    html = await page(await ended(Big(journal=10)), tmp_path)
    assert "<b>" not in html
    assert "\u202e" not in html
    assert len(html) < 60_000


async def test_the_policy_allows_its_own_styles_alone_and_nothing_is_fetched(tmp_path: Path):
    html = await page(await ended(Shops(journal=100)), tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    for style in styles:
        assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    assert ' style="' not in html
    assert "<script" not in html
    assert not re.search(r"https?:", html.replace("http://www.w3.org/2000/svg", ""))


# -- the parts -----------------------------------------------------------------------------------------------------


def work(number: int, began: float, ended: float | None) -> Work:
    return Work(
        number=number, step="x", attempt=1, event=number, name="", text="", causes=(), ready=None, began=began,
        ended=ended,
    )  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=40))
def test_no_two_pieces_of_work_in_a_lane_overlap_and_there_are_as_few_lanes_as_can_be(
    spans: list[tuple[float, float]],
):
    works = [work(number, began, began + took) for number, (began, took) in enumerate(sorted(spans))]
    lanes = in_lanes(works, 200)
    assert sorted(each.number for lane in lanes for each in lane) == [each.number for each in works]
    for lane in lanes:
        for one, two in itertools.pairwise(lane):
            assert one.until(200) <= two.began
    at_once = [sum(each.began <= at.began < each.until(200) or each is at for each in works) for at in works]
    assert len(lanes) <= max(at_once, default=0)


def test_what_began_before_the_journal_begins_is_left_out():
    journal = Journal(3, 0.0)
    for at in range(4):
        journal.came(Ask(shop="Mill"), float(at))
    assert works_of(journal) == []


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0 s"), (0.0031, "3.1 ms"), (1.25, "1.25 s"), (3600, "3600 s")]
)
def test_a_time_is_told_in_its_unit(value: float, told: str):
    assert seconds(value) == told
