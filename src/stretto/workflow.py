"""The workflow class: steps declared as methods, options, and the ways to run it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from types import CodeType, MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, cast

import anyio

from ._beginning import checked_start, no_single_start, saved_in
from ._class_steps import check_name, read_class, steps_of
from ._driver import ambient, surrounding
from ._log import logger
from ._loop import is_running
from ._options import Options
from ._state_class import agreed_state
from ._step_reader import read_step
from ._step_spec import StepSpec, mark_of
from ._types import R
from .blueprint import Blueprint
from .context import Context
from .errors import DefinitionError, WorkflowError, near, shown
from .events import StartEvent, StepFailedEvent
from .handler import Handler
from .nesting import check_nested

if TYPE_CHECKING:
    from ._config import Configs
    from ._stock import Stock
    from .limits import Limit

__all__ = ["Workflow", "with_options"]


class Workflow(Generic[R]):
    """Steps that take and return events; subclass it, and write ``Workflow[int]`` if its result is an int.

    >>> from stretto import StartEvent, StopEvent, step
    >>> class Shout(Workflow[str]):
    ...     @step
    ...     async def shout(self, ev: StartEvent) -> StopEvent[str]:
    ...         return StopEvent(result=ev.text.upper())
    >>> Shout(timeout=10).run_sync(text="hello")
    'HELLO'

    One workflow may have any number of runs at once. Attributes set on ``self`` belong to the workflow and
    are shared by all of its runs, as in any Python object. ``async with Shout() as workflow`` holds the resources
    that its runs share (``Resource(factory, scope="workflow")``): leaving the block waits for the runs that have
    them, or cancels them if it is left by an error, and tears the resources down.

    Args:
        timeout: Seconds until a run is timed out, counted from its start; None for no limit.
        verbose: Whether each step is logged, through the logger ``stretto`` (to stderr if logging is not set
            up).
        disable_validation: Leaves out the checks of the graph.
        scoped_only: Refuses to start a run that is neither awaited nor entered, see `Handler`.
        stream_buffer: How many events a stream keeps for readers that are late.
        collect_limit: How many events one buffer of ``collect_events`` holds.
        grace: Seconds after a cancellation until steps that have not ended are named by the logger; the same for a
            resource that is torn down; None: never.
        num_concurrent_runs: How many runs of this object are at work at once in one event loop; None for no limit. The
            rest wait in the order in which they were started, and their time limit counts from when they go on.
        run_overflow: What becomes of a run that is one more than `num_concurrent_runs`: it waits, ``"wait"``, as
            without this; it ends at once with a `QueueFullError` at who awaits it, ``"fail"``; or the run that was
            started first is cancelled, ``"cancel_oldest"``, and the new one begins when that has cleaned up.
        queue_size: How many events of one run may wait for a worker, beyond which ``ctx.send_event`` is refused and
            ``await ctx.send`` waits; None for no limit. What a step returns always finds room.
        overflow: What becomes of more than `queue_size`: it is refused or waits, ``"fail"``, as without this; or of all
            that waits what came first is dropped, ``"drop_oldest"``, or what comes, ``"drop_newest"``. Then what a step
            returns counts as well, and what is dropped is a dead letter with its reason. Calls of joins, failures for a
            handler and start events are never dropped and do not count.
        journal: How many entries each run keeps of what its steps took, sent and raised, with times and causes, for
            ``run.journal`` and ``run.report("run.html")``; the oldest are pushed out. None for no journal.
        undo_timeout: Seconds that all undos of a run that has failed may take together, on top of its `timeout`; None
            for no limit.
        **workflows: Workflows that its steps ask for, as `add_workflows` takes them.

    Raises:
        DefinitionError: For an option that makes no sense; at the definition of a subclass, for a step whose
            signature is wrong.
    """

    _read_steps: ClassVar[dict[type, dict[str, StepSpec]]] = {}
    _blueprint: ClassVar[Blueprint | None] = None
    _options = Options()
    _stretto_workflows: Mapping[str, Workflow[Any]] = MappingProxyType({})
    _stretto_filled = False
    # Not plainly `_stock`: that may be an attribute of the user's, who keeps a shop.
    _stretto_runs: Limit | None = None
    _stretto_stock: Stock | None = None
    _stretto_configs: Configs | None = None  # made by the first run that asks for a resource

    def __init__(
        self,
        timeout: float | None = 45.0,
        verbose: bool = False,  # noqa: FBT001, FBT002 - known under this name and place
        *,
        disable_validation: bool = False,
        scoped_only: bool = False,
        stream_buffer: int = 16_384,
        collect_limit: int = 100_000,
        grace: float | None = 5.0,
        num_concurrent_runs: int | None = None,
        run_overflow: Literal["wait", "fail", "cancel_oldest"] | None = None,
        queue_size: int | None = None,
        overflow: Literal["fail", "drop_oldest", "drop_newest"] | None = None,
        journal: int | None = None,
        undo_timeout: float | None = 30.0,
        **workflows: Workflow[Any],
    ) -> None:
        self._options = Options.of(
            timeout=timeout,
            verbose=verbose,
            disable_validation=disable_validation,
            scoped_only=scoped_only,
            stream_buffer=stream_buffer,
            collect_limit=collect_limit,
            grace=grace,
            num_concurrent_runs=num_concurrent_runs,
            run_overflow=run_overflow,
            queue_size=queue_size,
            overflow=overflow,
            journal=journal,
            undo_timeout=undo_timeout,
        )
        if self._options.num_concurrent_runs is not None:
            from .limits import Limit  # noqa: PLC0415 - loaded by who uses it, as below

            self._stretto_runs = Limit(self._options.num_concurrent_runs)
        if workflows:
            self._take_in(workflows, "")

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._blueprint = None
        cls._read_steps = {}
        for base in cls.__mro__:
            if base is cls or not issubclass(base, Workflow):
                cls._read_steps[base] = read_class(base, {cls.__name__: cls}, Workflow)
        steps = steps_of(cls)
        _check_handlers(cls, steps)
        agreed_state(cls.__name__, steps.values())
        if any(spec.undo is not None for spec in steps.values()):
            from ._undo_reader import read_undos  # noqa: PLC0415 - loaded by who uses it, as below

            read_undos(cls, steps.values())

    # -- running ---------------------------------------------------------------------------------------------

    def run(
        self, start_event: StartEvent | None = None, *, ctx: Context[Any] | None = None, **fields: Any
    ) -> Handler[R]:
        """A run of this workflow, to be awaited or entered; it starts then, see `Handler`.

        Args:
            start_event: The event to begin with. Without one, the fields make it: ``run(topic="tea")``.
            ctx: What `Context.from_dict` read from a snapshot. Of a run that was not over it goes on where that was,
                and takes no start event. Of one that was over a new run begins on its state.
            **fields: Fields of the start event.

        Raises:
            DefinitionError: If the graph of the steps cannot start or stop (at the first run).
            TypeError: If the fields do not fit the start event, or `start_event` is none that a step takes.
        """
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        return self._handler(start_event, ctx, fields, frame.f_code, frame.f_lineno)

    def _handler(
        self,
        start_event: StartEvent | None,
        ctx: Context[Any] | None,
        fields: dict[str, Any],
        code: CodeType,
        line: int,
    ) -> Handler[R]:
        """The handler that is made at this line."""
        blueprint = type(self).__dict__.get("_blueprint") or self._new_blueprint()
        if blueprint.findings:
            self._tell(blueprint)
        if blueprint.nests and not self._stretto_filled:
            self._fill(blueprint)
        if blueprint.overloaded:
            self._check_bound(blueprint)
        saved = None if ctx is None else saved_in(ctx, blueprint, start_event, fields)
        goes_on = saved is not None and not saved.finished
        event = None if goes_on else self.first_event(start_event, fields)
        handler: Handler[R] = Handler(self, self._options, blueprint, event, code, line)
        if saved is not None:
            handler.goes_on_from(saved)
        host = None if ambient.get() is None else surrounding()
        if host is not None and host.machine.ended is None:
            start = partial(handler.start_in, host, copy_context())
            if host.inside:
                host.start_later(start)  # if the step awaits it before it suspends, it is the step's own
            else:
                start()
        return handler

    async def execute(self, start_event: StartEvent | None = None, **fields: Any) -> R:
        """``await self.run(...)`` as a coroutine function, for ``start_soon`` and ``trio.run``."""
        code = Workflow.execute.__code__  # to look at the frame would keep an object of it as long as the run
        handler = self._handler(start_event, None, fields, code, code.co_firstlineno)
        del start_event, fields  # the run may be long, and has no use for them
        return await handler

    def run_sync(
        self, start_event: StartEvent | None = None, *, backend: str = "asyncio", **fields: Any
    ) -> R:
        """Runs to the end in an event loop of its own, for scripts.

        Args:
            start_event: The event to begin with, as for `run`.
            backend: ``"asyncio"`` or ``"trio"``.
            **fields: Fields of the start event, as for `run`.

        Raises:
            WorkflowError: If an event loop runs already: await `run` there.
        """
        if is_running():
            raise WorkflowError(
                "run_sync starts an event loop, and one runs already here; write await wf.run(…)"
            )
        return anyio.run(partial(self.execute, start_event, **fields), backend=backend)

    # -- the block that holds its resources ------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._stretto_stock is not None:
            raise WorkflowError(
                f"this {type(self).__name__} has been entered already; make another, or run it within that block"
            )
        from ._config import Configs  # noqa: PLC0415
        from ._stock import Stock  # noqa: PLC0415

        self._stretto_configs = self._stretto_configs or Configs()
        # Runs that a factory starts belong to whom the block belongs to, and not to the run that asked first.
        set_apart = partial(ambient.set, ambient.get())
        self._stretto_stock = Stock(
            type(self).__name__, self._options.grace, self._stretto_configs, set_apart=set_apart
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stock, self._stretto_stock = self._stretto_stock, None
        if stock is not None:
            await stock.leave(error)  # noqa: ASYNC102 - it shields itself

    # -- workflows for its steps -----------------------------------------------------------------------------

    def add_workflows(self, **workflows: Workflow[Any]) -> None:
        """Hands workflows to the steps that ask for them, by the name of the parameter.

        >>> from stretto import StartEvent, StopEvent, step
        >>> class Station(Workflow[str]):
        ...     @step
        ...     async def trade(self, ev: StartEvent) -> StopEvent[str]:
        ...         return StopEvent(result=f"sold {ev.sku}")
        >>> class Monitor(Workflow[str]):
        ...     @step
        ...     async def watch(self, ev: StartEvent, station: Station) -> StopEvent[str]:
        ...         return StopEvent(result=await station.run(sku=ev.sku))
        >>> monitor = Monitor()
        >>> monitor.add_workflows(station=Station())
        >>> monitor.run_sync(sku="tea")
        'sold tea'

        ``Monitor(station=Station())`` does the same, and a parameter may have a default. What is missing, or of another
        class, is told at the next run.

        Raises:
            DefinitionError: For what is no workflow.
        """
        self._take_in(workflows, "add_workflows")

    @property
    def nested_workflows(self) -> Mapping[str, Workflow[Any]]:
        """The workflows that its steps are handed, by parameter."""
        return self._stretto_workflows

    def _take_in(self, workflows: Mapping[str, object], by: str) -> None:
        for name, workflow in workflows.items():
            if not isinstance(workflow, Workflow):
                if not by:
                    raise _no_option(type(self), name, workflow)
                raise DefinitionError(
                    f"{by} takes workflows, as in {by}({name}=Station()), not {name}={shown(workflow)}"
                )
        self._stretto_workflows = {**self._stretto_workflows, **cast("dict[str, Workflow[Any]]", workflows)}
        self._stretto_filled = False

    def _fill(self, blueprint: Blueprint) -> None:
        check_nested(blueprint.name, blueprint.specs, self._stretto_workflows)
        self._stretto_filled = True

    def _check_bound(self, blueprint: Blueprint) -> None:
        if self._options.overflow == "drop_oldest":
            from ._overload import refuse_priorities  # noqa: PLC0415 - it is loaded

            refuse_priorities(blueprint.name, blueprint.specs)

    # -- for an application ----------------------------------------------------------------------------------

    def prepared(self) -> tuple[Blueprint, Options]:
        """What an `Application` needs of it, once its steps have what they ask for.

        Raises:
            DefinitionError: If a workflow that a step asks for is missing, or the bound of its runs makes no sense.
        """
        blueprint = type(self).__dict__.get("_blueprint") or self._new_blueprint()
        if blueprint.nests:
            self._fill(blueprint)
        if blueprint.overloaded:
            self._check_bound(blueprint)
        return blueprint, self._options

    def first_event(self, start_event: object, fields: dict[str, Any]) -> StartEvent:
        """The start event of a run, checked, or made of its fields.

        Raises:
            DefinitionError: If it has several start events, and the fields do not say which.
            TypeError: If no step takes it, or the fields do not fit.
        """
        blueprint = type(self).__dict__.get("_blueprint") or self._new_blueprint()
        if start_event is None:
            return (blueprint.start or no_single_start(blueprint))(**fields)
        return checked_start(blueprint, start_event, fields, routed=not self._options.disable_validation)

    # -- steps and their checks ------------------------------------------------------------------------------

    @classmethod
    def add_step(cls, function: Callable[..., Any]) -> None:
        """Adds a function marked by `step` to this class and its subclasses; ``@step(workflow=cls)`` does so.

        Raises:
            DefinitionError: If its signature is wrong, or the class has a step of that name.
        """
        mark = mark_of(function)
        if mark is None:
            raise DefinitionError(
                f"{cls.__name__}.add_step takes a function marked by @step, not {shown(function)}"
            )
        if cls is Workflow:
            raise DefinitionError(
                f"{function.__name__} cannot be added to Workflow itself, which all workflows share; add it to a "
                "class of yours: class App(Workflow)"
            )
        name = function.__name__
        check_name(cls, name, Workflow)
        known = steps_of(cls).get(name)
        if known is not None:
            raise DefinitionError(
                f"{cls.__name__} has a step {known.label} already; give the function that is added another name"
            )
        spec = read_step(name, staticmethod(function), mark, cls.__name__, {cls.__name__: cls})
        _check_handlers(cls, {**steps_of(cls), name: spec})
        agreed_state(cls.__name__, [*steps_of(cls).values(), spec])
        if spec.undo is not None:
            from ._undo_reader import read_undos  # noqa: PLC0415

            read_undos(cls, [spec])
        cls._read_steps[cls][name] = spec
        cls._forget_blueprint()

    @classmethod
    def blueprint(cls) -> Blueprint:
        """The steps of this class and what the check of their graph finds; made once."""
        return cls.__dict__.get("_blueprint") or cls._new_blueprint()

    @classmethod
    def _new_blueprint(cls) -> Blueprint:
        specs = list(steps_of(cls).values())
        if any(spec.undo is not None for spec in specs):
            from ._undo_reader import read_undos  # noqa: PLC0415

            specs = read_undos(cls, specs)
        cls._blueprint = Blueprint(cls.__name__, specs)
        return cls._blueprint

    @classmethod
    def _forget_blueprint(cls) -> None:
        cls._blueprint = None
        for subclass in cls.__subclasses__():
            subclass._forget_blueprint()  # noqa: SLF001 - of this very class

    def _tell(self, blueprint: Blueprint) -> None:
        """Raises what keeps the graph from running, and logs the rest, once."""
        if self._options.disable_validation:
            return
        fatal = [finding.message for finding in blueprint.findings if finding.fatal]
        if fatal:
            raise DefinitionError("; ".join(fatal), fatal)
        if not blueprint.told:
            blueprint.told = True
            for finding in blueprint.findings:
                logger().warning("%s", finding.message)


def with_options(workflow: Workflow[Any], **changes: Any) -> None:
    """Sets options of a workflow that is made already, for the runs to come.

    Raises:
        DefinitionError: For a value that makes no sense.
    """
    had = workflow._options  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this module
    options = {name: getattr(had, name) for name in Options.__annotations__ if name != "traced"}
    workflow._options = Options.of(**{**options, **changes})  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _no_option(kind: type[Workflow[Any]], name: str, value: object) -> TypeError:
    options = [
        option for option in Workflow.__init__.__annotations__ if option not in {"return", "workflows"}
    ]
    return TypeError(
        f"{kind.__name__}() takes no {name!r}, and {shown(value)} is no workflow for a step; its options: "
        f"{', '.join(options)}{near(name, options)}"
    )


def _check_handlers(cls: type, steps: dict[str, StepSpec]) -> None:
    if any(spec.recovers is not None or StepFailedEvent in spec.accepts for spec in steps.values()):
        from .recovery import check_handlers  # noqa: PLC0415 - for classes that recover

        check_handlers(cls.__name__, steps)
