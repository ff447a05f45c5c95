"""Values that go through a snapshot come out as they went in, and data that is wrong is told with its path."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import math
import uuid
from collections import deque
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import attrs
import pydantic
import pytest
from hypothesis import given, strategies as st

from stretto import DefinitionError, Event, SnapshotError, StartEvent, StopEvent
from stretto._codec import SnapshotReader, SnapshotWriter
from stretto._core.places import Place
from stretto._core.run_state import FreeState
from stretto._known_types import KnownTypes
from stretto.errors import RestoredError
from stretto.snapshots import snapshot_type

seen: list[str] = []


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclasses.dataclass
class Line:
    start: Point
    end: Point | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    length: float = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        seen.append("post init")


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    n: int


def doubled(value: int) -> int:
    seen.append("converted")
    return value * 2


@attrs.define
class Slotted:
    _hidden: int
    twice: int = attrs.field(default=1, converter=doubled)
    late: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        seen.append("post init")


@attrs.frozen
class Checked:
    n: int = attrs.field(validator=attrs.validators.ge(0))
    half: float = attrs.field(default=attrs.Factory(lambda self: self.n / 2, takes_self=True))
    tags: list[str] = attrs.field(factory=list)


@attrs.define(slots=False)
class Open:
    n: int = 0

    @functools.cached_property
    def costly(self) -> object:
        return object()


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    n: int
    named: str = pydantic.Field(default="", alias="Named")
    _secret: list[int] = pydantic.PrivateAttr(default=[])


class Sent(Event):
    value: object
    when: dt.datetime | None = None


class Sub(Sent):
    more: int = 0


class Old(Event, version=3):
    cents: int

    @classmethod
    def upgrade(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {"cents": fields["euros"] * 100 + version}


class Stuck(Event, version=2):
    cents: int


KINDS: list[type] = [
    Colour, Right, Point, Line, Frozen, Slotted, Checked, Open, Model, Sent, Sub, Old, Stuck, StartEvent, StopEvent,
]  # fmt: skip
KNOWN = KnownTypes("Poll", KINDS)


def written(value: object, known: KnownTypes = KNOWN) -> Any:
    return json.loads(json.dumps(SnapshotWriter(known).value(value, "at"), allow_nan=False))


def read(data: object, known: KnownTypes = KNOWN) -> Any:
    return SnapshotReader(known, ()).value(Place(data))


def there_and_back(value: Any) -> Any:
    return read(written(value))


# -- there and back --------------------------------------------------------------------------------------------

hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=2))])),
    st.timedeltas(),
    st.sampled_from([*Colour, *Right, Right.READ | Right.WRITE, Right(0)]),
    st.builds(Point, st.integers(), st.integers()),
    st.builds(Frozen, st.integers()),
)
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.sets(hashables, max_size=3),
        st.frozensets(hashables, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.sampled_from(["$", "$type"]), inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3),
        st.builds(Sent, value=inner),
        st.builds(Sub, value=inner, more=st.integers()),
        st.builds(Checked, st.integers(0), tags=st.lists(st.text(max_size=2), max_size=2)),
        st.builds(StartEvent, payload=inner),
        st.builds(Open, inner),
    ),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_what_is_read(value: Any):
    again = there_and_back(value)
    assert type(again) is type(value)
    assert again == value
    assert written(again) == written(value)


@pytest.mark.parametrize(
    "value",
    [
        math.inf,
        -math.inf,
        bytearray(b"a"),
        1 + 2j,
        [True, 1, 1.0],
        deque([1]),
        {1: {(2,): 3}},
        FreeState(a=1),
    ],
    ids=repr,
)
def test_the_rarer_kinds_come_back_too(value: Any):
    again = there_and_back(value)
    assert repr(again) == repr(dict(value) if isinstance(value, FreeState) else value)


def test_nan_comes_back():
    assert math.isnan(there_and_back(math.nan))


def test_a_set_is_written_in_an_order_that_does_not_hang_on_hashes():
    assert written({"b", "a", "c"}) == {"$": "set", "of": ["a", "b", "c"]}


def test_what_json_has_stands_for_itself():
    value = {"a": [1, None, True, 1.5, "x"], "b": {}}
    assert written(value) == value


def test_what_is_written_shares_nothing_with_the_value():
    value = {"a": [1]}
    data = SnapshotWriter(KNOWN).value(value, "at")
    value["a"].append(2)
    assert data == {"a": [1]}


def test_an_object_is_put_together_without_its_init_or_its_converters():
    line = Line(Point(1))
    line.length = 2.5
    slotted = Slotted(1, 4)
    slotted.late = 5
    seen.clear()
    assert there_and_back(line) == line
    again = there_and_back(slotted)
    assert (again._hidden, again.twice, again.late) == (1, 8, 5)
    assert there_and_back(Open(3)) == Open(3)
    assert seen == []


def test_a_field_that_was_never_set_stays_unset():
    again = there_and_back(Slotted(1))
    assert again.twice == 2
    assert not hasattr(again, "late")
    assert not hasattr(there_and_back(Line(Point(1))), "length")


def test_attributes_beside_the_fields_come_back_but_what_is_computed_once_does_not():
    value: Any = Open(3)
    value.extra = [1]
    value.costly  # noqa: B018
    assert written(value) == {"$type": "Open", "fields": {"n": 3}, "more": {"extra": [1]}}
    assert there_and_back(value).extra == [1]


def test_a_pydantic_model_comes_back_with_what_it_was_given_on_top():
    value = Model.model_validate({"n": 1, "Named": "x", "extra": (1, 2)})
    value._secret = [7]
    assert there_and_back(value) == value
    assert there_and_back(value)._secret == [7]


def test_a_missing_field_has_its_default():
    assert read({"$type": "Checked", "fields": {"n": 4}}) == Checked(4, 2.0, [])
    assert read({"$type": "Line", "fields": {"start": 1}}).tags == []
    assert read({"$type": "Line", "fields": {"start": 1}}).end is None
    assert read({"$type": "Point", "fields": {"x": 4}}) == Point(4, 0)
    assert read({"$type": "Slotted", "fields": {"_hidden": 4}}).twice == 1


def test_an_error_comes_back_as_its_name_and_its_text():
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError

    error = there_and_back(ConnectionError("no route"))
    assert (type(error), str(error), error.kind) == (RestoredError, "no route", "ConnectionError")
    again = there_and_back(error)
    assert (str(again), again.kind) == ("no route", "ConnectionError")
    assert str(there_and_back(BrokenError("x"))) == "BrokenError('x')"


def test_an_event_is_written_once_and_is_one_object_again():
    one, equal = Sent(value=1), Sent(value=1)
    writer = SnapshotWriter(KNOWN)
    assert [writer.event(each, "at") for each in (one, equal, one)] == [0, 1, 0]
    reader = SnapshotReader(KNOWN, Place(writer.events).items())
    first, second, third = (reader.event(Place(number)) for number in (0, 1, 0))
    assert first is third
    assert first == second
    assert first is not second
    assert reader.kind(Place("Sent")) is Sent


# -- versions --------------------------------------------------------------------------------------------------


def test_a_version_is_written_where_it_is_not_the_first():
    assert written(Old(cents=1)) == {"$type": "Old", "version": 3, "fields": {"cents": 1}}
    assert there_and_back(Old(cents=1)) == Old(cents=1)


def test_an_older_version_is_upgraded_by_its_class():
    assert read({"$type": "Old", "fields": {"euros": 2}}) == Old(cents=201)
    assert read({"$type": "Old", "version": 2, "fields": {"euros": 2}}) == Old(cents=202)


def test_a_subclass_has_a_version_of_its_own():
    class Newer(Old):
        pass

    assert "version" not in written(Newer(cents=1), KnownTypes("Poll", [Newer]))


def test_other_classes_have_versions_too():
    @snapshot_type(version=2)
    @dataclasses.dataclass
    class Receipt:
        cents: int

        @classmethod
        def upgrade(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
            return {"cents": fields["euros"] * 100}

    known = KnownTypes("Poll", [Receipt])
    assert written(Receipt(5), known)["version"] == 2
    assert read({"$type": "Receipt", "fields": {"euros": 5}}, known) == Receipt(500)


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.5])
def test_a_version_is_a_whole_number(version: Any):
    with pytest.raises(DefinitionError, match="the version of Bad is a whole number of at least 1"):

        class Bad(Event, version=version):
            pass

    with pytest.raises(DefinitionError, match="version is a whole number of at least 1"):
        snapshot_type(version=version)


# -- what cannot be written ------------------------------------------------------------------------------------


class Opaque:
    def __repr__(self) -> str:
        return "<Opaque>"


class Unknown(Event):
    n: int = 0


class Money(int):
    pass


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


NO_DATA = (
    "is no plain data, attrs class, dataclass, pydantic model, enum or named tuple; keep in its place what it is made "
    "of"
)
UNWRITABLE: list[tuple[Any, str]] = [
    (Opaque(), f"at: <Opaque> cannot be written: Opaque {NO_DATA}"),
    ({"a": [1, (2, Opaque())]}, f"at.a[1][1]: <Opaque> cannot be written: Opaque {NO_DATA}"),
    (Sent(value={"b c": {1: Money(2)}}), f"at.value['b c']['1']: 2 cannot be written: Money {NO_DATA}"),
    (
        Sent(value=Unknown()),
        "at.value: Unknown is a class that snapshots of Poll do not know; decorate it with @snapshot_type from "  # noqa: ISC004
        "stretto.snapshots, or give it to both: to_dict(types=[Unknown]) and Context.from_dict(…, types=[Unknown])",
    ),
    (
        dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
        "at: datetime.datetime(2026, 1, 1, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')) has a time zone that is looked "  # noqa: ISC004
        "up by a name; write it as value.astimezone(UTC)",
    ),
]


@pytest.mark.parametrize(("value", "says"), UNWRITABLE)
def test_what_cannot_be_written_is_told_with_its_path(value: Any, says: str):
    with pytest.raises(SnapshotError) as caught:
        written(value)
    assert str(caught.value) == says
    assert says.startswith(f"{caught.value.path}: ")


def test_what_holds_itself_is_told():
    with pytest.raises(
        SnapshotError, match=r"^at(\[0\])+: this is 100 levels deep, or holds itself; keep what nest"
    ):
        written(itself())


def test_what_is_just_not_too_deep_comes_back():
    value: Any = 1.5
    for _ in range(99):
        value = [value]
    assert there_and_back(value) == value
    with pytest.raises(SnapshotError, match="100 levels deep"):
        written([value, [value]])


def test_two_classes_of_one_name_are_told_apart_or_refused():
    def make() -> type[Event]:
        class Twin(Event):
            pass

        return Twin

    one, other = make(), make()
    known = KnownTypes("Poll", [one, other])
    place = f"{__name__}.{one.__qualname__}"
    says = f"'Twin' is the name of several classes, {place} and {place}; give one of them another name"
    with pytest.raises(SnapshotError) as caught:
        written(one(), known)
    assert str(caught.value) == f"at: {says}"
    with pytest.raises(SnapshotError) as caught:
        read({"$type": "Twin", "fields": {}}, known)
    assert str(caught.value) == f"$type: {says}" or str(caught.value) == f"['$type']: {says}"


@pytest.mark.parametrize("kind", [Opaque, int, 3, list[int]])
def test_a_class_that_cannot_be_taken_apart_is_not_registered(kind: Any):
    with pytest.raises(
        DefinitionError, match="snapshot_type takes an event class, an attrs class, a dataclass, "
    ):
        snapshot_type(kind)


# -- what cannot be read ---------------------------------------------------------------------------------------

UNREADABLE: list[tuple[Any, str]] = [
    ({1: 2}, "the snapshot: this should be plain data, and is {1: 2}"),
    ([Opaque()], "[0]: this should be plain data, and is <Opaque>"),
    ({"$": 3, "of": []}, "['$']: this should be a text, and is 3"),
    ({"$": "tuple"}, "the snapshot: 'of' is missing"),
    ({"$": "tuple", "of": 3}, "of: this should be a list, and is 3"),
    ({"$": "tupel", "of": 3}, "['$']: 'tupel' is no kind of value; it may be of a newer stretto"),
    ({"$": "set", "of": [[1]]}, "of: [[1]] cannot be read: TypeError(\"unhashable type: 'list'\")"),
    ({"$": "dict", "of": [[[], 1]]}, "of: [[[], 1]] cannot be read: TypeError(\"unhashable type: 'list'\")"),
    ({"$": "dict", "of": [[1]]}, "of[0]: this should be a list of 2, and is [1]"),
    ({"$": "datetime", "of": "now"}, "of: 'now' cannot be read: ValueError(\"Invalid isoformat string: 'now'\")"),
    ({"$": "Decimal", "of": 3}, "of: this should be a text, and is 3"),
    ({"$": "error", "of": "no"}, "the snapshot: 'type' is missing"),
    ({"$type": 3}, "['$type']: this should be a text, and is 3"),
    (
        {"$type": "Snt", "fields": {}},
        ("['$type']: 'Snt' is no class that snapshots of Poll know; did you mean 'Sent'?; decorate it with "
        "@snapshot_type from stretto.snapshots, or give it to Context.from_dict(…, types=[…])"),
    ),
    ({"$type": "Sent"}, "the snapshot: 'fields' is missing"),
    ({"$type": "Sent", "fields": []}, "fields: this should be an object, and is []"),
    (
        {"$type": "Sent", "fields": {"valeu": 1}},
        ("fields: Sent has no field 'valeu'; did you mean 'value'?; if it had one, give the class the next version "
        "and a classmethod upgrade(cls, version, fields)"),
    ),
    (
        {"$type": "Sent", "fields": {}},
        "the snapshot: {'$type': 'Sent', 'fields': {}} cannot be read: ValueError(\"'value' is missing\")",
    ),
    (
        {"$type": "Line", "fields": {}},
        "the snapshot: {'$type': 'Line', 'fields': {}} cannot be read: ValueError(\"'start' is missing\")",
    ),
    (
        {"$type": "Point", "fields": {}},
        "the snapshot: {'$type': 'Point', 'fields': {}} cannot be read: ValueError(\"'x' is missing\")",
    ),
    ({"$type": "Sent", "version": 0, "fields": {}}, "version: this should be a whole number from 1 to 21474"),
    (
        {"$type": "Sent", "version": 2, "fields": {}},
        "version: this is version 2 of Sent, which is version 1 here; update the program",
    ),
    (
        {"$type": "Stuck", "fields": {}},
        ("the snapshot: this is version 1 of Stuck, which is version 2 now; give the class a classmethod "
        "upgrade(cls, version, fields) that gives the fields as they are now"),
    ),
    (
        {"$type": "Old", "fields": {}},
        "the snapshot: {'$type': 'Old', 'fields': {}} cannot be read: KeyError('euros')",
    ),
    ({"$type": "Colour"}, "the snapshot: 'value' is missing"),
    ({"$type": "Colour", "name": "RDE"}, "name: Colour has no 'RDE'; did you mean 'RED'?"),
    ({"$type": "Right", "value": 9}, "the snapshot: {'$type': 'Right', 'value': 9} cannot be read: ValueError("),
]  # fmt: skip


@pytest.mark.parametrize(("data", "says"), UNREADABLE)
def test_what_cannot_be_read_is_told_with_its_path(data: Any, says: str):
    with pytest.raises(SnapshotError) as caught:
        read(data)
    assert str(caught.value).startswith(says)


def test_the_validators_of_attrs_are_asked():
    with pytest.raises(SnapshotError, match="cannot be read: ValueError"):
        read({"$type": "Checked", "fields": {"n": -1}})
    with pytest.raises(SnapshotError, match="cannot be read: 1 validation error"):
        read({"$type": "Model", "fields": {"n": "many"}})


def test_an_upgrade_gives_fields():
    class Odd(Event, version=2):
        @classmethod
        def upgrade(cls, version: int, fields: dict[str, Any]) -> Any:
            return 3

    with pytest.raises(SnapshotError) as caught:
        read({"$type": "Odd", "fields": {}}, KnownTypes("Poll", [Odd]))
    assert str(caught.value) == "the snapshot: Odd.upgrade(1, …) gave 3; return the fields by name"


def test_what_is_nested_deeper_than_it_could_be_written_is_refused():
    data: Any = 1
    for _ in range(10_000):
        data = [data]
    with pytest.raises(SnapshotError, match="this is 100 levels deep, and was not written so"):
        read(data)


def test_an_event_is_where_one_should_be():
    with pytest.raises(SnapshotError, match="this should be an event, and is 3"):
        SnapshotReader(KNOWN, Place([3]).items())
    reader = SnapshotReader(KNOWN, ())
    with pytest.raises(SnapshotError, match="this should be the number of an event, of which there are none"):
        reader.event(Place(0))
    with pytest.raises(SnapshotError, match="this should be a class of events, and is 'Point'"):
        reader.kind(Place("Point"))


# -- which classes are known -----------------------------------------------------------------------------------


def test_what_fields_are_annotated_with_is_known_too():
    class Inner(NamedTuple):
        colour: Colour

    class Whole(Event):
        inners: dict[str, list[Inner] | None]

    Whole.__annotations__["inners"] = dict[str, list[Inner] | None]
    Inner.__annotations__["colour"] = Colour
    known = KnownTypes("Poll", [Whole])
    assert [known.find(name, SnapshotError) for name in ("Inner", "Colour")] == [Inner, Colour]


def test_annotations_that_cannot_be_read_name_nothing():
    class Odd(Event):
        value: Missing  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    assert KnownTypes("Poll", [Odd]).find("Odd", SnapshotError) is Odd


def test_a_uuid_is_a_uuid():
    value = uuid.UUID(int=3)
    assert written(value) == {"$": "UUID", "of": "00000000-0000-0000-0000-000000000003"}
    assert written(decimal.Decimal("1.50")) == {"$": "Decimal", "of": "1.50"}
