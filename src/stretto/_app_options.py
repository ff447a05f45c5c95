"""What an application is made with, checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, cast, final

import attrs

from .errors import DefinitionError, near, shown
from .events import Event
from .nesting import is_workflow_class
from .supervision import Restart
from .workflow import Workflow

__all__ = ["AppOptions", "check_members"]

OnStop = Literal["drain", "cancel"]
Letters = Literal["keep", "error"]

T = TypeVar("T")


@final
@attrs.frozen(kw_only=True)
class AppOptions:
    """The options of one application; `of` checks them.

    Attributes:
        drains: Whether what is under way is finished after a StopEvent, or cut.
        strict: Whether each dead letter is an error.
        broadcast: The classes that every member gets.
        external: The classes that come from outside.
        supervise: The members that are restarted when they fail; None if none is.
    """

    drains: bool
    strict: bool
    broadcast: frozenset[type[Event]]
    external: frozenset[type[Event]]
    supervise: Mapping[str, Restart] | None

    @classmethod
    def of(
        cls,
        members: Mapping[str, object],
        *,
        on_stop: object,
        broadcast: object,
        external: object,
        dead_letters: object,
        supervise: object,
    ) -> AppOptions:
        """Checked options.

        Raises:
            DefinitionError: For a value that makes no sense, saying what would.
        """
        return cls(
            drains=_one_of("on_stop", on_stop, "drain", "cancel") == "drain",
            strict=_one_of("dead_letters", dead_letters, "keep", "error") == "error",
            broadcast=_kinds("broadcast", broadcast),
            external=_kinds("external", external),
            supervise=_supervised(supervise, members),
        )


def check_members(members: Mapping[str, object], options: Mapping[str, object], application: type) -> None:
    """Looks whether each member is a workflow of its own.

    Raises:
        DefinitionError: If one is not.
    """
    for name, value in options.items():
        if isinstance(value, Workflow):
            kind = type(cast("object", value)).__name__
            raise DefinitionError(
                f"Application({name}={kind}(…)): {name} is an option of the application; give the member another name"
            )
    known: dict[int, str] = {}
    for name, member in members.items():
        if isinstance(member, application):
            raise DefinitionError(
                f"the member {name} is an Application, and members are workflows; give this one the members of that: "
                "Application(**inner.members, …)"
            )
        if not isinstance(member, Workflow):
            instead = f"{member.__name__}()" if is_workflow_class(member) else "MyWorkflow()"
            raise DefinitionError(
                f"the member {name} is {shown(member)}, and members are workflows; write Application({name}={instead})"
                f"{near(name, list(options))}"
            )
        number, kind = id(cast("object", member)), type(cast("object", member)).__name__
        if number in known:
            raise DefinitionError(f"{known[number]} and {name} are the same {kind} object; make one for each")
        known[number] = name


def _one_of(name: str, value: object, *known: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise DefinitionError(f"{name} is {' or '.join(map(repr, known))}, not {shown(value)}")
    return value


def _kinds(name: str, value: object) -> frozenset[type[Event]]:
    """The event classes of an option."""
    several = isinstance(value, Iterable)
    kinds: list[Any] = list(cast("Iterable[Any]", value)) if several else [value]
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise DefinitionError(f"{name} lists event classes, as in {name}=[Price], not {shown(kind)}")  # pyright: ignore[reportUnknownArgumentType]
    return frozenset(kinds)


def _supervised(value: object, members: Mapping[str, object]) -> Mapping[str, Restart] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise DefinitionError(
            f"supervise maps members to how they are restarted, as in supervise={{'orders': Restart()}}, not "
            f"{shown(value)}"
        )
    policies: dict[str, Restart] = {}
    for name, policy in cast("Mapping[str, object]", value).items():
        if name not in members:
            raise DefinitionError(
                f"supervise names {shown(name)}, and the application has no such member, it has: "
                f"{', '.join(members)}{near(str(name), list(members))}"
            )
        if not isinstance(policy, Restart):
            raise DefinitionError(
                f"supervise[{name!r}] is {shown(policy)}; write Restart(…) of stretto.supervision, and leave a member "
                "out that is not to be restarted"
            )
        policies[name] = policy
    return policies or None
