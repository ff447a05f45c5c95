"""The base of the small values that go in and out of the core.

attrs takes a tenth of a millisecond and more to define a class, and there are two dozen of these: with it they would be
a tenth of the time that it takes to import the package.
"""

from __future__ import annotations

from typing import dataclass_transform

__all__ = ["Fields"]


@dataclass_transform(kw_only_default=True)
class Fields:
    """Fields by name, equal by value; never changed once they are given."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"
