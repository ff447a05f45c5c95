"""``ctx.store``: the state of a run, which its steps share and nobody else does.

Reading never waits and never copies: it gives what is committed. What an edit has changed is committed when its block
is left, all at once, or dropped.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, cast, final

from ._core.paths import MISSING, Path
from ._core.run_state import Edit
from ._editor import Access
from ._threads import Work
from ._types import S_co
from .errors import RunEndedError, StateError, near

__all__ = ["Edited", "Store", "ThreadEdited", "ThreadStore"]

_SET = ("ctx.store.set(…)", "set it on the state that the block was given")
_EDIT = ("ctx.store.edit_state()", "change the state that the outer block was given")
_EDIT_INSTEAD = "ctx.store.edit_state(), and change the state that the block is given"
_OTHER_WORDS = {
    "set_state": _EDIT_INSTEAD,
    "clear": _EDIT_INSTEAD,
    "update": _EDIT_INSTEAD,
    "to_dict": "ctx.store.get_state()",
}


class _AnyStore:
    """What both stores have in common."""

    __slots__ = ("_access",)

    def __init__(self, access: Access) -> None:
        self._access = access

    def __getattr__(self, name: str) -> NoReturn:
        ours = _OTHER_WORDS.get(name)
        names = [known for known in dir(type(self)) if not known.startswith("_")]
        hint = f"; write {ours}" if ours else near(name, names) or f"; write ctx.store.get({name!r})"
        # No `obj`: with it Python adds a hint of its own.
        raise AttributeError(f"the store has no {name!r}{hint}", name=name)

    def __repr__(self) -> str:
        return f"<Store of a run of {self._access.run.machine.plan.name}>"


@final
class Store(_AnyStore, Generic[S_co]):
    """The state of a run: read it by paths, edit it in a block. Get it as ``ctx.store``.

    A path is text with dots, each part of which is a key of a mapping, an index of a list or the name of an
    attribute; a tuple of parts where a key has a dot in it. What is read is shared with all who read: treat it as
    read-only, or keep immutable values. The names are those of LlamaIndex Workflows.
    """

    __slots__ = ()

    async def get(self, path: Path, default: Any = MISSING) -> Any:  # noqa: ANN401 - whatever stands there
        """What is committed at a path, itself and no copy. Never waits, also not for an edit.

        Raises:
            StateError: If nothing stands there and there is no default; it names what is there.
        """
        return self._access.state.get(path, default)

    async def get_state(self) -> S_co:
        """All that is committed, itself and no copy. Never waits."""
        return cast("S_co", self._access.state.committed)

    async def set(self, path: Path, value: Any) -> None:  # noqa: ANN401 - whatever is to stand there
        """Commits a value at a path; waits while somebody edits.

        The containers on the way are copied one level deep, and what stands beside them is shared with the state as
        it was. A missing key of a mapping is made. A field is set as by assignment, with the validators and
        converters of its class; of a frozen class a new object is made, as by ``attrs.evolve``.

        Raises:
            StateError: If there is no such field or index, or within an edit of the same step.
            RunEndedError: If the run is over.
        """
        self._access.refuse(*_SET)
        await self._access.write(path, value)

    def edit_state(self) -> Edited[S_co]:
        """A block that edits the state: ``async with ctx.store.edit_state() as state``.

        One block at a time in a run, the others wait in order. What is changed is committed when the block is left
        normally; if it is left by an exception or a cancellation, nothing is. Until then others read the state as it
        was. Dicts, lists, deques, sets, tuples, attrs classes, dataclasses and pydantic models within are the
        block's own; every other object, such as a lock or a client, is shared, and what is done to it stays done.

        Raises:
            StateError: On entry, within an edit of the same step: it would wait for itself.
            RunEndedError: On entry or on leaving normally, if the run is over.
        """
        return Edited(self._access)


@final
class ThreadStore(_AnyStore, Generic[S_co]):
    """``ctx.store`` in a step that is a plain ``def``: the names of `Store`, without ``await``.

    Each call goes to the loop's thread and back, and waits there where its namesake waits.
    """

    __slots__ = ("_work",)

    def __init__(self, access: Access, work: Work) -> None:
        super().__init__(access)
        self._work = work

    def get(self, path: Path, default: Any = MISSING) -> Any:  # noqa: ANN401 - whatever stands there
        """As `Store.get`, from a thread."""
        return self._work.ask(lambda: self._access.state.get(path, default))

    def get_state(self) -> S_co:
        """As `Store.get_state`, from a thread."""
        return cast("S_co", self._work.ask(lambda: self._access.state.committed))

    def set(self, path: Path, value: Any) -> None:  # noqa: ANN401 - whatever is to stand there
        """As `Store.set`, from a thread."""
        self._access.refuse(*_SET)  # here, since on trio the loop's thread does not see our context variables
        self._work.wait(self._access.write, path, value)

    def edit_state(self) -> ThreadEdited[S_co]:
        """As `Store.edit_state`, from a thread: ``with ctx.store.edit_state() as state``."""
        return ThreadEdited(self._access, self._work)


class _AnyEdit:
    """What both blocks have in common."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._entered = False

    def _refuse(self) -> None:
        if self._entered:
            raise StateError("this edit_state() block was entered before; call ctx.store.edit_state() again")
        self._access.refuse(*_EDIT)

    def _begin(self, edit: Edit) -> object:
        self._entered = True
        self._edit = edit
        self._mark = self._access.mark()
        return edit.working


@final
class Edited(_AnyEdit, Generic[S_co]):
    """What ``ctx.store.edit_state()`` gives; enter it with ``async with``, once."""

    async def __aenter__(self) -> S_co:
        self._refuse()
        return cast("S_co", self._begin(await self._access.begin()))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._access.unmark(self._mark)
        self._access.finish(self._edit, commit=kind is None)

    if not TYPE_CHECKING:  # so that type checkers tell it too

        def __enter__(self) -> NoReturn:
            raise TypeError(
                "ctx.store.edit_state() waits for its turn; in an async step write async with "
                "ctx.store.edit_state() as state"
            )

        def __exit__(self, *_: object) -> NoReturn: ...


@final
class ThreadEdited(_AnyEdit, Generic[S_co]):
    """What ``ctx.store.edit_state()`` gives in a step that is a plain ``def``; enter it with ``with``, once."""

    def __init__(self, access: Access, work: Work) -> None:
        super().__init__(access)
        self._work = work

    def __enter__(self) -> S_co:
        self._refuse()
        return cast("S_co", self._begin(self._work.wait(self._begin_held)))

    async def _begin_held(self) -> Edit:
        """Begins to edit; if the thread is abandoned meanwhile, its turn is the next one's."""
        edit = await self._access.begin()
        self._work.hold(edit, partial(self._access.drop, edit))
        return edit

    def _finish(self, *, commit: bool) -> None:
        self._work.let_go_of(self._edit)
        self._access.finish(self._edit, commit=commit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._access.unmark(self._mark)
        try:
            self._work.ask(
                partial(self._finish, commit=kind is None), instead=partial(self._finish, commit=False)
            )
        except RunEndedError as late:
            if kind is None:
                late.add_note(
                    "what its edit_state() block has changed is dropped: others may have edited since"
                )
                raise

    if not TYPE_CHECKING:

        async def __aenter__(self) -> NoReturn:
            raise TypeError(
                "ctx.store.edit_state() in a plain def step blocks its thread alone; write with "
                "ctx.store.edit_state() as state, without async"
            )

        async def __aexit__(self, *_: object) -> NoReturn: ...
