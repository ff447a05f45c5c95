"""What `ResourceConfig` hands out, and what is told of a file that does not hold it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import pydantic
import pytest

from stretto import Resource, ResourceConfig, StartEvent, StopEvent, Workflow, step
from stretto.errors import ConfigError
from stretto.resources import ConfigRecipe

pytestmark = pytest.mark.anyio

TOML = """
name = "shop"
debug = true
opened = 2026-11-25
ratio = 3
nothing-else = "-"

[db.main]
host = "localhost"
port = 5432
replicas = [{host = "a", port = 1}, {host = "b", port = 2}]
limits = {reads = 10, writes = 5}
mode = "fast"
pair = [1, "one"]

[db.bad]
host = 3
port = true

[empty]
"""


@attrs.frozen
class Replica:
    host: str
    port: int


@attrs.frozen(kw_only=True)
class Database:
    host: str
    port: int = attrs.field(default=1, validator=attrs.validators.lt(10_000))
    replicas: list[Replica] = attrs.field(factory=list)
    limits: dict[str, int] = attrs.field(factory=dict)
    mode: Literal["fast", "safe"] = "safe"
    pair: tuple[int, str] | None = None
    cache: object = attrs.field(init=False, default=None)


@dataclasses.dataclass
class Server:
    name: str
    debug: bool
    opened: dt.date
    db: dict[str, Any]
    empty: dict[str, str] = dataclasses.field(default_factory=dict)
    ratio: float = 1.0
    port: int | str = 80


class Model:
    """A peer of pydantic's, as far as stretto knows it."""

    def __init__(self, host: str) -> None:
        self.host = host

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> Model:
        if not isinstance(value["host"], str):
            raise ValueError("1 validation error for Model: host")  # noqa: TRY004 - as pydantic does
        return cls(value["host"])


def folder(value: object) -> Path:
    return Path(f"/{value}")


@attrs.frozen
class Converted:
    host: Path = attrs.field(converter=folder)
    port: Any = None


@attrs.frozen
class Odd:
    port: Callable[[], int]


def asks(kind: Any, config: ResourceConfig) -> Workflow[Any]:
    class Asks(Workflow[Any]):
        @step
        async def use(self, ev: StartEvent, it: Any) -> StopEvent[Any]:
            return StopEvent(result=it)

        use.__annotations__["it"] = Annotated[kind, config]

    return Asks()


