"""The report comes in spite of a station that fails, and the station is never asked by more than it can take."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from examples import flaky_weather
from examples.flaky_weather import DEGREES, PLAN, Report, Station, open_station
from stretto import Resource

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("real_time")]


async def test_each_city_takes_as_many_attempts_as_the_station_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(PLAN, "Rome", ())  # and the tests do not wait for an answer that never comes
    monkeypatch.setitem(PLAN, "Bern", ("out of order",))
    await flaky_weather.main()
    *cities, last = capsys.readouterr().out.splitlines()
    assert cities == [
        "Atlantis: no such city, attempt 1",
        "Bern: 9 degrees, attempt 2",
        "Doha: 31 degrees, attempt 2",
        "Kyiv: 7 degrees, attempt 4",
        "Lima: 19 degrees, attempt 2",
        "Oslo: 4 degrees, attempt 1",
        "Rome: 15 degrees, attempt 1",
    ]
    assert re.fullmatch(r"in \d\.\d s", last)


async def test_the_station_is_asked_once_for_each_failure_and_never_by_more_than_three(
    monkeypatch: pytest.MonkeyPatch,
):
    for city in ("Rome", "Bern"):
        monkeypatch.setitem(PLAN, city, ("hang up",))
    stations: list[Station] = []

    @asynccontextmanager
    async def watched() -> AsyncGenerator[Station]:
        async with open_station() as station:
            stations.append(station)
            yield station

    with Resource.override(open_station, by=watched):
        report = await Report().run()
    (station,) = stations
    assert {city: weather.degrees for city, weather in report.items()} == {**DEGREES, "Atlantis": None}
    assert station.asked == {city: len(plan) + 1 for city, plan in PLAN.items()}
    assert station.turned_away == 0
