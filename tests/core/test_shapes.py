"""What is known of attrs classes, dataclasses and pydantic models; everything else is opaque."""

from __future__ import annotations

import dataclasses

import attrs
import pydantic
import pytest

from stretto._core.shapes import (
    Argument,
    arguments,
    attributes,
    field_names,
    is_frozen,
    is_model,
    raw,
    replaced,
    set_raw,
)
from tests.core.states import CLASSES, Frozen, FrozenData, FrozenModel, Opaque, WithDict

FROZEN = [Frozen, FrozenData, FrozenModel]


@pytest.mark.parametrize("kind", CLASSES)
def test_fields_are_known_in_order(kind: type):
    assert field_names(kind) == ("items", "by_key", "inner", "total")
    assert list(attributes(kind()) or ()) == ["items", "by_key", "inner", "total"]
    assert not is_frozen(kind)


@pytest.mark.parametrize("kind", [int, dict, Opaque, type, object])
def test_other_classes_are_opaque(kind: type):
    assert field_names(kind) is None


def test_an_object_without_fields_is_opaque():
    assert attributes(Opaque()) is None


def test_an_attribute_beside_the_fields_is_known_too():
    value = WithDict()
    value.extra = 1  # pyright: ignore[reportAttributeAccessIssue]
    assert list(attributes(value) or ()) == ["items", "by_key", "inner", "total", "extra"]


@pytest.mark.parametrize("kind", FROZEN)
def test_a_frozen_object_is_made_anew(kind: type):
    assert is_frozen(kind)
    before = kind(name="a", tags=(1,))
    after = replaced(before, "name", "b")
    assert (before.name, after.name, after.tags, type(after)) == ("a", "b", (1,), kind)


@pytest.mark.parametrize("kind", CLASSES)
def test_any_other_is_copied_and_what_is_beside_the_field_is_shared(kind: type):
    before = kind()
    after = replaced(before, "total", 5)
    assert (before.total, after.total, type(after)) == (0, 5, kind)
    assert after.items is before.items
    assert after.inner is before.inner


def test_a_field_is_replaced_with_its_validator_and_its_converter():
    @attrs.define
    class Checked:
        total: int = attrs.field(default=0, converter=int, validator=attrs.validators.ge(0))

    @attrs.frozen
    class Private:
        _total: int = attrs.field(default=0, converter=int)

    class Strict(pydantic.BaseModel, validate_assignment=True):
        total: int = 0

    assert replaced(Checked(), "total", "5").total == 5
    with pytest.raises(ValueError, match="'total' must be >= 0"):
        replaced(Checked(), "total", -1)
    assert replaced(Private(), "_total", "5") == Private(5)
    assert replaced(Strict(), "total", "5").total == 5
    with pytest.raises(pydantic.ValidationError):
        replaced(Strict(), "total", "much")


@attrs.define
class Made:
    _hidden: int
    total: float = attrs.field(default=0.0, converter=float)
    cache: int = attrs.field(default=0, init=False)


@dataclasses.dataclass
class MadeData:
    hidden: int
    total: float = 0.0
    names: list[str] = dataclasses.field(default_factory=list)
    cache: int = dataclasses.field(default=0, init=False)


class MadeModel(pydantic.BaseModel):
    hidden: int


def test_what_a_class_is_made_of_is_known_with_its_defaults_and_converters():
    assert arguments(Made) == [
        Argument(name="hidden", field="_hidden", needed=True),
        Argument(name="total", field="total", needed=False, converted=True),
    ]
    assert arguments(MadeData) == [
        Argument(name="hidden", field="hidden", needed=True),
        Argument(name="total", field="total", needed=False),
        Argument(name="names", field="names", needed=False),
    ]


@pytest.mark.parametrize("kind", [int, Opaque, MadeModel])
def test_what_any_other_class_is_made_of_is_its_own_business(kind: type):
    assert arguments(kind) is None
    assert is_model(kind) == (kind is MadeModel)


def test_an_object_is_no_model():
    assert not is_model(MadeModel(hidden=1))


def test_a_field_that_holds_nothing_yet_reads_as_the_default():
    @dataclasses.dataclass
    class Late:
        total: int = dataclasses.field(init=False)

    late = Late()
    assert raw(late, "total", "nothing") == "nothing"
    set_raw(late, "total", 3)
    assert raw(late, "total") == 3
