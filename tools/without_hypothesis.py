"""A pytest plugin for the gate: in this process nothing can import hypothesis.

Trio shuffles the tasks that are ready at one instant, except where hypothesis is imported: then it orders
them by a seed. A suite that imports hypothesis anywhere never meets trio's real scheduling, so the engine's
tests run once more with this (`-p tools.without_hypothesis -p no:hypothesispytest`), and an import that
creeps in fails them.
"""

from __future__ import annotations

import sys

if "hypothesis" in sys.modules:
    msg = "hypothesis is imported already; pass `-p no:hypothesispytest` as well"
    raise RuntimeError(msg)

# None in `sys.modules` is Python's own way to say that an import must fail.
sys.modules["hypothesis"] = None  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
