"""A random number for who decides and may draw none itself."""

from __future__ import annotations

import os

__all__ = ["draw"]


def draw() -> float:
    """From 0 up to, but not, 1; as random.random() has it, without the import, and with no state that a fork copies."""
    return (int.from_bytes(os.urandom(7), "big") >> 3) * 2.0**-53
