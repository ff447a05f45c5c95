"""For the tests of your own workflows: virtual time on both backends."""

from __future__ import annotations

from ._stuck import Deadlock as Deadlock
from ._virtual import virtual_backend as virtual_backend, virtual_run as virtual_run

__all__ = ["Deadlock", "virtual_backend", "virtual_run"]


def _fix_module_names() -> None:
    for name in __all__:
        globals()[name].__module__ = __name__


_fix_module_names()
