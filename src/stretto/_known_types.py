"""Which classes a snapshot of a workflow may name: those that its own code names, and those that were registered.

A name in a snapshot is looked up here and nowhere else. Nothing is imported for it: a class that the program does not
name cannot come to be through data.
"""

from __future__ import annotations

import contextlib
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, final
from weakref import WeakKeyDictionary

from ._core.plan import Plan
from ._core.shapes import field_names
from ._rebuilding import is_named_tuple
from .errors import DefinitionError, near, shown
from .events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
)

if TYPE_CHECKING:
    from ._overload import Overload

__all__ = [
    "Declared",
    "DeclaredStep",
    "KnownTypes",
    "is_data_class",
    "known_to",
    "known_types",
    "register",
    "version_of",
]


class DeclaredStep(Protocol):
    """What a step declares, as far as classes go."""

    @property
    def call(self) -> Callable[..., Any]:
        """Its function."""
        ...

    @property
    def accepts(self) -> tuple[type[Event], ...]:
        """The events that it takes."""
        ...

    @property
    def returns(self) -> tuple[type[Event], ...]:
        """The events that it returns."""
        ...

    @property
    def accept_event_subclasses(self) -> bool:
        """Whether subclasses of what it takes are taken too."""
        ...

    @property
    def overload(self) -> Overload | None:
        """How much it takes, and how often."""
        ...


class Declared(Protocol):
    """What a workflow class declares."""

    name: str
    plan: Plan

    @property
    def specs(self) -> Sequence[DeclaredStep]:
        """Its steps."""
        ...


_VERSION = "_stretto_version"
_OURS = (Event, StartEvent, StopEvent, InputRequiredEvent, HumanResponseEvent, StepFailedEvent)
_registered: dict[type, None] = {}
_of_blueprints: WeakKeyDictionary[Declared, tuple[type, ...]] = WeakKeyDictionary()
_of_classes: WeakKeyDictionary[type, tuple[type, ...]] = WeakKeyDictionary()


def is_data_class(kind: object) -> TypeGuard[type[Any]]:
    """Whether it is a class whose values can be taken apart and put together again."""
    if not _is_class(kind):
        return False
    return issubclass(kind, (Event, enum.Enum)) or field_names(kind) is not None or is_named_tuple(kind)


def _is_class(kind: object) -> TypeGuard[type[Any]]:
    return isinstance(kind, type) and not isinstance(kind, types.GenericAlias)


def register(kind: type, version: int) -> None:
    """From now on every snapshot may name the class.

    Raises:
        DefinitionError: If its values cannot be taken apart.
    """
    if not is_data_class(kind):
        raise DefinitionError(
            f"snapshot_type takes an event class, an attrs class, a dataclass, a pydantic model, an enum or a named "
            f"tuple, not {shown(kind)}"
        )
    if version != 1:
        setattr(kind, _VERSION, version)
    _registered[kind] = None


def version_of(kind: type) -> int:
    """The version of the fields of a class; a subclass has its own."""
    version: int = vars(kind).get(_VERSION, 1)
    return version


@final
class KnownTypes:
    """The classes that a snapshot may name, by name."""

    def __init__(self, owner: str, kinds: Iterable[type], read_by: str = "Context.from_dict") -> None:
        self._owner = owner
        self._read_by = read_by
        self._by_name: dict[str, list[type]] = {}
        for kind in _with_fields(kinds):
            self._by_name.setdefault(kind.__name__, []).append(kind)

    def name_of(self, kind: type, error: Callable[[str], Exception]) -> str:
        """The name of a class.

        Raises:
            Exception: What `error` makes, if it is not known or shares its name with another.
        """
        name = kind.__name__
        known = self._by_name.get(name, [])
        if kind not in known:
            raise error(
                f"{name} is a class that snapshots of {self._owner} do not know; decorate it with @snapshot_type from "
                f"stretto.snapshots, or give it to both: to_dict(types=[{name}]) and "
                f"{self._read_by}(…, types=[{name}])"
            )
        self._check_single(name, known, error)
        return name

    def find(self, name: str, error: Callable[[str], Exception]) -> type[Any]:
        """The class of a name.

        Raises:
            Exception: What `error` makes, if there is none, or more than one.
        """
        known = self._by_name.get(name)
        if not known:
            raise error(
                f"{name!r} is no class that snapshots of {self._owner} know{near(name, self._by_name)}; decorate it "
                f"with @snapshot_type from stretto.snapshots, or give it to {self._read_by}(…, types=[…])"
            )
        self._check_single(name, known, error)
        return known[0]

    @staticmethod
    def _check_single(name: str, known: list[type], error: Callable[[str], Exception]) -> None:
        if len(known) > 1:
            places = " and ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in known)
            raise error(f"{name!r} is the name of several classes, {places}; give one of them another name")