@pytest.fixture(params=["app.toml", "app.json"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if path.suffix == ".toml":
        path.write_text(TOML, "utf-8")
    else:
        import tomllib

        data = tomllib.loads(TOML)
        del data["opened"]
        path.write_text(json.dumps(data), "utf-8")
    return path


async def test_an_attrs_class_is_filled_with_what_is_in_it(file: Path):
    assert await asks(Database, ResourceConfig(file, "db.main")).run() == Database(
        host="localhost",
        port=5432,
        replicas=[Replica("a", 1), Replica("b", 2)],
        limits={"reads": 10, "writes": 5},
        mode="fast",
        pair=(1, "one"),
    )


async def test_a_dataclass_is_filled_from_the_whole_file(tmp_path: Path):
    path = tmp_path / "app.toml"
    path.write_text(TOML.replace('nothing-else = "-"', "port = 'x'").partition("[db.bad]")[0], "utf-8")
    server = await asks(Server, ResourceConfig(str(path))).run()
    assert (server.name, server.debug, server.opened) == ("shop", True, dt.date(2026, 11, 25))
    assert (server.ratio, type(server.ratio), server.port, server.empty) == (3.0, float, "x", {})
    assert server.db["main"]["port"] == 5432


@pytest.mark.parametrize(
    ("kind", "path", "gives"),
    [
        (str, "name", "shop"),
        (str | None, "name", "shop"),
        (bool, "debug", True),
        (int | bool, "debug", True),
        (object, "ratio", 3),
        (float, "ratio", 3.0),
        (list, "db.main.pair", [1, "one"]),
        (tuple[int | str, ...], "db.main.pair", (1, "one")),
        (dict, "empty", {}),
        (list[Any], "db.main.pair", [1, "one"]),
        (typing.Dict, "db.main.limits", {"reads": 10, "writes": 5}),  # noqa: UP006 - in old programs
        (typing.List, "db.main.pair", [1, "one"]),  # noqa: UP006
        (Any, "db.bad", {"host": 3, "port": True}),
        (Converted, "db.bad", Converted(3, port=True)),  # type: ignore[arg-type]
    ],
)
async def test_anything_that_a_file_can_hold_is_handed_out(file: Path, kind: Any, path: str, gives: object):
    assert await asks(kind, ResourceConfig(file, path)).run() == gives


class Limits(pydantic.BaseModel, extra="forbid"):
    reads: int
    writes: pydantic.PositiveInt = 1


@attrs.frozen
class Holder:
    limits: Limits


async def test_a_pydantic_model_decides_itself_also_within_another_class(tmp_path: Path):
    path = tmp_path / "app.toml"
    path.write_text('[db.limits]\nreads = "10"\n[wrong.limits]\nreads = 1\nwrites = 0\n', "utf-8")
    limits = Limits(reads=10)
    assert await asks(Limits, ResourceConfig(path, "db.limits")).run() == limits
    assert await asks(Holder, ResourceConfig(path, "db")).run() == Holder(limits)
    with pytest.raises(ConfigError, match=r"(?s)wrong\.limits does not make a Limits: .*writes"):
        await asks(Holder, ResourceConfig(path, "wrong")).run()


async def test_null_is_none(tmp_path: Path):
    path = tmp_path / "app.json"
    path.write_text('{"host": "x", "pair": null}', "utf-8")
    assert await asks(Database, ResourceConfig(path)).run() == Database(host="x")


async def test_a_model_makes_itself(file: Path):
    assert (await asks(Model, ResourceConfig(file, "db.main")).run()).host == "localhost"
    with pytest.raises(ConfigError, match=r"db\.bad does not make a Model: 1 validation error") as caught:
        await asks(Model, ResourceConfig(file, "db.bad")).run()
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("kind", "path", "says"),
    [
        (Database, "db.mian", "FILE: db has no 'mian', it has: main, bad; did you mean 'main'?"),
        (Database, "empty.x", "FILE: empty has no 'x', it is empty"),
        (Database, "x", "FILE has no 'x', it has: name, debug, "),
        (Database, "name.x", "FILE: name is 'shop', in which there is no 'x'"),
        (Database, "name", "FILE: name is 'shop', not what Database is made of, a table"),
        (Database, "empty", "FILE: empty has no 'host', which Database needs"),
        (Replica, "db.main", "FILE: db.main has 'replicas', which is no field of Replica"),
        (Database, "db.bad", "FILE: db.bad.host is 3, not str"),
        (Converted, "db.main", "FILE: db.main has 'replicas', which is no field of Converted; did"),
        (Odd, "db", "FILE: db has 'main', which is no field of Odd"),
        (int, "debug", "FILE: debug is True, not int"),
        (float, "debug", "FILE: debug is True, not float"),
        (str, "ratio", "FILE: ratio is 3, not str"),
        (str | None, "ratio", "FILE: ratio is 3, not str"),
        (str | bool, "ratio", "FILE: ratio is 3, not str | bool"),
        (dict[str, int], "db.bad", "FILE: db.bad.port is True, not int"),
        (dict[str, int], "name", "FILE: name is 'shop', not dict[str, int]"),
        (list[str], "db.main.pair", "FILE: db.main.pair.0 is 1, not str"),
        (list, "name", "FILE: name is 'shop', not list"),
        (tuple[int, str, int], "db.main.pair", "FILE: db.main.pair is [1, 'one'], not tuple[int, str, int]"),
        (Literal["slow"], "db.main.mode", "FILE: db.main.mode is 'fast', not typing.Literal['slow']"),
        (
            Callable[[], int],
            "name",
            "FILE: name is to be collections.abc.Callable[[], int], which stretto cannot",
        ),
    ],
)
async def test_an_error_names_file_path_and_field(file: Path, kind: Any, path: str, says: str):
    with pytest.raises(ConfigError) as caught:
        await asks(kind, ResourceConfig(file, path)).run()
    told = str(caught.value).replace(str(file), "FILE")
    assert told.startswith(says.removesuffix("; did")), told


async def test_a_validator_that_refuses_is_told(tmp_path: Path):
    path = tmp_path / "app.json"
    path.write_text('{"host": "x", "port": 99999}', "utf-8")
    with pytest.raises(ConfigError, match=r"app\.json does not make a Database: 'port' must be < 10000"):
        await asks(Database, ResourceConfig(path)).run()


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "{"), ("a.toml", "="), ("a.json", "\udcff"), ("a.toml", "\udcff")]
)
async def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, text: str):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=rf"a\.{path.suffix[1:]} is no {path.suffix[1:].upper()}: "):
        await asks(Any, ResourceConfig(path)).run()


