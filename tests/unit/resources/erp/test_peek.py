"""A look at what changed: which days landing it is asked for by, and when the cursor moves without; a real database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import Any

import orjson
import psycopg
import pytest

from resources.embedded.postgres import EmbeddedPostgres
from resources.erp.connector import Part
from resources.erp.cursors import cursor_of
from resources.erp.landed.changes import land_changes
from resources.erp.landed.landing import Landing, land_day
from resources.erp.pulling.peek import ChangeWatch, Days, Peek
from resources.erp.records import RecordPage
from resources.erp.sap.config import SapConfig
from tests.conftest import fresh_database
from tests.unit.resources.transport.test_parts import settings

FIRST, DAY, LAST = date(2026, 11, 1), date(2026, 11, 18), date(2026, 11, 21)
FUTURE, LONG_AGO = date(2026, 12, 1), date(1900, 1, 1)
NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
ORDERS = {"service": "/s", "resource": "R", "key": "id", "business_date": "day", "changed": "at", "inherit": False}
CONFIG = SapConfig.model_validate(settings(datasets={"orders": ORDERS}, time_zone="Europe/Berlin"))
LONG = 600.0


class System:
    """The peer: a system whose changes are the pages it was given, and whose clock stands."""

    system = "s"

    def __init__(self, pages: Sequence[Sequence[dict[str, Any]]]) -> None:
        self._pages = pages

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        for page in self._pages:
            yield RecordPage([orjson.dumps(record) for record in page])

    def server_time(self) -> datetime:
        return NOW

    def close(self) -> None: ...


class Stored:
    """The platform's database, with records landed in it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return psycopg.connect(self.url)

    def pull(self, day: date, *records: dict[str, Any]) -> None:
        with self.connect() as connection:
            land_day(connection, self._landing(day), [page_of(records)], now=NOW)

    def land(self, peek: Peek, *records: dict[str, Any]) -> None:
        with self.connect() as connection:
            pages = [page_of(records)]
            land_changes(connection, self._landing(None), pages, read=peek.read, now=NOW, first_day=FIRST)

    def look(self, *pages: Sequence[dict[str, Any]], seconds: float = LONG) -> Peek:
        return ChangeWatch(self.connect, System(pages), CONFIG, "orders", Days(FIRST, LAST)).peek(seconds)

    @property
    def position(self) -> datetime | None:
        with self.connect() as connection:
            held = cursor_of(connection, "s", "orders")
        return held.position if held else None

    def _landing(self, day: date | None) -> Landing:
        return Landing("s", "orders", day, CONFIG.datasets["orders"], "run", CONFIG.day_of("orders"))


def page_of(records: Sequence[dict[str, Any]]) -> RecordPage:
    return RecordPage([orjson.dumps(record) for record in records])


def order(key: str, day: object, **more: Any) -> dict[str, Any]:
    return {"id": key, "day": str(day) if isinstance(day, date) else day, **more}


@pytest.fixture
def platform(postgres: EmbeddedPostgres) -> Iterator[Stored]:
    for url in fresh_database(postgres):
        yield Stored(url)


def test_changes_when_they_are_on_days_that_count_are_asked_for_by_them(platform: Stored) -> None:
    platform.pull(DAY, order("a", DAY, v=1), order("b", DAY))
    assert platform.look([order("a", DAY, v=2)], [order("b", DAY), order("c", LAST)]).days == (DAY, LAST)
    assert platform.position is None


def test_a_change_when_its_date_has_a_time_is_landed_under_the_day_it_was_pulled_under(platform: Stored) -> None:
    late = f"{DAY}T23:30:00Z"
    platform.pull(DAY, order("a", late, v=1))
    found = platform.look([order("a", late, v=2)])
    assert found.days == (DAY,)
    platform.land(found, order("a", late, v=2))
    with platform.connect() as connection:
        rows = connection.execute("SELECT partition_date FROM erp.landed_records WHERE deleted_at IS NULL").fetchall()
    assert rows == [(DAY,)]


def test_changes_when_none_concerns_what_is_stored_move_the_cursor_at_once(platform: Stored) -> None:
    platform.pull(DAY, order("a", DAY))
    found = platform.look([order("a", DAY), order("b", FUTURE), order("c", LONG_AGO)])
    assert (found.records, found.days) == (3, ())
    assert platform.position == found.read.until


@pytest.mark.parametrize("to", [FUTURE, LONG_AGO, None, "soon", DAY], ids=str)
def test_a_record_when_it_leaves_its_day_is_asked_for_by_that_day_wherever_it_goes(
    platform: Stored, to: object
) -> None:
    platform.pull(DAY, order("a", DAY, v=1))
    moved = order("a", to, v=2)
    found = platform.look([moved])
    assert DAY in found.days
    assert platform.position is None
    platform.land(found, moved)
    assert platform.look([moved]).days == ()


def test_a_record_when_it_is_stored_under_a_later_day_and_leaves_it_is_asked_for(platform: Stored) -> None:
    with_it = platform.look([order("a", FUTURE), order("b", DAY)])
    assert with_it.days == (DAY,)
    platform.land(with_it, order("a", FUTURE), order("b", DAY))
    assert platform.look([order("a", date(2026, 12, 2))]).days == (LAST,)


def test_a_look_when_it_takes_longer_than_it_may_asks_for_the_run_that_lands_the_rest(platform: Stored) -> None:
    pages = [[order("a", FUTURE)], [order("b", DAY)]]
    found = platform.look(*pages, seconds=-1.0)
    assert (found.complete, found.records, found.days) == (False, 1, (LAST,))
    assert platform.position is None
    platform.land(found, *pages[0], *pages[1])
    assert platform.position == found.read.until


def test_a_record_when_of_no_day_is_asked_for_until_it_is_rejected_as_it_is(platform: Stored) -> None:
    undated = order("a", None, v=1)
    found = platform.look([undated])
    assert found.days == (LAST,)
    platform.land(found, undated)
    assert platform.look([undated]).days == ()
    assert platform.look([order("a", None, v=2)]).days == (LAST,)
