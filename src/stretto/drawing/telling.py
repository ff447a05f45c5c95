"""What is told of a node beside its picture: its docstring, its fields, where it is written."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any

import attrs

from .._step_spec import StepSpec
from ..errors import shown
from ..events import Event
from .graph import Node, Role
from .lettering import visible
from .places import Places

__all__ = ["told_of"]

_LONGEST = 600
_KINDS = {
    Role.STEP: "step",
    Role.EVENT: "event",
    Role.START: "event that begins a run",
    Role.STOP: "event that ends a run",
    Role.OUTSIDE: "event from outside",
    Role.ASKED: "question for the world outside",
    Role.ANSWER: "reply to who asks from outside",
    Role.SENT: "event that no step returns",
    Role.LOST: "event that no step takes",
}


def told_of(node: Node, places: Places) -> dict[str, Any]:
    """Plain data: what the node is, and what its author wrote about it, and where."""
    about: object = node.kind if node.step is None else node.step.call
    return {
        "title": _bounded(node.title),
        "kind": _KINDS[node.role],
        "place": _bounded(_place(node, places)),
        "doc": _bounded(_doc(about)),
        "fields": [] if node.kind is None else [_bounded(each) for each in _fields(node.kind)],
        "notes": [] if node.step is None else [_bounded(each) for each in _settings(node.step)],
    }


def _doc(about: object) -> str:
    """The docstring that was written for it, and not for a base class."""
    doc = vars(about).get("__doc__") if isinstance(about, type) else getattr(about, "__doc__", None)
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""


def _place(node: Node, places: Places) -> str:
    if node.step is not None:
        return node.step.label.rpartition("(")[2].rstrip(")") if node.step.label.endswith(")") else ""
    found = None if node.kind is None else places.find(node.kind)
    return "" if found is None else f"{os.path.basename(found[0])}:{found[1]}"  # noqa: PTH119 - as in labels


def _fields(kind: type[Event]) -> Iterator[str]:
    if not attrs.has(kind):
        return
    for field in attrs.fields(kind):
        if not field.name.startswith("_"):
            yield f"{field.name}: {_typed(field.type)}{_default(field)}"


def _default(field: attrs.Attribute[Any]) -> str:
    made: Any = attrs.Factory
    if field.default is attrs.NOTHING:
        return ""
    return " = …" if isinstance(field.default, made) else f" = {shown(field.default)}"


def _typed(kind: object) -> str:
    if isinstance(kind, str):
        return kind
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _settings(spec: StepSpec) -> Iterator[str]:
    yield f"num_workers={spec.num_workers}"
    if spec.timeout is not None:
        yield f"timeout={spec.timeout:g}"
    if spec.retry is not None:
        yield f"retry_policy={shown(spec.retry)}"
    if spec.accept_event_subclasses:
        yield "accept_event_subclasses=True"
    if spec.threaded:
        yield "runs in a thread"
    if spec.state is not None:
        yield f"state: {spec.state.__name__}"
    yield from (f"resource: {name}" for name in spec.needs)
    yield from (f"workflow: {each.name}" for each in spec.nested)


def _bounded(text: str) -> str:
    shown_text = "\n".join(visible(line) for line in text[:_LONGEST].split("\n"))
    return shown_text if len(text) <= _LONGEST else f"{shown_text}…"
