"""What `explore` gives: the search over schedules, and the test that is made of another."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, final

import attrs

from .._step_spec import StepSpec
from ..errors import DefinitionError, WorkflowError, add_note
from ._agreeing import compare
from ._choosers import Chooser, Replayed
from ._delivered import Coverage
from ._hiding import hide_frames
from ._outcomes import Outcomes
from ._probe import run_once
from ._schedule import StaleTokenError, Token
from ._search import by_deviations, by_reduction, deviations, minimal, randomly
from ._shared import unknown
from ._subject import Subject
from ._telling import found, repeated
from ._test_run import TestRun

__all__ = ["Explored", "Explorer", "IncompleteError", "Mode", "replaying"]

Mode: TypeAlias = Literal["random", "exhaustive"]
Check: TypeAlias = Callable[..., object]

_MINIMAL = 2_000  # schedules that are run to find a smaller one

replaying: list[str] = []
"""The token that the command line gives, for every test of its workflow."""


@final
class IncompleteError(WorkflowError, AssertionError):
    """There are more schedules than may be tried."""


@final
@attrs.frozen(kw_only=True)
class Explored:
    """How far a search has come.

    Attributes:
        runs: How many schedules were run to their end.
        shrunk: How many more were run, after one had failed, to find the one that is told.
        given_up: How many more were begun and given up, because they would have differed in nothing from another one.
        complete: Whether these were all.
        why_full: Why nothing could be left out, in exhaustive mode.
        coverage: Which steps ran, and who sent to whom, in any of them.
    """

    runs: int
    shrunk: int = 0
    given_up: int = 0
    complete: bool = False
    why_full: str | None = None
    coverage: Coverage = attrs.Factory(Coverage)


@final
class Explorer:
    """What `explore` gives: decorates a test, and tells outcomes.

    Attributes:
        explored: For each backend, how far the last search came.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        mode: Mode,
        max_schedules: int,
        reduce: bool,
        seed: int,
        backends: Sequence[str],
        replay: str | None,
        options: str,
    ) -> None:
        self.explored: dict[str, Explored] = {}
        self.fingerprint = subject.fingerprint
        self.name = f"test_{subject.name.lower()}"
        self._subject = subject
        self._mode = mode
        self._most = max_schedules
        self._reduce = reduce
        self._seed = seed
        self._backends = backends
        self._replay = replay
        self._options = options

    # -- as a decorator --------------------------------------------------------------------------------------

    def __call__(self, test: Check) -> Callable[..., None]:
        """A test without the first parameter of this one: it is given a `TestRun` for each schedule.

        Raises:
            DefinitionError: If the test is an async function, which nothing would await.
        """
        _refuse_async(test)

        @functools.wraps(test)
        def explored(*args: Any, **kwargs: Any) -> None:
            self.check(functools.partial(_check, test, args, kwargs))

        signature = inspect.signature(test)
        _, *rest = signature.parameters.values()
        explored.__signature__ = signature.replace(parameters=rest, return_annotation=None)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        explored.explorer = self  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        explored.on = test  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        explored.__dict__.pop("__wrapped__", None)  # pytest would look through it for parameters
        self.name = getattr(test, "__name__", self.name)
        return explored

    def check(self, test: Callable[[TestRun], object]) -> None:
        """Calls the test for each schedule, on each backend; the first failure comes out, with how to repeat it.

        Raises:
            Exception: What the test raised; its notes tell the schedule.
            IncompleteError: In exhaustive mode, if there are more than `max_schedules`.
            StaleTokenError: If the token to be replayed fits no longer.
        """
        token = next(
            (each for each in replaying if Token.read(each).workflow == self.fingerprint), self._replay
        )
        for backend in self._backends:
            if token is not None:
                self._check_one(token, backend, test)
            else:
                self._check_all(backend, test)

    def _check_one(self, token: str, backend: str, test: Callable[[TestRun], object]) -> None:
        run = self._replayed(token, backend)
        if (error := _error_of(test, run)) is not None:
            add_note(error, repeated(run))
            raise hide_frames(error)

    def _replayed(self, text: str, backend: str) -> TestRun:
        token = Token.read(text)
        if token.mode != self._subject.durations[0]:
            names = {"v": "virtual", "j": "jitter", "a": "any"}
            raise StaleTokenError(
                f"replay={text!r} was made with durations={names.get(token.mode, token.mode)!r}, and this test has "
                f"durations={self._subject.durations!r}"
            )
        chooser = Replayed(token, self.fingerprint)
        run = self._run(chooser, backend)
        assert run is not None, "a token gives nothing up"
        chooser.check_all_used()
        return run

    def _check_all(self, backend: str, test: Callable[[TestRun], object]) -> None:
        for chooser, run in self._schedules(backend):
            error = _error_of(test, run)
            if error is not None:
                raise hide_frames(self._smallest(chooser, run, error, backend, test))

    def _smallest(
        self,
        chooser: Chooser,
        run: TestRun,
        error: BaseException,
        backend: str,
        test: Callable[[TestRun], object],
    ) -> BaseException:
        """The same failure in the schedule that is told most easily, with a note that tells it."""
        failures: dict[str, tuple[TestRun, BaseException]] = {run.token: (run, error)}

        def fails(other: TestRun | None) -> bool:
            if other is None or (raised := _error_of(test, other)) is None or type(raised) is not type(error):
                return False
            failures[other.token] = other, raised
            return True

        shrunk = 0

        def probe(each: Chooser) -> TestRun | None:
            nonlocal shrunk
            shrunk += 1
            return self._run(each, backend)

        best = minimal(probe, chooser, fails, _MINIMAL)
        self.explored[backend] = attrs.evolve(self.explored[backend], shrunk=shrunk)
        token = str(Token.of(self.fingerprint, self._subject.durations[0], best.decisions))
        run, error = failures[token]
        off = len(deviations(best.decisions))
        timeless = self._subject.durations == "any"
        add_note(error, found(run, self._subject.said, self.name, self._options, off=off, timeless=timeless))
        return error

    # -- the search ------------------------------------------------------------------------------------------

    def runs(self, backend: str) -> Iterator[TestRun]:
        """The runs of one search, each over.

        Raises:
            IncompleteError: In exhaustive mode, if there are more than `max_schedules`.
        """
        return (run for _, run in self._schedules(backend))

    def outcomes(self, backend: str | None = None) -> Outcomes:
        """The distinct results and errors of all runs that were tried, each with how often, and a schedule for it."""
        outcomes = Outcomes(self._subject.durations)
        for each in [backend] if backend is not None else self._backends:
            for run in self.runs(each):
                outcomes.add(run)
        return outcomes

    def agree(self) -> None:
        """Tries each schedule on all backends, and compares what it came to: results, kinds of errors, streams, moves.

        Raises:
            DisagreementError: One came to something else.
        """
        first, *others = self._backends
        for backend in others:
            for one, other in zip(self.runs(first), self.runs(backend), strict=True):
                compare(one, other)

    def _schedules(self, backend: str) -> Iterator[tuple[Chooser, TestRun]]:
        why = self._why_full()
        runs = given_up = 0
        coverage = Coverage()
        for chooser, run in self._search(backend, reduced=why is None):
            if run is None:
                given_up += 1
                continue
            if self._mode == "exhaustive" and runs >= self._most:
                raise IncompleteError(self._incomplete(why))
            runs += 1
            coverage |= run.coverage
            self.explored[backend] = Explored(runs=runs, given_up=given_up, why_full=why, coverage=coverage)
            yield chooser, run
        self.explored[backend] = Explored(
            runs=runs, given_up=given_up, complete=self._mode == "exhaustive", why_full=why, coverage=coverage
        )

    def _search(self, backend: str, *, reduced: bool) -> Iterator[tuple[Chooser, TestRun | None]]:
        def probe(chooser: Chooser) -> TestRun | None:
            return self._run(chooser, backend)

        if self._mode == "random":
            return randomly(probe, f"{self._subject.fingerprint}/{self._seed}", self._most)
        if not reduced:
            return by_deviations(probe)
        track: dict[type, type] = {}

        def watched(chooser: Chooser) -> TestRun | None:
            return run_once(attrs.evolve(self._subject, track=track), chooser, backend)

        return ((each.chooser, each.came) for each in by_reduction(watched))

    def _run(self, chooser: Chooser, backend: str) -> TestRun | None:
        return run_once(self._subject, chooser, backend)

    def _why_full(self) -> str | None:
        if self._mode == "random":
            return None
        if not self._reduce:
            return "reduce=False"
        if self._subject.durations == "jitter":
            return "durations='jitter' has choices that are no order"
        if self._subject.member is not None:
            return "the runs of an application send to each other"
        (cls,) = self._subject.classes
        return next(
            (why for step in cls.blueprint().specs if (why := _more_than_plain(step))), None
        ) or unknown(cls)

    def _incomplete(self, why: str | None) -> str:
        hint = "" if why is None else f" (no schedule could be left out: {why})"
        return (
            f"{self._subject.name} has more than {self._most} schedules{hint}; allow more with max_schedules=, "
            "give it less to do, or try some with mode='random'"
        )


