"""Whoever stands outside of a run, on the command line: a person in the terminal, or a program that writes a pipe.

What is wanted is read off the run, and what is answered is sent to it; see `docs/adr/0055`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, final

import anyio

from .._core.reporting import Waiting
from ..blueprint import Blueprint
from ..errors import RunEndedError, WorkflowCancelledError
from ..events import Event, InputRequiredEvent, is_external
from ..handler import Handler
from .lines import Lines
from .questions import Question
from .targets import UsageError
from .values import UnfitError

__all__ = ["Answers"]

_PAUSE = 0.05  # seconds between two looks at what the run waits for
_SURE = 2  # looks at a run that is busy which may have come between an answer and what it leads to


class _WithdrawnError(Exception):
    """What was asked is wanted no more, or nobody is there to answer."""


@final
class Answers:
    """Asks for what a run waits for, one question at a time.

    Args:
        run: The run, which is at work.
        blueprints: Of its workflow, or of all members of an application.
        lines: Where answers come from.
        paused: Keeps off the terminal whoever else writes there.
    """

    def __init__(
        self,
        run: Handler[Any],
        blueprints: Sequence[Blueprint],
        lines: Lines,
        paused: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._run = run
        self._made = tuple({kind for each in blueprints for spec in each.specs for kind in spec.returns})
        self._lines = lines
        self._paused = paused
        self._pending: dict[int, Event] = {}  # what has asked in the stream, and is not answered
        self._told: dict[int, Event] = {}  # what asks as a wait begins: that wait is asked for
        self._passed_over = False
        self._was_idle = False  # one look ago; what has asked meanwhile, the stream has told by now
        self._busy = 0  # for how many looks it has not been idle, although nobody answers any more

    def note(self, event: Event) -> None:
        """Takes the next event of the stream."""
        if isinstance(event, InputRequiredEvent) and id(event) not in self._told:
            self._pending[id(event)] = event

    async def give(self) -> None:
        """Asks and sends, until the run is over.

        Raises:
            UsageError: If a line of a pipe is no answer, or the last one was not the last that is wanted.
            WorkflowCancelledError: If a person has ended the input, and nothing else can happen.
        """
        while not self._run.done:
            idle, self._was_idle = self._was_idle and self._run.idle, self._run.idle
            question = self._question(idle=idle)
            if question is not None and self._lines.ended and idle:
                raise self._unanswered(question)
            if question is not None and self._lines.ended:
                self._busy = 0 if self._run.idle else self._busy + 1
                if self._busy > _SURE:
                    self._pass_over(question)
            if question is None or self._lines.ended:
                await anyio.sleep(_PAUSE)
                continue
            with suppress(_WithdrawnError, RunEndedError):
                self._run.send_event(await self._answer(question))
                if question.asked is not None:
                    self._pending.pop(id(question.asked), None)

    # -- what is wanted --------------------------------------------------------------------------------------

    def _question(self, *, idle: bool) -> Question | None:
        """What is to be asked now; if nothing else can happen, whatever may help."""
        awaited = [each for each in self._run.waiting_for if each.outside]
        waits = [each for each in awaited if each.suspended]
        for each in waits:
            if each.question is not None:
                self._told[id(each.question)] = each.question
                self._pending.pop(id(each.question), None)
        for each in waits:
            if self._comes_from_outside(each.kind):
                return self._of_wait(each)
        takers = [each for each in awaited if not each.suspended]
        if takers and self._pending:
            return self._of_takers(takers)
        if not idle:
            return None
        return self._of_wait(waits[0]) if waits else self._of_takers(takers) if takers else None

    def _comes_from_outside(self, kind: type[Event]) -> bool:
        """Whether it is declared so, or made by no step."""
        return is_external(kind) or not issubclass(kind, self._made)

    def _of_wait(self, wait: Waiting) -> Question:
        key = _key(wait)
        return Question(
            who=self._label(wait),
            kinds=(wait.kind,),
            asked=wait.question or self._first_pending(),
            given=wait.requirements or {},
            is_open=lambda: any(_key(each) == key for each in self._run.waiting_for),
        )

    def _of_takers(self, takers: Sequence[Waiting]) -> Question:
        return Question(
            who=self._label(takers[0]),
            kinds=tuple(dict.fromkeys(each.kind for each in takers)),
            asked=self._first_pending(),
            given={},
            is_open=lambda: not self._run.done,
        )

    def _first_pending(self) -> Event | None:
        return next(iter(self._pending.values()), None)

    def _label(self, waiting: Waiting) -> str:
        return f"{waiting.member or type(self._run.workflow).__name__}.{waiting.step}"

    # -- the answer ------------------------------------------------------------------------------------------

    async def _answer(self, question: Question) -> Event:
        if not self._lines.typed:
            line = ""
            while not line.strip():
                line = await self._line(question)
            try:
                return question.read(line)
            except UnfitError as error:
                raise UsageError(
                    f"stdin, line {self._lines.number}: {error}; {question.who} waits for {question.names}"
                ) from None
        with self._paused():
            return await question.ask(partial(self._typed, question), _say)

    async def _typed(self, question: Question, prompt: str) -> str:
        """The line that a person types."""
        _say(prompt, end="")
        try:
            return await self._line(question)
        except _WithdrawnError:
            _say("" if self._lines.ended else "\n(not asked any more)")
            self._lines.forget()
            raise

    async def _line(self, question: Question) -> str:
        while question.is_open():
            with anyio.move_on_after(_PAUSE):
                line = await self._lines.next()
                if line is None:
                    break
                return line
        raise _WithdrawnError

    def _pass_over(self, question: Question) -> None:
        """Says once that nobody answers, for the run may take its time."""
        if not self._passed_over:
            self._passed_over = True
            why = "the input was ended" if self._lines.typed else "stdin has no answer"
            _say(
                f"stretto: {question.who} waits for {question.names}, and {why}; the run goes on without one"
            )

    def _unanswered(self, question: Question) -> Exception:
        if self._lines.typed:
            return WorkflowCancelledError(
                f"{question.who} waits for {question.names}, and the input was ended"
            )
        return UsageError(
            f"{question.who} waits for {question.names}, and stdin has no answer; write one JSON object a line, as in "
            f"echo '{question.example()}' | stretto run …, or run it in a terminal, which asks"
        )


def _key(wait: Waiting) -> tuple[object, ...]:
    """What tells one wait from another, of which each look gives a new account."""
    return (wait.member, wait.step, wait.kind, wait.waiter_id, id(wait.question), id(wait.requirements))


def _say(text: str, end: str = "\n") -> None:
    """Writes to the terminal, and not among the results, if that can be told apart."""
    stderr, stdout = sys.stderr, sys.stdout
    file = (
        stdout
        if stderr is None or (not stderr.isatty() and stdout is not None and stdout.isatty())
        else stderr
    )
    print(text, end=end, file=file, flush=True)
