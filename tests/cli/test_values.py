"""How a text or a piece of JSON becomes a value of a field's type."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import enum
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NewType

import attrs
import pytest
from hypothesis import given, strategies as st

from stretto.cli.values import UnfitError, from_json, from_text, said


class Level(enum.Enum):
    LOW = "low"
    HIGH = 3


@attrs.frozen
class Item:
    sku: str
    sizes: tuple[int, ...] = ()
    level: Level = Level.LOW


@dataclass
class Box:
    items: list[Item]


@attrs.frozen
class Small:
    number: int = attrs.field(validator=attrs.validators.lt(10))


Number = NewType("Number", int)

READ = [
    ("3", int, 3),
    ("3", float, 3.0),
    ("3", str, "3"),
    ("3", int | str, 3),
    ("x", int | str, "x"),
    ("null", int | None, None),
    ("null", str, "null"),
    ("null", str | None, None),
    ("yes", bool, True),
    ("OFF", bool, False),
    ("tea", Literal["tea", 3], "tea"),
    ("3", Literal["tea", 3], 3),
    ("HIGH", Level, Level.HIGH),
    ("3", Level, Level.HIGH),
    ("low", Level, Level.LOW),
    ("tea/shop", Path, Path("tea/shop")),
    ("2026-01-02", dt.date, dt.date(2026, 1, 2)),
    ("2026-01-02T03:04+00:00", dt.datetime, dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)),
    ("1.50", decimal.Decimal, decimal.Decimal("1.50")),
    ("12345678123456781234567812345678", uuid.UUID, uuid.UUID(int=0x12345678123456781234567812345678)),
    ("é", bytes, "é".encode()),
    ("3", Annotated[int, "cents"], 3),
    ("3", Number, 3),
    ("[1, 2]", list[int], [1, 2]),
    ("[1, 2]", tuple[int, int], (1, 2)),
    ("[1, 2]", tuple[int, ...], (1, 2)),
    ("[1, 1]", set[int], {1}),
    ("[1]", Sequence[float], [1.0]),
    ("[1]", Iterable[int], [1]),
    ("[1]", list, [1]),
    ('{"a": "1.5"}', dict[str, decimal.Decimal], {"a": decimal.Decimal("1.5")}),
    ('{"a": 1}', Mapping[str, int], {"a": 1}),
    ('{"sku": "a", "sizes": [1], "level": "HIGH"}', Item, Item("a", (1,), Level.HIGH)),
    ('{"items": [{"sku": "a"}]}', Box, Box([Item("a")])),
    ("[1, null]", Any, [1, None]),
    ("plain words", object, "plain words"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "hint", "value"), READ)
def test_a_text_is_read_by_the_type_of_its_field(text: str, hint: Any, value: object):
    read = from_text(text, hint)
    assert read == value
    assert type(read) is type(value)


UNFIT = [
    ("x", int, "'x' is not int"),
    ("1.5", int, "1.5 is not int"),
    ("true", int, "True is not int"),
    ("maybe", bool, "'maybe' is not bool"),
    ("3", bool, "3 is not bool"),
    ("x", int | None, "'x' is not int or null"),
    ("milk", Literal["tea", 3], "'milk' is not 'tea' or 3"),
    ("MID", Level, "'MID' is not 'LOW' or 'HIGH'"),
    ("soon", dt.date, "'soon' is not date"),
    ("much", decimal.Decimal, "'much' is not Decimal"),
    ("[1]", tuple[int, int], "[1] has 1 values, and tuple[int, int] has 2"),
    ('["a"]', list[int], "'a' is not int"),
    ("3", list[int], "3 is not list[int]"),
    ('{"sku": 3}', Item, "in 'sku': 3 is not str"),
    ('{"items": [{"sku": "a", "sizes": ["b"]}]}', Box, "in 'items': in 'sizes': 'b' is not int"),
    ('{"number": 11}', Small, "'number' must be < 10: 11"),
    ("{}", complex, "{} is not complex"),
]


@pytest.mark.parametrize(("text", "hint", "says"), UNFIT)
def test_a_text_that_does_not_fit_is_told_with_what_would(text: str, hint: Any, says: str):
    with pytest.raises(UnfitError) as caught:
        from_text(text, hint)
    assert str(caught.value) == says


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_json_comes_through_a_bare_field_as_it_is(value: Any):
    assert from_text(json.dumps(value), Any) == value == from_json(value, Any)


@given(st.text(), st.sampled_from([hint for _, hint, _ in READ]))
def test_any_text_gives_a_value_or_an_error_that_says_the_type(text: str, hint: Any):
    with contextlib.suppress(UnfitError):
        from_text(text, hint)
    assert said(hint)
