"""Pictures of workflows, made from their classes without running them."""

from .mermaid import to_mermaid as to_mermaid

__all__ = ["to_mermaid"]
