"""A contender for the tests: its process neither speaks nor ends."""

from __future__ import annotations

import signal

signal.pause()
