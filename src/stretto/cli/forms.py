"""The fields of an event, as somebody who is no program gives them: as texts, or as JSON."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, final

import attrs

from ..events import Event
from .values import UnfitError, from_json, from_text, said

__all__ = ["Form"]

E = TypeVar("E", bound=Event)

_LISTS = {list, tuple, set, frozenset}
_LIST_OF = {tuple: tuple[Any, ...], set: set, frozenset: frozenset}


@final
class Form(Generic[E]):
    """What has to be known to make an event.

    Attributes:
        kind: The class of the event.
        fields: Its fields by the names that they are given by; none of one that takes any.
    """

    def __init__(self, kind: type[E]) -> None:
        self.kind = kind
        self.fields: dict[str, attrs.Attribute[Any]] = {
            field.alias or field.name: field
            for field in (attrs.fields(kind) if attrs.has(kind) else ())
            if field.init
        }
        self._hints = typing.get_type_hints(kind) if self.fields else {}

    def hint(self, name: str) -> Any:  # noqa: ANN401 - any annotation
        """The type of a field."""
        return self._hints.get(name, Any)

    def said(self, name: str) -> str:
        """That type, as a user reads it."""
        return said(self.hint(name))

    def is_needed(self, name: str) -> bool:
        """Whether the field has no default."""
        return self.fields[name].default is attrs.NOTHING

    def is_list(self, name: str) -> bool:
        """Whether the field takes several values."""
        hint = self.hint(name)
        return (typing.get_origin(hint) or hint) in _LISTS

    def read(self, name: str, texts: Sequence[str]) -> object:
        """The value of a field, for the texts that stand for it.

        Raises:
            UnfitError: If they stand for none.
        """
        hint = self.hint(name)
        try:
            if self.is_list(name) and not (len(texts) == 1 and texts[0].startswith("[")):
                of = [*typing.get_args(hint), Any][0]
                return from_json(
                    [from_text(text, of) for text in texts], _LIST_OF.get(typing.get_origin(hint), list)
                )
            if len(texts) > 1:
                raise UnfitError(f"it is given {len(texts)} times, and takes one value")
            return from_text(texts[0], hint)
        except UnfitError:
            if self._converts(name) and len(texts) == 1:
                return texts[0]
            raise

    def read_json(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of fields, for what JSON has in their places.

        Raises:
            UnfitError: If a value fits a field that there is by no means.
        """
        read = dict(given)
        for name, value in given.items():
            if name in self.fields:
                try:
                    read[name] = from_json(value, self.hint(name))
                except UnfitError as error:
                    if not self._converts(name):
                        raise UnfitError(f"in {name!r}: {error}") from None
        return read

    def missing(self, given: Mapping[str, Any]) -> list[str]:
        """The fields without which there is no event."""
        return [name for name in self.fields if self.is_needed(name) and name not in given]

    def made(self, given: Mapping[str, Any]) -> E:
        """The event.

        Raises:
            UnfitError: If a validator or a converter refuses a value, or a name is none.
        """
        try:
            return self.kind(**given)
        except (TypeError, ValueError) as error:
            raise UnfitError(str(error)) from error

    def _converts(self, name: str) -> bool:
        field: Any = self.fields[name]  # attrs says little of its converters
        return field.converter is not None
