"""What a page that stretto writes may do: show and run what is in it, known by its hash, and ask nobody for more."""

from __future__ import annotations

import base64
import hashlib

__all__ = ["content_policy"]


def content_policy(*styles: str, script: str | None = None) -> str:
    """The Content-Security-Policy of a page with these styles, and at most one script."""
    run = "" if script is None else f"script-src {_hash(script)}; "
    shown = " ".join(map(_hash, styles))
    return f"default-src 'none'; {run}style-src {shown}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
