"""Where classes are written: at which line of which file. Each file is read once, whatever is asked of it."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from typing import final

__all__ = ["Places"]


@final
class Places:
    """Finds the places of classes, for one picture."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, int]] = {}

    def find(self, kind: type) -> tuple[str, int] | None:
        """The file of a class, and the line; None if it was made without a file."""
        try:
            path = inspect.getsourcefile(kind)
        except (OSError, TypeError):
            return None
        if path is None:
            return None
        line = vars(kind).get("__firstlineno__") or self._lines_of(path, kind.__module__).get(
            kind.__qualname__
        )
        return None if line is None else (path, line)

    def _lines_of(self, path: str, module: str) -> dict[str, int]:
        """The line of each class in a file, by its qualified name."""
        if path not in self._lines:
            lines = linecache.getlines(path, getattr(sys.modules.get(module), "__dict__", None))
            self._lines[path] = _found("".join(lines))
        return self._lines[path]


def _found(source: str) -> dict[str, int]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, int] = {}
    todo: list[tuple[ast.AST, str]] = [(tree, "")]
    while todo:
        node, prefix = todo.pop()
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.ClassDef):
                name = f"{prefix}{inner.name}"
                first = inner.decorator_list[0] if inner.decorator_list else inner
                found[name] = min(first.lineno, found.get(name, first.lineno))
                todo.append((inner, f"{name}."))
            elif isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                todo.append((inner, f"{prefix}{inner.name}.<locals>."))
            elif not isinstance(inner, ast.expr):
                todo.append((inner, prefix))
    return found
