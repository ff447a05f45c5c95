"""The type variables of the public classes: what a run gives, and what its state is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["R", "R_co", "S_co"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)
    R_co = TypeVar("R_co", default=Any, covariant=True)
    S_co = TypeVar("S_co", default=Any, covariant=True)
else:  # the default of a type variable matters to type checkers alone
    from typing import TypeVar

    R = TypeVar("R")
    R_co = TypeVar("R_co", covariant=True)
    S_co = TypeVar("S_co", covariant=True)
