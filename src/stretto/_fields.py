"""The base of small classes that only hold something.

attrs takes a tenth of a millisecond and more to define a class, and there are two dozen of these: with it they would be
a tenth of the time that it takes to import the package.
"""

from __future__ import annotations

from typing import dataclass_transform

__all__ = ["Fields", "Value"]


@dataclass_transform(kw_only_default=True, eq_default=False)
class Fields:
    """Fields by name; a default is what the class has under that name."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


class Value(Fields):
    """Fields that are equal by value, and never changed."""

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"
