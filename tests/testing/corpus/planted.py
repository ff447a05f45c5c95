"""What a planted bug is: two workflows, one wrong and one right, and the test that a user would write for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from stretto import Event, Workflow
from stretto.testing import TestRun


@attrs.frozen(kw_only=True)
class Planted:
    """A bug, its corrected twin, and how it is looked for.

    Attributes:
        off: How many choices off the normal order the smallest failure is.
    """

    name: str
    wrong: type[Workflow[Any]]
    right: type[Workflow[Any]]
    check: Callable[[TestRun], object]
    off: int
    options: dict[str, Any] = attrs.Factory(dict[str, Any])


class One(Event):
    n: int = 1


class Two(Event):
    n: int = 2


class Done(Event):
    n: int = 0
