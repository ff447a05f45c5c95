"""The command ``stretto``: runs, draws, checks and explores workflows from a shell."""

from __future__ import annotations

from .command import main as main

__all__ = ["main"]
