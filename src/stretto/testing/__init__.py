"""For the tests of your own workflows: virtual time on both backends, and the schedules of a run."""

from __future__ import annotations

from ._expect import expect as expect
from ._explore import explore as explore
from ._fakes import faked as faked, faked_member as faked_member
from ._faults import Faults as Faults
from ._stuck import Deadlock as Deadlock
from ._test_run import TestRun as TestRun
from ._virtual import virtual_backend as virtual_backend, virtual_run as virtual_run
from ._watchdog import Watchdog as Watchdog

__all__ = [
    "Deadlock",
    "Faults",
    "TestRun",
    "Watchdog",
    "expect",
    "explore",
    "faked",
    "faked_member",
    "virtual_backend",
    "virtual_run",
]


def _fix_module_names() -> None:
    for name in __all__:
        globals()[name].__module__ = __name__


_fix_module_names()
