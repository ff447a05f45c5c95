"""A schedule: which of the steps that might go on did so, at each point where there was a choice.

A choice is a number: 0 goes on with whoever has waited longest, which is the normal order. So a schedule is a list of
numbers that nearly all are 0, and one that differs from the normal order in few places is short to tell. A *token* is a
schedule as a word, to be pasted into a test; beside each number it keeps one character of a checksum of what there was
to choose from, so that it can tell where a workflow has changed since (the idea of a token is shuttle's).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import final

import attrs

from ..errors import WorkflowError, shown

__all__ = ["Decision", "Move", "StaleTokenError", "Token", "check_of", "fingerprint"]

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIR = re.compile(r"(\.*)([0-9a-zA-Z])([0-9a-zA-Z])")
_TOKEN = re.compile(r"s1-(?P<mode>[vja])(?P<workflow>[0-9a-zA-Z]{4})-(?P<pairs>(\.*[0-9a-zA-Z]{2})*)")


@final
class StaleTokenError(WorkflowError):
    """A token does not fit the workflow any more, or is none."""


@final
@attrs.frozen
class Move:
    """Something that can happen next.

    Attributes:
        key: What it is, the same in each schedule in which it can happen.
        words: The same for people.
        fault: Whether it is a fault, which no schedule has by itself.
    """

    key: str
    words: str = ""
    fault: bool = False


@final
@attrs.frozen
class Decision:
    """A point where there was a choice, and what was chosen."""

    moves: tuple[Move, ...]
    chosen: int

    @property
    def move(self) -> Move:
        """What happened."""
        return self.moves[self.chosen]


def _checksum(text: str, size: int) -> str:
    number, found = zlib.crc32(text.encode()), ""
    for _ in range(size):
        number, digit = divmod(number, len(_DIGITS))
        found += _DIGITS[digit]
    return found


def check_of(moves: Sequence[Move]) -> str:
    """One character for what there was to choose from."""
    return _checksum("\n".join(move.key for move in moves), 1)


def fingerprint(text: str) -> str:
    """Four characters for a workflow."""
    return _checksum(text, 4)


@final
@attrs.frozen
class Token:
    """A schedule as a word.

    Attributes:
        workflow: The fingerprint of the workflow that it was made for.
        mode: The first letter of what durations were.
        choices: The number chosen at each point, up to the last that is not 0.
        checks: A character for each of these points.
    """

    workflow: str
    mode: str
    choices: tuple[int, ...] = ()
    checks: str = ""

    @classmethod
    def of(cls, workflow: str, mode: str, decisions: Sequence[Decision]) -> Token:
        """The token of what was decided."""
        last = max((at for at, each in enumerate(decisions) if each.chosen), default=-1)
        kept = decisions[: last + 1]
        checks = "".join(check_of(each.moves) for each in kept)
        return cls(workflow, mode, tuple(each.chosen for each in kept), checks)

    @classmethod
    def read(cls, text: str) -> Token:
        """The token that a text is.

        Raises:
            StaleTokenError: If it is none.
        """
        parts = _TOKEN.fullmatch(text)
        if parts is None:
            raise StaleTokenError(
                f"replay={shown(text)} is no token; paste one whole, from a failure that explore has told"
            )
        pairs: list[tuple[str, str, str]] = _PAIR.findall(parts["pairs"])
        choices = tuple(61 * len(dots) + _DIGITS.index(digit) for dots, digit, _ in pairs)
        return cls(parts["workflow"], parts["mode"], choices, "".join(check for _, _, check in pairs))

    def __str__(self) -> str:
        pairs = (_written(number) + check for number, check in zip(self.choices, self.checks, strict=True))
        return f"s1-{self.mode}{self.workflow}-{''.join(pairs)}"


def _written(number: int) -> str:
    """A number in base 62, one digit; each full 61 in front of it is a dot."""
    return "." * (number // 61) + _DIGITS[number % 61]
