"""The state of a run: what is committed, and the working copy of who edits it.

The committed state is one plain object and is never changed in place: who reads it, shares it. A working copy is
shallow. What lies below it is copied when the editor reaches for it, field by field or key by key, so an edit costs
what it touches. For the time of the edit the copy has a class of ours, a subclass of its own, that sees who reads
which field; afterwards it is of its own class again, and is the committed state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import ClassVar, SupportsIndex, TypeVar, cast, final

import attrs

from ..errors import StateError, add_note
from .copying import Memo, copied
from .paths import MISSING, find, rebuild
from .shapes import attributes, raw, set_raw

__all__ = ["Edit", "FreeState", "RunState", "StateKind"]

T = TypeVar("T")

# Python's own way to assign a class: the `__class__` of a working copy is a property that hides it.
_CLASS = object.__dict__["__class__"]

# Past the methods that watch.
_GET: Callable[..., object] = dict[str, object].get
_SET: Callable[[dict[str, object], str, object], None] = dict[str, object].__setitem__

# The edits that go on, by the identity of their working copies, which may have slots and no room for more.
_edits: dict[int, Edit] = {}


class FreeState(dict[str, object]):
    """The state of a run whose steps name no class for it: a dict of what they like."""

    __slots__ = ()

    def __copy__(self) -> FreeState:
        return FreeState(self)

    def __reduce__(self) -> tuple[object, ...]:
        return (
            FreeState,
            (),
            None,
            None,
            iter(self.items()),
        )  # and not the class that it has while it is edited

    def __getattr__(self, name: str) -> object:
        raise _no_attribute(name)

    def __setattr__(self, name: str, value: object) -> None:
        raise _no_attribute(name)


def _no_attribute(name: str) -> AttributeError:
    if name.startswith("__"):
        return AttributeError(name)
    return AttributeError(
        f"the state of this run is a dict and has keys, not attributes; write state[{name!r}], or name a class "
        "for it: ctx: Context[MyState]",
        name=name,
    )


@final
class _WorkingMapping(FreeState):
    """A free state while it is edited: what is read is copied first."""

    __slots__ = ()

    def _edit(self) -> Edit:
        return _edits[id(self)]

    def __getitem__(self, key: str) -> object:
        self._edit().reach_key(key)
        return super().__getitem__(key)

    def get(self, key: str, default: object = None) -> object:
        self._edit().reach_key(key)
        return super().get(key, default)

    def setdefault(self, key: str, default: object = None) -> object:
        self._edit().reach_key(key)
        return super().setdefault(key, default)

    def pop(self, key: str, *default: object) -> object:
        self._edit().reach_key(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, object]:
        self._edit().reach_all()
        return super().popitem()

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self._edit().reach_all()
        return super().items()

    def values(self) -> ValuesView[object]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self._edit().reach_all()
        return super().values()

    def copy(self) -> dict[str, object]:
        self._edit().reach_all()
        return super().copy()

    def __or__(self, other: dict[str, object]) -> dict[str, object]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.copy() | other

    def __ror__(self, other: dict[str, object]) -> dict[str, object]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return other | self.copy()

    def __iter__(self) -> Iterator[str]:
        # It is here that `dict(state)` and `{**state}` look whether they may read the values behind our back.
        return super().__iter__()


class _Watching:
    """What a data object does while it is edited: what is read is copied first."""

    __slots__ = ()

    _stretto_class: ClassVar[type]

    def __init_subclass__(cls) -> None:
        """Nothing: it stands before that of the user's class."""

    def __getattribute__(self, name: str) -> object:
        edit = _edits.get(id(self))
        if edit is not None:
            edit.reach_attribute(name)
        return super().__getattribute__(name)

    def __copy__(self) -> object:
        return self._as_itself(copy.copy)

    def __deepcopy__(self, memo: dict[int, object]) -> object:
        return self._as_itself(lambda value: copy.deepcopy(value, memo))

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        return self._as_itself(lambda value: value.__reduce_ex__(protocol))

    def _as_itself(self, work: Callable[[object], T]) -> T:
        """Does something for which the class of the object counts."""
        edit = _edits.get(id(self))
        if edit is not None:
            edit.reach_all()
        ours = type(self)
        _CLASS.__set__(self, ours._stretto_class)  # noqa: SLF001 - of this very class
        try:
            return work(self)
        finally:
            _CLASS.__set__(self, ours)


