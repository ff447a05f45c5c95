"""Every text that an application, a request and a nested workflow tell, whole; `here` is the line of a step."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import anyio
import pytest

from stretto import (
    Application,
    Context,
    DefinitionError,
    HumanResponseEvent,
    RunEndedError,
    StartEvent,
    StepGroup,
    StopEvent,
    ThreadContext,
    UndeclaredEventError,
    Workflow,
    WorkflowError,
    WorkflowStalledError,
    WorkflowTimeoutError,
    step,
)
from stretto.errors import DeadLetterError, RoutingError
from stretto.supervision import Restart
from tests.application.programs import Answer, Ask, Asker, Forgetful, Monitor, Oracle, Station, Trade, Traded

pytestmark = pytest.mark.anyio


def text(error: BaseException) -> str:
    said = re.sub(r"\w+\.py:\d+", "here", str(error))
    return re.sub(r"0x[0-9a-f]+|run [0-9a-f]{12}", "…", said)


class Case(NamedTuple):
    program: Callable[[], Awaitable[object]]
    error: type[BaseException]
    says: str


CASES: list[Case] = []


def told(error: type[BaseException], says: str) -> Callable[[Any], Any]:
    def keep(program: Any) -> Any:
        CASES.append(Case(program, error, says))
        return program

    return keep


wrong = partial(told, DefinitionError)


class Silent(Workflow):
    @step
    async def hear(self, ev: Ask) -> Answer | None:
        return None


class Sneaks(Workflow):
    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent:
        if ev.how == "request":
            await ctx.request(Ask(), Answer)
        ctx.send_event(Trade(sku="x"))
        return StopEvent()


class Nests(Workflow):
    @step
    async def begin(self, ev: StartEvent, station: Station) -> StopEvent:
        return StopEvent()


async def enter(app: Application) -> None:
    async with app:
        pass


# -- members and options


@wrong(
    "the member a is <class 'tests.application.programs.Station'>, and members are workflows; write "
    "Application(a=Station())"
)
async def a_member_that_is_a_class():
    Application(a=Station)  # pyright: ignore[reportArgumentType]


@wrong(
    "the member on_stopp is 'drain', and members are workflows; write Application(on_stopp=MyWorkflow()); did you mean "
    "'on_stop'?"
)
async def an_option_that_is_misspelt():
    Application(on_stopp="drain")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@wrong("the member a is 3, and members are workflows; write Application(a=MyWorkflow())")
async def a_member_that_is_no_workflow():
    Application(a=3)  # pyright: ignore[reportArgumentType]


@wrong(
    "the member a is an Application, and members are workflows; give this one the members of that: "
    "Application(**inner.members, …)"
)
async def a_member_that_is_an_application():
    Application(a=Application())  # pyright: ignore[reportArgumentType]


@wrong("a and b are the same Station object; make one for each")
async def one_object_under_two_names():
    station = Station()
    Application(a=station, b=station)


@wrong(
    "Application(broadcast=Station(…)): broadcast is an option of the application; give the member "
    "another name"
)
async def a_member_called_like_an_option():
    Application(broadcast=Station())  # pyright: ignore[reportArgumentType]


@wrong("on_stop is 'drain' or 'cancel', not 'wait'")
async def an_option_that_is_none():
    Application(on_stop="wait")  # pyright: ignore[reportArgumentType]


@wrong("external lists event classes, as in external=[Price], not 3")
async def a_list_of_something_else():
    Application(external=[3])  # pyright: ignore[reportArgumentType]


@wrong("connect takes a class of events that is no StopEvent, not <class 'stretto.StopEvent'>")
async def a_connection_of_something_else():
    Application().connect(StopEvent, to="a")


@wrong("connect(Trade) says nothing; write to='member' for who gets it, or key=lambda ev: ev.id")
async def a_connection_that_says_nothing():
    Application().connect(Trade)


@told(WorkflowError, "connect(Trade, …) comes too late: the application is entered already")
async def a_connection_that_comes_too_late():
    async with Application(a=Monitor(), b=Station()) as app:
        app.connect(Trade, to="b")


# -- the wiring


@wrong(
    "Trade, which Monitor.watch (here) of a (Monitor) sends, is taken by several members: b, by "
    "Station.trade (here); c, by Station.trade (here); say which one: app.connect(Trade, to='b'), or "
    "that each gets it: Application(…, broadcast=[Trade])"
)
async def several_that_take_it():
    await enter(Application(a=Monitor(), b=Station(), c=Station()))


@wrong(
    "Trade, which Monitor.watch (here) of a (Monitor) sends, is taken by no member, and it is no answer "
    "to anything that reaches a; add a step with ev: Trade to one of them, or leave it out of the "
    "annotation; did you mean 'Traded'?"
)
async def nobody_who_takes_it():
    await enter(Application(a=Monitor(), b=Oracle(), external=[Ask, Traded]))


@wrong(
    "nothing reaches c (Station): it takes Trade (Station.trade (here)), and no other member names that "
    "in a return annotation; name it there, or, if it comes from outside, write Application(…, "
    "external=[…]) or class Go(Event, external=True); Traded, which Station.trade (here) of c (Station) "
    "sends, is taken by no member, and it is no answer to anything that reaches c; add a step with ev: "
    "Traded to one of them, or leave it out of the annotation; did you mean 'Trade'?"
)
async def a_member_that_nothing_reaches():
    await enter(Application(a=Asker(), b=Oracle(), c=Station()))


@wrong(
    "connect(Trade, …) names a member 'order', and there are: a, orders; did you mean 'orders'?; "
    "connect(Traded, …) sends it to orders (Station), none of whose steps takes it; add a step with ev: "
    "Traded; nothing reaches orders (Station): it takes Trade (Station.trade (here)), and no other "
    "member names that in a return annotation; name it there, or, if it comes from outside, write "
    "Application(…, external=[…]) or class Go(Event, external=True)"
)
async def a_connection_to_nobody():
    app = Application(a=Monitor(), orders=Station()).connect(Trade, to="order").connect(Traded, to="orders")
    await enter(app)


@wrong(
    "Nests.begin (here) asks for a workflow as station: Station, and this Nests was given none; write "
    "workflow.add_workflows(station=Station(…)), or Nests(station=Station(…))"
)
async def a_workflow_that_is_missing():
    await enter(Application(a=Nests()))


# -- calls


@told(WorkflowError, "an Application is entered once; make another")
async def an_application_that_is_entered_twice():
    app = Application(a=Monitor(), b=Station())
    await enter(app)
    await enter(app)


@wrong(
    "supervise maps members to how they are restarted, as in supervise={'orders': Restart()}, not ['orders']"
)
async def a_list_of_members_to_restart():
    Application(orders=Monitor(), supervise=["orders"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@wrong(
    "supervise names 'order', and the application has no such member, it has: orders, other; did you mean 'orders'?"
)
async def a_restart_of_nobody():
    Application(orders=Monitor(), other=Station(), supervise={"order": Restart()})


@wrong(
    "supervise['orders'] is 'stop'; write Restart(…) of stretto.supervision, and leave a member out that is not to be "
    "restarted"
)
async def a_restart_that_is_none():
    Application(orders=Monitor(), supervise={"orders": "stop"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


@wrong(
    "Application(supervise=Station(…)): supervise is an option of the application; give the member another name"
)
async def a_member_called_supervise():
    Application(supervise=Station())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@wrong("backoff is fixed(…), exponential(…), jittered(…) or no_wait(), of stretto.retry, not 3")
async def a_number_for_a_backoff():
    Restart(backoff=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@wrong("limit is a whole number of at least 1, not 0")
async def a_restart_that_is_never_made():
    Restart(limit=0)


@wrong("period is a number above 0, not -1")
async def a_period_in_the_past():
    Restart(period=-1)


@wrong("mailbox is 'keep' or 'discard', not 'drop'")
async def a_mailbox_that_is_neither():
    Restart(mailbox="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@wrong("strategy is 'one_for_one' or 'rest_for_one', not 'one_for_all'")
async def a_strategy_that_is_not_there():
    Restart(strategy="one_for_all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@told(WorkflowError, "app.run belongs into the block of the application: async with Application(…) as app")
async def a_call_outside_of_the_block():
    Application(a=Monitor(), b=Station()).run("a")


@wrong("the application has no member 'monitr', it has: monitor, b; did you mean 'monitor'?")
async def a_call_of_nobody():
    async with Application(monitor=Monitor(), b=Station()) as app:
        app.run("monitr")


@told(
    TypeError, "no step of a (Monitor) takes Ask(n=0, seconds=1, fails=False); it takes: StartEvent, Traded"
)
async def a_call_with_what_the_member_does_not_take():
    async with Application(a=Monitor(), b=Station()) as app:
        app.run("a", Ask())


@told(TypeError, "run() takes an event or its fields, not both: Trade(sku='x', seconds=1, fails=False) and n")
async def a_call_with_an_event_and_fields():
    async with Application(a=Monitor(), b=Station()) as app:
        app.run("b", Trade(sku="x"), n=3)


@told(TypeError, "request takes an event to ask with, as in request(Ask(…), reply=Answer), not 3")
async def a_request_from_outside_with_no_event():
    async with Application(a=Monitor(), b=Station()) as app:
        await app.request(3, Answer)  # pyright: ignore[reportArgumentType]


@wrong("request(Ask(…)) is taken by no member; a request goes to one: write app.connect(Ask, to=…)")
async def a_request_from_outside_that_nobody_takes():
    async with Application(a=Monitor(), b=Station()) as app:
        await app.request(Ask(), Answer)


@told(
    UndeclaredEventError,
    "Sneaks.begin (here) sends Trade to b (Station), but no step of Sneaks names it in its return "
    "annotation; add Trade to that of Sneaks.begin (here)",
)
async def an_event_that_is_not_named():
    async with Application(a=Sneaks(), m=Monitor(), b=Station()) as app:
        await app.run("a", how="send")


@told(
    UndeclaredEventError,
    "Sneaks.begin (here) asks b (Oracle) with Ask, but no step of a (Sneaks) names it in its return "
    "annotation; add Ask to that of Sneaks.begin (here)",
)
async def a_question_that_is_not_named():
    async with Application(a=Sneaks(), b=Oracle(), external=[Ask]) as app:
        await app.run("a", how="request")


@wrong(
    "Sneaks.begin (here) requests Answer with Ask, which is taken by no member; a request goes to one "
    "member: write app.connect(Ask, to=…), or add a step with ev: Ask to one"
)
async def a_question_for_nobody():
    async with Application(a=Sneaks()) as app:
        await app.run("a", how="request")


@told(
    WorkflowError,
    "Sneaks.begin (here) requests Answer, and its run is in no Application; write async with "
    "Application(…) as app, and await app.run(…) there",
)
async def a_request_outside_of_an_application():
    await Sneaks().run(how="request")


@told(
    WorkflowStalledError,
    "the conversation of b (Silent) is stuck: no Answer came, and nothing is left to run; b: Silent.hear "
    "(here) returned nothing although it declares Answer. Return a StopEvent to end the run that was "
    "called; if an event is to come from outside, declare its class so: class Go(Event, external=True)",
)
async def a_request_that_cannot_be_answered():
    async with Application(a=Asker(), b=Silent()) as app:
        await app.run("a")


@told(
    WorkflowStalledError,
    "the conversation of b (Station) is stuck: nothing is left to run; no step returned an event. Return "
    "a StopEvent to end the run that was called; if an event is to come from outside, declare its class "
    "so: class Go(Event, external=True)",
)
async def a_conversation_that_is_stuck():
    async with Application(a=Monitor(), b=Station()) as app, app.run("b", Trade(sku="x")) as run:
        await run


@told(WorkflowTimeoutError, "Monitor timed out after 2 s; no step was active; it waited for what others send")
async def a_conversation_that_is_late():
    async with Application(a=Monitor(timeout=2), b=Station()) as app:
        await app.run("a", sku="x", seconds=9)


@told(
    DeadLetterError,
    "Traded(sku='x0') of b is a dead letter: no step of Station takes exactly Traded, and nobody waited "
    'for it; this application was made with dead_letters="error"',
)
async def a_dead_letter_that_is_an_error():
    async with Application(a=Forgetful(), b=Station(), dead_letters="error") as app:
        await app.run("a", sku="x")


class Waits(Monitor):
    @step
    async def hear(self, ctx: Context, ev: StartEvent) -> None:
        await ctx.wait_for_event(HumanResponseEvent)


class WaitsToo(Station):
    @step
    async def trade(self, ctx: Context, ev: Trade) -> Traded:
        await ctx.wait_for_event(HumanResponseEvent)
        return Traded(sku="x")


@told(
    RoutingError,
    "HumanResponseEvent() would be taken by several runs: a (…), b (…); say which member is meant: "
    "run.send_event(ev, to='a')",
)
async def an_answer_that_several_runs_wait_for():
    async with Application(a=Waits(), b=WaitsToo()) as app, app.run("a", sku="x") as run:
        await anyio.sleep(1)
        run.send_event(HumanResponseEvent())


@told(RoutingError, "the application has no member 'c', it has: a, b")
async def an_answer_for_nobody():
    async with Application(a=Waits(), b=WaitsToo()) as app, app.run("a", sku="x") as run:
        await anyio.sleep(1)
        run.send_event(HumanResponseEvent(), to="c")


# -- nested workflows and groups


@wrong(
    "Nests.begin (here) asks for a workflow as station: Station, and this Nests was given none; write "
    "workflow.add_workflows(station=Station(…)), or Nests(station=Station(…))"
)
async def a_workflow_that_was_not_given():
    await Nests().run()


@wrong(
    "Nests.begin (here) asks for a workflow as station: Station, and was given "
    "<tests.application.programs.Monitor object at …>; give it station=Station(…)"
)
async def a_workflow_of_another_class():
    await Nests(station=Monitor()).run()


@wrong(
    "Nests was given sation=Station(…), and none of its steps has a parameter 'sation' for a workflow; "
    "did you mean 'station'?"
)
async def a_workflow_that_nobody_asks_for():
    await Nests(station=Station(), sation=Station()).run()


@wrong("add_workflows takes workflows, as in add_workflows(station=Station()), not station=3")
async def something_else_than_a_workflow():
    Nests().add_workflows(station=3)  # pyright: ignore[reportArgumentType]


@told(
    TypeError,
    "Nests() takes no 'timeot', and 3 is no workflow for a step; its options: timeout, verbose, "
    "disable_validation, scoped_only, stream_buffer, collect_limit, grace, num_concurrent_runs, "
    "run_overflow, queue_size, overflow, journal, undo_timeout; did you mean 'timeout'?",
)
async def an_option_that_does_not_exist():
    Nests(timeot=3)  # pyright: ignore[reportArgumentType]


@wrong("a StepGroup has a name, as in StepGroup('pricing'), not ''")
async def a_group_without_a_name():
    StepGroup("")


@wrong("g.add_step takes a function marked by @step, not 3")
async def a_group_that_is_given_something_else():
    StepGroup("g").add_step(3)  # pyright: ignore[reportArgumentType]


@wrong("g.attach takes workflow classes, as in g.attach(Shop), not 3")
async def a_group_that_is_attached_to_something_else():
    StepGroup("g").attach(3)  # pyright: ignore[reportArgumentType]


@wrong("g.one (here) is in the group already; give one of the two another name")
async def a_group_with_one_name_twice():
    group = StepGroup("g")

    @step(workflow=group)
    async def one(ev: StartEvent) -> StopEvent: ...

    group.add_step(one)


@wrong(
    "Context(workflow=Station(…)): a Context belongs to one step of one run, and cannot join two "
    "workflows; an Application does, by the events that their steps name:\n    from stretto import "
    "Application\n    async with Application(main=…, other=Station(…)) as app:\n        result = await "
    "app.run('main', …)"
)
async def a_context_for_two_workflows():
    Context(workflow=Station())


@told(RoutingError, "to= is the name of a member, as in to='monitor', not 5")
async def a_member_that_is_no_name():
    async with Application(monitor=Monitor(), b=Station()) as app, app.run("monitor", sku="x") as run:
        await run.send(Trade(sku="y"), to=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@told(
    RoutingError,
    "Traded(sku='y') was sent to='b', and this run of Monitor is no member of an Application; leave out to=, or name a "
    "step: step='…'",
)
async def a_member_where_there_are_none():
    async with Monitor().run(sku="x") as run:
        run.send_event(Traded(sku="y"), to="b")


SENDS_TO = (
    ".begin (here) sends Ask(n=1, seconds=1, fails=False) to='b', and a step knows event classes and no members; leave "
    "out to=: whoever takes Ask gets it, and where that is not clear app.connect(Ask, to='b') says so"
)


class Sends(Workflow):
    """Names a member where a step cannot."""

    def __init__(self, send: Callable[[Context], object]) -> None:
        super().__init__()
        self.send = send

    @step
    async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent:
        sent = self.send(ctx)
        if isinstance(sent, Awaitable):
            await sent
        return StopEvent()


@told(RoutingError, f"Sends{SENDS_TO}")
async def a_member_named_by_a_step():
    to: Any = "b"
    async with Application(a=Sends(lambda ctx: ctx.send_event(Ask(n=1), to=to)), b=Oracle()) as app:
        await app.run("a")


@told(RoutingError, f"Sends{SENDS_TO}")
async def a_member_named_by_a_step_that_waits_for_room():
    to: Any = "b"
    async with Application(a=Sends(lambda ctx: ctx.send(Ask(n=1), to=to)), b=Oracle()) as app:
        await app.run("a")


@told(RoutingError, f"Holds{SENDS_TO}")
async def a_member_named_by_a_step_that_holds_back_what_it_sends():
    to: Any = "b"

    class Holds(Sends):
        @step(emit="on_success")
        async def begin(self, ctx: Context, ev: StartEvent) -> Ask | StopEvent:
            ctx.send_event(Ask(n=1), to=to)
            return StopEvent()

    async with Application(a=Holds(print), b=Oracle()) as app:
        await app.run("a")


@told(RoutingError, f"Threaded{SENDS_TO}")
async def a_member_named_by_a_step_in_a_thread():
    to: Any = "b"

    class Threaded(Sends):
        @step
        def begin(self, ctx: ThreadContext, ev: StartEvent) -> Ask | StopEvent:
            ctx.send_event(Ask(n=1), to=to)
            return StopEvent()

    async with Application(a=Threaded(print), b=Oracle()) as app:
        await app.run("a")


@told(
    RoutingError,
    "Traded(sku='y') was sent to='b', and this run of Monitor is no member of an Application; leave out to=, or name a "
    "step: step='…'",
)
async def a_member_named_by_the_context_of_who_is_outside():
    async with Monitor().run(sku="x") as run:
        run.ctx.send_event(Traded(sku="y"), to="b")


@told(RoutingError, "the application has no member 'c', it has: monitor, b")
async def a_member_that_is_not_there_named_by_the_context_of_who_is_outside():
    async with Application(monitor=Monitor(), b=Station()) as app, app.run("monitor", sku="x") as run:
        await run.ctx.send(Trade(sku="y"), to="c")


@told(RunEndedError, "Late.begin (here) requests Answer, but its run is over, and nothing would wait for it")
async def a_request_in_a_clean_up():
    class Late(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> StopEvent | Ask:
            try:
                await anyio.sleep(9)
            finally:
                with anyio.CancelScope(shield=True):
                    await ctx.request(Ask(), Answer)
            return StopEvent()

        @step
        async def end(self, ev: StartEvent) -> StopEvent:
            await anyio.sleep(1)
            return StopEvent()

    async with Application(a=Late(), b=Oracle()) as app:
        await app.run("a")


@pytest.mark.parametrize("case", CASES, ids=[case.program.__name__ for case in CASES])
async def test_a_mistake_is_told(case: Case):
    with pytest.raises(case.error) as caught:
        await case.program()
    assert type(caught.value) is case.error
    assert text(caught.value) == case.says
