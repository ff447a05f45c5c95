"""For the tests of your own workflows: virtual time on both backends."""

from __future__ import annotations

from ._explore import explore as explore
from ._faults import Faults as Faults
from ._stuck import Deadlock as Deadlock
from ._test_run import TestRun as TestRun
from ._virtual import virtual_backend as virtual_backend, virtual_run as virtual_run

__all__ = ["Deadlock", "Faults", "TestRun", "explore", "virtual_backend", "virtual_run"]


def _fix_module_names() -> None:
    for name in __all__:
        globals()[name].__module__ = __name__


_fix_module_names()