@final
@attrs.define(eq=False)
class StateKind:
    """What the state of a workflow's runs is: a class of the user's, or a free mapping if it is None."""

    declared: type | None = None
    _working: type | None = attrs.field(default=None, init=False)

    def new(self) -> object:
        """The state that a run begins with."""
        return FreeState() if self.declared is None else self.declared()

    def working(self, kind: type) -> type:
        """The class that a working copy of this class has while it is edited; made once."""
        if self._working is None:
            self._working = _WorkingMapping if kind is FreeState else _watching(kind)
        return self._working


def _watching(kind: type) -> type:
    """A subclass that sees who reads which attribute.

    Only of the same layout can it be given to an instance, so `kind` is its one base and `_Watching` is put into its
    order of resolution. No metaclass and no ``__init_subclass__`` of the user's is asked: they would take it for a
    class of theirs.
    """

    def order(cls: type) -> list[type]:
        return [cls, _Watching, *kind.__mro__]

    names = {
        "__slots__": (),
        "__module__": kind.__module__,
        "__class__": property(lambda _: kind),
        "_stretto_class": kind,
    }
    metaclass = type("_Watched", (type(kind),), {"mro": order})
    return type.__new__(metaclass, kind.__name__, (kind,), names)


@final
class Edit:
    """One edit: a working copy that becomes the committed state, or is dropped.

    Attributes:
        dropped: Whether its turn was taken from it, and it can only end.
    """

    def __init__(self, committed: object, kind: StateKind) -> None:
        self.dropped = False
        self.working = copy.copy(committed)
        self._committed = committed
        self._class = type(self.working)
        self._names = attributes(committed) or {}
        self._memo: Memo = {}
        self._reached: set[object] = set()
        for name in ("__pydantic_extra__", "__pydantic_private__"):  # pydantic copies them, one level deep
            if raw(self.working, name) is not None:
                set_raw(self.working, name, copied(raw(self.working, name), self._memo))
        _CLASS.__set__(self.working, kind.working(self._class))
        _edits[id(self.working)] = self

    def end(self) -> None:
        """The working copy is of its own class again, and nobody watches it."""
        if _edits.pop(id(self.working), None) is not None:
            _CLASS.__set__(self.working, self._class)

    def reach_key(self, key: str) -> None:
        """The editor reads a key of a free state: it is given a copy, but of what it has put there itself."""
        if key in self._reached:
            return
        self._reached.add(key)
        working, committed = (
            cast("dict[str, object]", self.working),
            cast("dict[str, object]", self._committed),
        )
        value = _GET(working, key, MISSING)
        if value is _GET(committed, key):
            _SET(working, key, self._copy(key, value))

    def reach_attribute(self, name: str) -> None:
        """The editor reads an attribute; likewise."""
        if name == "__dict__":
            self.reach_all()
        elif name in self._names and name not in self._reached:
            self._reached.add(name)
            value = raw(self.working, name, MISSING)
            if value is raw(self._committed, name):
                set_raw(self.working, name, self._copy(name, value))

    def _copy(self, name: str, value: object) -> object:
        try:
            return copied(value, self._memo)
        except RecursionError:
            raise StateError(
                f"{name!r} in the state is nested too deep for an edit, which copies it; keep it flat, or as text, or "
                f"make it anew and write await ctx.store.set({name!r}, …), which copies nothing below"
            ) from None

    def reach_all(self) -> None:
        """The editor reads everything."""
        for name in self._names:
            self.reach_attribute(name)
        if isinstance(self._committed, FreeState):
            for key in list(self._committed):
                self.reach_key(key)


@final
class RunState:
    """The state of one run.

    Attributes:
        committed: The state that everybody reads, as one plain object.
    """

    def __init__(self, kind: StateKind, owner: str) -> None:
        self._kind = kind
        try:
            self.committed = kind.new()
        except Exception as error:
            add_note(error, f"while the state of a run of {owner} was made")
            raise

    def get(self, path: object, default: object = MISSING) -> object:
        """What stands at a path."""
        return find(self.committed, path, default)

    def set(self, path: object, value: object) -> None:
        """Commits one value at a path."""
        self.committed = rebuild(self.committed, path, value)

    def edit(self) -> Edit:
        """Begins an edit; one at a time."""
        return Edit(self.committed, self._kind)

    def commit(self, edit: Edit) -> None:
        """What was edited is now what everybody reads."""
        edit.end()
        self.committed = edit.working
