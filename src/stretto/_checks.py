"""What an option may be: the checks that steps, workflows and limits share."""

from __future__ import annotations

import sys

from .errors import DefinitionError, shown

__all__ = ["count", "flag"]


def count(value: object, name: str) -> int:
    """A whole number of at least 1.

    Raises:
        DefinitionError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= sys.maxsize:
        raise DefinitionError(f"{name} is a whole number of at least 1, not {shown(value)}")
    return value


def flag(value: object, name: str) -> bool:
    """True or False.

    Raises:
        DefinitionError: If it is neither.
    """
    if not isinstance(value, bool):
        raise DefinitionError(f"{name} is True or False, not {shown(value)}")
    return value
