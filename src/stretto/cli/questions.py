"""One question: which event is wanted, what is told of it, and the event that the answer makes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast, final

import attrs

from ..drawing.lettering import visible
from ..errors import shown
from ..events import Event, HumanResponseEvent
from .forms import Form
from .values import UnfitError

__all__ = ["Question"]

Ask = Callable[[str], Awaitable[str]]
"""Shows a prompt, and gives the line that comes."""


@final
@attrs.frozen(kw_only=True)
class Question:
    """What a run wants to be sent.

    Attributes:
        who: The step that wants it.
        kinds: The event, by its class; any one of them, if there are several.
        asked: The event that asks for it, if one does.
        given: Fields that the answer has in any case.
        is_open: Whether it is still wanted.
    """

    who: str
    kinds: Sequence[type[Event]]
    asked: Event | None
    given: Mapping[str, object]
    is_open: Callable[[], bool]

    @property
    def names(self) -> str:
        """What is wanted: ``Answer``, ``Go or Stop``."""
        return " or ".join(kind.__name__ for kind in self.kinds)

    def told(self) -> str:
        """What a person is told: the prefix of the event that asks, or how it looks."""
        prefix = getattr(self.asked, "prefix", None)
        if isinstance(prefix, str) and prefix:
            return "\n".join(map(visible, prefix.splitlines()))
        return f"{self.who} waits for {self.names}" if self.asked is None else visible(shown(self.asked))

    def example(self) -> str:
        """The JSON that would do as an answer."""
        names = self._left(Form(self.kinds[0]))
        fields = [f"{json.dumps(name)}: …" for name in names]
        return f"{{{', '.join(fields)}}}"

    # -- a person answers ------------------------------------------------------------------------------------

    async def ask(self, ask: Ask, say: Callable[[str], None]) -> Event:
        """Asks for each field, again where a text does not fit, and makes the event."""
        say(self.told())
        while True:
            form = Form(await self._choose(ask, say))
            given = await self._fill_in(form, ask, say)
            try:
                return form.made(given)
            except UnfitError as error:
                say(f"  {visible(str(error))}")

    async def _choose(self, ask: Ask, say: Callable[[str], None]) -> type[Event]:
        """Which of several events it is to be."""
        while len(self.kinds) > 1:
            name = (await ask(f"  {self.names}: ")).strip()
            for kind in self.kinds:
                if kind.__name__.lower() == name.lower():
                    return kind
            say(f"  {visible(shown(name))} is not {self.names}")
        return self.kinds[0]

    async def _fill_in(self, form: Form[Event], ask: Ask, say: Callable[[str], None]) -> dict[str, object]:
        given = dict(self.given)
        names = self._left(form)
        if not form.fields:
            text = await ask("> ")
            return given | self._free(form.kind, text)
        if not names:
            await ask(f"  Enter sends {form.kind.__name__}: ")
        for name in names:
            await self._fill_in_one(form, name, given, ask, say)
        return given

    async def _fill_in_one(
        self, form: Form[Event], name: str, given: dict[str, object], ask: Ask, say: Callable[[str], None]
    ) -> None:
        while True:
            text = await ask(f"  {name} ({_hint(form, name)}): ")
            if not text.strip() and not form.is_needed(name):
                return
            try:
                given[name] = form.read(name, _texts(form, name, text))
            except UnfitError as error:
                say(f"  {visible(str(error))}")
            else:
                return

    # -- a program answers -----------------------------------------------------------------------------------

    def read(self, line: str) -> Event:
        """The event that a line stands for: an object in JSON, or the value of the one field that is wanted.

        Raises:
            UnfitError: If it stands for none.
        """
        errors: list[str] = []
        for kind in sorted(self.kinds, key=lambda kind: not Form(kind).fields):  # a bare one takes anything
            try:
                return self._read_as(Form(kind), line)
            except UnfitError as error:
                errors.append(str(error))
        raise UnfitError("; ".join(errors))

    def _read_as(self, form: Form[Event], line: str) -> Event:
        names = self._left(form)
        if line.lstrip().startswith("{"):
            given = form.read_json(_object(line))
        elif not form.fields:
            given = self._free(form.kind, line)
        elif len(names) == 1:
            given = {names[0]: form.read(names[0], _texts(form, names[0], line))}
        else:
            raise UnfitError(f"{shown(line)} is no {form.kind.__name__}; write {self.example()}")
        given = {**self.given, **given}
        missing = [f"{name!r} ({form.said(name)})" for name in form.missing(given)]
        if missing:
            raise UnfitError(f"{form.kind.__name__} misses {', '.join(missing)}")
        return form.made(given)

    # -- both ------------------------------------------------------------------------------------------------

    def _left(self, form: Form[Event]) -> list[str]:
        """The fields that the answer is asked for."""
        return [name for name in form.fields if name not in self.given]

    def _free(self, kind: type[Event], text: str) -> dict[str, Any]:
        """The fields of an event that takes any: an object in JSON, or else the text as its `response`."""
        if text.lstrip().startswith("{"):
            try:
                return _object(text)
            except UnfitError:
                return {"response": text}
        return {"response": text} if text or issubclass(kind, HumanResponseEvent) else {}


def _object(line: str) -> dict[str, Any]:
    try:
        value: object = json.loads(line)
    except ValueError as error:
        raise UnfitError(f"this is no JSON: {error}") from None
    return cast("dict[str, Any]", value)  # it begins with a brace


def _texts(form: Form[Event], name: str, line: str) -> list[str]:
    """A line for a list has its values with commas between."""
    if not form.is_list(name) or line.lstrip().startswith("["):
        return [line.strip() if form.is_list(name) else line]
    return [each.strip() for each in line.split(",")] if line.strip() else []


def _hint(form: Form[Event], name: str) -> str:
    """What may be typed for a field: ``int``, ``yes or no``, ``str, else 'tea'``."""
    said = "yes or no" if form.hint(name) is bool else form.said(name)
    default = form.fields[name].default
    if form.is_needed(name):
        return said
    return f"{said}, or nothing" if hasattr(default, "factory") else f"{said}, else {visible(shown(default))}"
