"""Which attributes of ``self`` the steps of a class assign: all runs of one workflow share them.

The source is read, and nothing is run: what has no source, as in an interactive session, is not looked into.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, final

__all__ = ["Assigned", "assigned_by"]


class Assigned(NamedTuple):
    """An attribute that is assigned, or something in it, and at which line."""

    name: str
    line: int


def assigned_by(cls: type, function: Callable[..., Any]) -> list[Assigned]:
    """What of ``self`` a method assigns, and the methods of the class that it names; each attribute once."""
    found: dict[str, Assigned] = {}
    seen = {function}
    todo = [function]
    while todo:
        body = _read(inspect.unwrap(todo.pop(0)))
        if body is None:
            continue
        for each in body.assigned():
            found.setdefault(each.name, each)
        for name in body.named():
            method = inspect.getattr_static(cls, name, None)
            if isinstance(method, types.FunctionType) and method not in seen:
                seen.add(method)
                todo.append(method)
    return list(found.values())


@functools.cache
def _read(function: Any) -> _Body | None:  # noqa: ANN401 - any function
    try:
        lines, first = inspect.getsourcelines(function)
        (node,) = ast.parse(textwrap.dedent("".join(lines))).body
    except (OSError, SyntaxError, TypeError, ValueError):  # no source, or a lambda in the middle of a line
        return None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not node.args.args:
        return None
    return _Body(node, node.args.args[0].arg, first)


@final
class _Body:
    """The source of a method."""

    def __init__(self, node: ast.AST, self_name: str, first: int) -> None:
        self._node = node
        self._self = self_name
        self._first = first

    def named(self) -> Iterator[str]:
        """The attributes of ``self`` that are read."""
        for node in ast.walk(self._node):
            if isinstance(node, ast.Attribute) and self._is_own(node) and isinstance(node.ctx, ast.Load):
                yield node.attr

    def assigned(self) -> Iterator[Assigned]:
        """Those that are assigned or deleted, or in which something is."""
        for node in ast.walk(self._node):
            if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(
                node.ctx, (ast.Store, ast.Del)
            ):
                own = self._within(node)
                if own is not None:
                    yield Assigned(own.attr, self._first + node.lineno - 1)

    def _within(self, node: ast.expr) -> ast.Attribute | None:
        """The attribute of ``self`` that this is a part of: ``self.seats`` for ``self.seats[3].taken``."""
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node, ast.Attribute) and self._is_own(node):
                return node
            node = node.value
        return None

    def _is_own(self, node: ast.Attribute) -> bool:
        return isinstance(node.value, ast.Name) and node.value.id == self._self
