"""Whether a contender's work came out right. Only the standard library: a peer's environment has no more."""

from __future__ import annotations


class WrongResultError(Exception):
    """A contender's work came out wrong, so its figures are worth nothing."""


def expect(result: object, expected: object) -> None:
    """Refuses a wrong result: fast and wrong does not count."""
    if result != expected:
        raise WrongResultError(f"expected {expected!r}, got {result!r}")
