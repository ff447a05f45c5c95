"""What `stretto.testing` looks for after each test, by the names that this suite has for it."""

from __future__ import annotations

from stretto.testing._leaks import Before, BeforeLoop

__all__ = ["Before", "BeforeLoop"]