def _refuse_async(test: Check) -> None:
    if inspect.iscoroutinefunction(test) or inspect.isasyncgenfunction(test):
        name = getattr(test, "__name__", "test")
        raise DefinitionError(
            f"{name} is an async function, and explore calls a test when its run is over; write def {name}(run), and "
            "give what is to happen beside the run as beside="
        )


def _more_than_plain(step: StepSpec) -> str | None:
    policies = (step.retry, step.timeout, step.recovers, step.limiter, step.overload, step.join)
    if step.holds or step.needs or any(each is not None for each in policies):
        return f"{step.label} has a policy, a limit, resources or a join, and such steps may share something"
    return None


def _check(test: Check, args: tuple[Any, ...], kwargs: dict[str, Any], run: TestRun) -> None:
    test(run, *args, **kwargs)


def _error_of(test: Callable[[TestRun], object], run: TestRun) -> BaseException | None:
    """What the test raised to say that it does not like the run: any exception, or `pytest.fail`, which is none."""
    try:
        test(run)
    except Exception as error:  # noqa: BLE001 - it is told, or compared with another one
        return error
    except BaseException as error:  # noqa: ASYNC103 - no cancellation: nothing is awaited here
        pytest: Any = sys.modules.get("pytest")
        if pytest is None or not isinstance(error, pytest.fail.Exception):
            raise
        failed: BaseException = error
        return failed  # noqa: ASYNC104 - `pytest.fail`
    return None
