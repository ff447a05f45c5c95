"""Values join with their own kind only."""

from __future__ import annotations

from typing import TypeVar

from ..errors import DefinitionError, shown

__all__ = ["alike"]

T = TypeVar("T")


def alike(kind: type, value: T, name: str, sign: str) -> T:
    """The value, if it is of this kind.

    Raises:
        DefinitionError: If it is not, saying what the sign joins.
    """
    if not isinstance(value, kind):
        raise DefinitionError(f"{name} is joined by {sign} with {name}, not with {shown(value)}")
    return value
