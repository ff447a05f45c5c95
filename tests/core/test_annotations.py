"""What the core imports for type checkers alone is there, and the small values of the core show their fields."""

from __future__ import annotations

import subprocess
import sys

from stretto._core.effects import Retry

SEEN_BY_CHECKERS = """
import importlib, sys, typing
import stretto.joins, stretto.retry
importlib.import_module("stretto._core.machine")
typing.TYPE_CHECKING = True
for name in ("plan", "state", "forking"):
    importlib.reload(sys.modules[f"stretto._core.{name}"])
assert typing.get_type_hints(sys.modules["stretto._core.state"].RunState)["forks"]
assert typing.get_type_hints(sys.modules["stretto._core.plan"].StepPlan)["retry"]
"""


def test_what_only_type_checkers_import_is_there():
    """Loading a part of the package late must not leave an annotation that means nothing."""
    subprocess.run([sys.executable, "-c", SEEN_BY_CHECKERS], check=True)


def test_an_effect_shows_its_fields():
    assert repr(Retry(at=3.0)) == "Retry(at=3.0)"
