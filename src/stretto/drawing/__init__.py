"""Pictures of workflows: of all that they may do, made from their classes, and of what a run has done.

Both functions give a `Picture`, which can be written as a page, as SVG, Mermaid or DOT, and as plain text. To colour
it, take the ids of nodes and edges from ``picture.graph`` and hand them to
``picture.to_svg(classes={...}, counts={...})``.
"""

from .flows import (
    draw_all_possible_flows as draw_all_possible_flows,
    draw_most_recent_execution as draw_most_recent_execution,
)
from .mermaid import to_mermaid as to_mermaid
from .picture import Picture as Picture

__all__ = ["draw_all_possible_flows", "draw_most_recent_execution", "to_mermaid", "Picture"]  # noqa: RUF022 - as imported