def known_types(blueprint: Declared, types: Iterable[type]) -> KnownTypes:
    """The classes that the steps accept, return or name in their code, the registered ones, and these.

    Raises:
        DefinitionError: If `types` holds something that is no such class.
    """
    return known_to(blueprint.name, (blueprint,), types)


def known_to(
    owner: str, blueprints: Iterable[Declared], types: Iterable[type], *, read_by: str = "Context.from_dict"
) -> KnownTypes:
    """As `known_types`, of several workflows; messages call them `owner`, and what reads them `read_by`.

    Raises:
        DefinitionError: As there.
    """
    given = list(types)
    for kind in given:
        if not is_data_class(kind):
            raise DefinitionError(
                f"types= is a list of event classes, attrs classes, dataclasses, pydantic models, enums and named "
                f"tuples, as in types=[Receipt], not {shown(kind)}"
            )
    found: list[type] = []
    for blueprint in blueprints:
        found += _named_once(blueprint)
        found += (each for spec in blueprint.specs for each in _subclasses_taken(spec))
    return KnownTypes(owner, [*found, *_registered, *given], read_by)


def _named_once(blueprint: Declared) -> tuple[type, ...]:
    """What its code names; to read that once is enough."""
    named = _of_blueprints.get(blueprint)
    if named is None:
        named = _of_blueprints[blueprint] = tuple(dict.fromkeys(_named_by(blueprint)))
    return named


def _named_by(blueprint: Declared) -> Iterator[type]:
    yield from _OURS
    state = blueprint.plan.state
    if state is not None and state.declared is not None:
        yield state.declared
    for spec in blueprint.specs:
        yield from spec.accepts
        yield from spec.returns
        yield from (each for each in _named_in(inspect.unwrap(spec.call)) if is_data_class(each))


def _subclasses_taken(spec: DeclaredStep) -> Iterator[type]:
    if spec.accept_event_subclasses:
        for kind in spec.accepts:
            yield from _below(kind)


def _below(kind: type[Event]) -> Iterator[type[Event]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _named_in(function: Any) -> Iterator[object]:  # noqa: ANN401
    """What the names in the code of a function mean, as far as can be told without running anything."""
    names: dict[str, None] = {}
    codes: list[types.CodeType] = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(dict.fromkeys(code.co_names))
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # empty, as yet
            yield cell.cell_contents
    spaces: list[dict[str, Any]] = [function.__globals__]
    for space in spaces:  # which grows: by the modules, and theirs, that are named
        for meant in [space[name] for name in names if name in space]:
            yield meant
            if isinstance(meant, types.ModuleType) and not any(vars(meant) is each for each in spaces):
                spaces.append(vars(meant))


def _with_fields(kinds: Iterable[type]) -> dict[type, None]:
    """The classes, and those that the annotations of their fields name."""
    found: dict[type, None] = {}
    todo = list(kinds)
    while todo:
        kind = todo.pop(0)
        if kind not in found:
            found[kind] = None
            todo += _fields_of(kind)
    return found


def _fields_of(kind: type) -> tuple[type, ...]:
    """The classes that the annotations of a class name; to read these once is enough."""
    named = _of_classes.get(kind)
    if named is None:
        named = _of_classes[kind] = tuple(
            dict.fromkeys(
                each for hint in _annotations(kind) for each in _members(hint) if is_data_class(each)
            )
        )
    return named


def _annotations(kind: type) -> Iterable[object]:
    try:
        return typing.get_type_hints(kind).values()
    except Exception:  # noqa: BLE001 - what cannot be read names nothing; it can be given by types=
        return ()


def _members(hint: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    """The classes that an annotation names."""
    yield typing.get_origin(hint) or hint
    for each in typing.get_args(hint):
        yield from _members(each)
