"""The ``__init__`` of event classes: that of attrs, and an error for a wrong name that says the near one.

attrs' own ``__init__`` raises before anything of ours could look at the names, and a wrapper round it would
cost half a microsecond an event, a third of what a whole hop costs. So plain classes get one that is written
here, with the same two lines a field; any other (validators, converters, factories, hooks) goes on to attrs'
own.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import attrs

from .errors import DefinitionError, near, shown

__all__ = ["annotated_fields", "check_fields", "finish", "frozen", "make_init"]

_MISSING: Any = attrs.NOTHING
_FACTORY: type = type(attrs.Factory(list[object]))
_HOOKS = ("__attrs_pre_init__", "__attrs_post_init__")


def annotated_fields(cls: type) -> list[str]:
    """The names that the class itself declares as fields, inherited ones and class variables left out."""
    return [name for name, hint in inspect.get_annotations(cls).items() if not _is_class_variable(hint)]


def check_fields(cls: type) -> None:
    """Looks at the fields that the class itself declares.

    Raises:
        DefinitionError: For one called ``self``, for a default that all events would share and could change (the
            rule is that of dataclasses: what cannot be hashed), and for a field of another library.
    """
    for name in annotated_fields(cls):
        if name == "self":
            raise DefinitionError(
                f"{cls.__name__} has a field 'self', which no method can take; give it another name"
            )
        default = cls.__dict__.get(name)
        library = type(default).__module__.partition(".")[0]
        if library in {"dataclasses", "pydantic"} and type(default).__name__ in {"Field", "FieldInfo"}:
            raise DefinitionError(
                f"{cls.__name__}.{name} is a field of {library}, and events are attrs classes; write "
                "attrs.field(default=…) or attrs.field(factory=…)"
            )
        if type(default).__hash__ is None:
            kind = type(default).__name__
            raise DefinitionError(
                f"{cls.__name__}.{name} = {shown(default)}: all events would share this {kind}; write "
                f"{name}: {kind} = attrs.field(factory={_factory(default)})"
            )


def _factory(default: object) -> str:
    return f"lambda: {shown(default)}" if default else type(default).__name__


def _is_class_variable(hint: object) -> bool:
    if isinstance(hint, str):
        return hint.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar"))
    return hint is ClassVar or typing.get_origin(hint) is ClassVar


def make_init(cls: type) -> Callable[..., None]:
    """An ``__init__`` for an attrs class, keyword-only, whose TypeErrors name the near field."""
    fields = {field.alias or field.name: field for field in attrs.fields(cls) if field.init}
    required = {name for name, field in fields.items() if field.default is attrs.NOTHING}

    def refuse(unknown: dict[str, Any]) -> NoReturn:
        name = next(iter(unknown))
        takes = f"it takes: {', '.join(fields)}" if fields else "it takes no field"
        raise TypeError(f"{cls.__name__} takes no {name!r}, {takes}{near(name, fields)}")

    def miss(given: dict[str, Any]) -> NoReturn:
        missing = [repr(name) for name in fields if given[name] is _MISSING]
        raise TypeError(
            f"{cls.__name__} misses {', '.join(missing)}; write {cls.__name__}({_example(fields)})"
        )

    if not _is_plain(cls):

        def __init__(self: Any, **given: Any) -> None:  # noqa: ANN401, N807
            if unknown := given.keys() - fields:
                refuse(dict.fromkeys(name for name in given if name in unknown))
            if not required <= given.keys():
                miss({name: given.get(name, 0 if name not in required else _MISSING) for name in fields})
            self.__attrs_init__(**given)

        return __init__

    # exec writes functions here as attrs and dataclasses do; the names in it are identifiers, never data.
    scope: dict[str, Any] = {"_refuse": refuse, "_miss": miss, "_missing": _MISSING, "_locals": locals}
    exec(compile(_plain(fields, scope), f"<__init__ of {cls.__qualname__}>", "exec"), scope)  # noqa: S102
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{cls.__name__}.__init__"  # as Python's own TypeErrors name it
    return made


class _FrozenEventError(attrs.exceptions.FrozenInstanceError):
    """What attrs raises, and it says what to write instead."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.msg = message

    def __str__(self) -> str:
        return self.msg


_FrozenEventError.__qualname__ = "FrozenInstanceError"  # as a traceback shows it
_FrozenEventError.__module__ = attrs.exceptions.FrozenInstanceError.__module__


def frozen(event: object, name: str, does: str = "set") -> NoReturn:
    """Refuses to change an event.

    Raises:
        FrozenInstanceError: In any case.
    """
    kind = type(event).__name__
    instead = ""
    if does == "set":
        new = f"attrs.evolve(ev, {name}=…)" if attrs.has(type(event)) else f"{kind}(…)"
        instead = f": others may have been given it too; send a new one: {new}"
    raise _FrozenEventError(f"an event is not changed, and {name!r} of this {kind} cannot be {does}{instead}")


def finish(cls: type, base: type) -> None:
    """Gives a class that attrs has made what only an error needs.

    Who assigns to an event is told what to write, by the methods of `base`; and one that is being made, as its
    validators see it, has a `repr` of the fields that are there.
    """
    del cls.__setattr__, cls.__delattr__
    if "__repr__" in cls.__dict__ and cls.__dict__["__repr__"].__code__.co_filename.startswith(
        "<attrs generated"
    ):
        whole: Callable[[object], str] = cls.__dict__["__repr__"]
        base_repr: Callable[[object], str] = base.__dict__["__repr__"]

        def __repr__(self: object) -> str:  # noqa: N807
            try:
                return whole(self)
            except AttributeError:
                return base_repr(self)

        setattr(cls, "__repr__", __repr__)  # noqa: B010 - to pyright it is another one


def _example(fields: dict[str, attrs.Attribute[Any]]) -> str:
    return ", ".join(f"{name}=…" for name, field in fields.items() if field.default is attrs.NOTHING)


def _is_plain(cls: type) -> bool:
    return not any(hasattr(cls, hook) for hook in _HOOKS) and all(
        field.init
        and field.converter is None
        and field.validator is None
        and not isinstance(field.default, _FACTORY)
        for field in attrs.fields(cls)
    )


def _plain(fields: dict[str, attrs.Attribute[Any]], scope: dict[str, Any]) -> str:
    parameters: list[str] = []
    required: list[str] = []
    body: list[str] = []
    for number, (name, field) in enumerate(fields.items()):
        if field.default is attrs.NOTHING:
            parameters.append(f"{name}=_missing")
            required.append(f"{name} is _missing")
        else:
            scope[f"_default_{number}"] = field.default
            parameters.append(f"{name}=_default_{number}")
        body.append(f"    _fields[{field.name!r}] = {name}")
    lines = [f"def __init__(self, *, {', '.join([*parameters, '**_unknown'])}):"]
    lines += ["    if _unknown: _refuse(_unknown)"]
    if required:
        lines += [f"    if {' or '.join(required)}: _miss(_locals())"]
    return "\n".join([*lines, "    _fields = self.__dict__", *body])