async def test_a_file_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        await asks(Any, ResourceConfig("gone.toml")).run()
    assert str(caught.value) == (
        f"gone.toml cannot be read, No such file or directory; the working directory is {tmp_path}"
    )
    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_a_class_whose_annotations_cannot_be_read_is_told(file: Path):
    @attrs.define
    class Lost:
        host: Nowhere  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(ConfigError, match="Lost is annotated with 'Nowhere', which is not defined"):
        await asks(Lost, ResourceConfig(file, "db.main")).run()


async def test_a_file_is_read_once_for_each_workflow(tmp_path: Path):
    path = tmp_path / "app.json"
    path.write_text('{"a": {"host": "one"}, "b": "two"}', "utf-8")
    flow = asks(Database, ResourceConfig(path, "a"))
    first = await flow.run()
    path.write_text('{"a": {"host": "other"}}', "utf-8")
    async with flow:
        assert await flow.run() is first
    other = await asks(Database, ResourceConfig(path, "a")).run()
    assert other.host == "other"


async def test_two_parts_of_a_file_are_of_one_reading(tmp_path: Path):
    path = tmp_path / "app.json"
    path.write_text('{"a": 1, "b": 2}', "utf-8")
    flow = asks(dict[str, int], ResourceConfig(path))
    first = await flow.run()
    path.unlink()
    configs = flow._stretto_configs
    assert configs is not None
    assert configs.read(ConfigRecipe(config=ResourceConfig(path, "b"), kind=int)) == first["b"]


async def test_a_field_that_the_class_fills_itself_is_none_of_the_file(tmp_path: Path):
    path = tmp_path / "app.json"
    path.write_text('{"host": "x", "cache": 1}', "utf-8")
    with pytest.raises(ConfigError, match="has 'cache', which is no field of Database"):
        await asks(Database, ResourceConfig(path)).run()


async def test_a_file_that_was_wrong_is_read_again(tmp_path: Path):
    path = tmp_path / "app.json"
    flow = asks(Database, ResourceConfig(path))
    with pytest.raises(ConfigError):
        await flow.run()
    path.write_text('{"host": "x"}', "utf-8")
    assert await flow.run() == Database(host="x")


async def test_a_factory_asks_for_one_too(tmp_path: Path):
    path = tmp_path / "app.json"
    path.write_text('{"host": "x"}', "utf-8")

    def connect(settings: Any) -> str:
        return f"connected to {settings.host}"

    connect.__annotations__["settings"] = Annotated[Database, ResourceConfig(path)]

    class Connects(Workflow[str]):
        @step
        async def use(
            self, ev: StartEvent, it: Annotated[str, Resource(connect, scope="workflow")]
        ) -> StopEvent[str]:
            return StopEvent(result=it)

    async with Connects() as flow:
        assert await flow.run() == "connected to x"
