"""Who chooses what happens next: always the normal order, given numbers, chance, or a token."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import final

from ._footprint import Footprint
from ._schedule import Decision, Move, StaleTokenError, Token, check_of

__all__ = ["Chooser", "Given", "Replayed", "Shuffled"]


class Chooser:
    """Chooses, and remembers where there was a choice. By itself it keeps to the normal order.

    Attributes:
        decisions: What was chosen, wherever there was more than one.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def choose(self, moves: Sequence[Move]) -> int | None:
        """The number of what happens next; None to give this schedule up."""
        if len(moves) == 1:
            return 0
        chosen = self.pick(moves)
        self.decisions.append(Decision(tuple(moves), chosen))
        return chosen

    def pick(self, moves: Sequence[Move]) -> int:
        """The same, where there is a choice."""
        del moves
        return 0

    def happened(self, footprint: Footprint) -> None:
        """What was chosen last has happened, and has touched this."""


@final
class Given(Chooser):
    """Leaves the normal order at the points that it was given."""

    def __init__(self, deviations: Mapping[int, int]) -> None:
        super().__init__()
        self._deviations = deviations

    def pick(self, moves: Sequence[Move]) -> int:
        """What was given, or as near as there is."""
        return min(self._deviations.get(len(self.decisions), 0), len(moves) - 1)


@final
class Shuffled(Chooser):
    """Leaves the normal order now and then, by chance: in some schedules seldom, in others all the time."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self._random = random.Random(seed)  # noqa: S311 - a schedule, no secret
        self._often = self._random.choice([0.05, 0.2, 0.5, 1.0])
        self._faults = self._random.random() < 0.5  # noqa: PLR2004 - in half of the schedules

    def pick(self, moves: Sequence[Move]) -> int:
        """Somebody; a fault seldom, lest nothing be left to see."""
        if self._random.random() >= self._often:
            return 0
        normal = sum(not move.fault for move in moves)
        if normal < len(moves) and self._faults and self._random.random() < 0.1:  # noqa: PLR2004
            return self._random.randrange(normal, len(moves))
        return self._random.randrange(normal or len(moves))


@final
class Replayed(Chooser):
    """Does what a token says, as long as that fits."""

    def __init__(self, token: Token, workflow: str) -> None:
        super().__init__()
        self._token = token
        self._changed = token.workflow != workflow

    def pick(self, moves: Sequence[Move]) -> int:
        """What the token says.

        Raises:
            StaleTokenError: What there is to choose from is not what there was.
        """
        at = len(self.decisions)
        if at >= len(self._token.choices):
            return 0
        number = self._token.choices[at]
        if self._token.checks[at] != check_of(moves) or number >= len(moves):
            raise StaleTokenError(
                f"replay='{self._token}' fits no longer: at choice {at + 1} of {len(self._token.choices)}, "
                f"{self._where()}, there were other things to choose from than now: "
                f"{', '.join(move.words for move in moves)}"
                f"{'; the steps of the workflow have changed too' if self._changed else ''}; "
                "run the test without replay="
            )
        return number

    def check_all_used(self) -> None:
        """The schedule is over.

        Raises:
            StaleTokenError: It ended before the token did.
        """
        if len(self.decisions) < len(self._token.choices):
            raise StaleTokenError(
                f"replay='{self._token}' fits no longer: it has {len(self._token.choices)} choices, and the run was "
                f"over after {len(self.decisions)}, {self._where()}; run the test without replay="
            )

    def _where(self) -> str:
        return f"after {self.decisions[-1].move.words}" if self.decisions else "the first"
