"""The graph of a workflow coloured by what ran, with how often; what failed and what is at work stands out.

How often is counted for every run. What became of each piece of work is known from the journal alone.
"""

from __future__ import annotations

from .account import Account
from .works import Work

__all__ = ["coloured"]


def coloured(account: Account) -> str:
    """The graph as SVG."""
    works: dict[str, list[Work]] = {}
    for work in [each for each in account.works if not each.run]:
        works.setdefault(work.step, []).append(work)
    states = {
        node.id: _state(works[node.step.name], account)
        for node in account.picture.graph.nodes
        if node.step is not None and node.frame is None and node.step.name in works
    }
    return account.picture.to_svg(classes=states)


def _state(works: list[Work], account: Account) -> str:
    """How a step stands: what failed is seen before what is at work."""
    last = {work.event: work for work in works}  # of each event the last attempt
    if any(work.how == "failed" for work in last.values()):
        return "failed"
    at_work = any(work.how in {"at work", "cancelled"} for work in works)
    if at_work and account.state in {"running", "timed out"}:
        return "active"
    return "ran"
