"""What happened in a run, as a page: who worked when, what waited, what failed, and what each event came of."""

from __future__ import annotations

from .page import file_of as file_of, write_report as write_report

__all__ = ["file_of", "write_report"]
