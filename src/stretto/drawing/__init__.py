"""Pictures of workflows, made from their classes without running them.

`draw_all_possible_flows` gives a `Picture`, which can be written as SVG or Mermaid. To colour it, take the ids
of nodes and edges from ``picture.graph`` and hand them to ``picture.to_svg(classes={...}, counts={...})``.
"""

from .flows import draw_all_possible_flows as draw_all_possible_flows
from .mermaid import to_mermaid as to_mermaid
from .picture import Picture as Picture

__all__ = ["Picture", "draw_all_possible_flows", "to_mermaid"]
