"""Drift of a schema: what changed in records, what each contract makes of it, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from gl_assets.erp.judging.drift import Contract, Drift, drift, is_taken_over, passes
from resources.embedded.postgres import EmbeddedPostgres
from resources.erp.auditing.observed import Property, found_properties, known_properties, remember_properties
from tests.conftest import fresh_database

TEXT, NUMBER = frozenset({"string"}), frozenset({"number"})
KNOWN = {
    "Key": Property(TEXT, True),
    "Amount": Property(NUMBER, True),
    "Note": Property(TEXT, False),
    "Empty": Property(frozenset(), True),
}
NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = date(2026, 11, 20)


def found(**changes: Property | None) -> dict[str, Property]:
    return {name: held for name, held in {**KNOWN, **changes}.items() if held is not None}


@pytest.mark.parametrize(
    ("now", "records", "expected"),
    [
        (found(), 100, Drift()),
        (found(New=Property(TEXT, True)), 1, Drift(new=("New",))),
        (found(Amount=None), 100, Drift(missing=("Amount",))),
        # of few records it cannot be told
        (found(Amount=None), 19, Drift()),
        # it was not always there, or nobody reads it
        (found(Note=None), 100, Drift()),
        (found(Empty=None), 100, Drift()),
        (found(Amount=Property(TEXT, True)), 1, Drift(retyped=("Amount: string, was number",))),
        (found(Amount=Property(TEXT | NUMBER, True)), 1, Drift(retyped=("Amount: string, was number",))),
        # null says nothing of a type
        (found(Amount=Property(frozenset(), True)), 1, Drift()),
        (found(Empty=Property(TEXT, True)), 1, Drift()),
        ({}, 0, Drift()),
    ],
)  # fmt: skip
def test_records_when_their_properties_change_are_said_to(
    now: dict[str, Property], records: int, expected: Drift
) -> None:
    assert drift(KNOWN, now, records, ("Key", "Amount", "Note")) == expected


def test_a_dataset_when_seen_for_the_first_time_has_not_changed() -> None:
    assert not drift({}, KNOWN, 100, ("Key",))


@pytest.mark.parametrize(
    ("contract", "passed", "taken_over"), [("evolve", True, True), ("warn", False, True), ("freeze", False, False)]
)
def test_a_contract_when_something_changed_decides(contract: Contract, passed: bool, taken_over: bool) -> None:
    changed = Drift(new=("New",))
    assert (passes(changed, contract), is_taken_over(changed, contract)) == (passed, taken_over)
    assert (passes(Drift(), contract), is_taken_over(Drift(), contract)) == (True, True)


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url) as opened:
        yield opened
        opened.rollback()


def land(
    connection: psycopg.Connection[Any], *raws: dict[str, Any], day: date | None = DAY, deleted: bool = False
) -> None:
    for number, raw in enumerate(raws):
        connection.execute(
            "INSERT INTO erp.landed_records VALUES ('s', 'd', %s, %s, %s, 'h', %s, %s, 'run', %s)",
            (day, f"k{number}", Jsonb(raw), NOW, NOW, NOW if deleted else None),
        )


def test_properties_when_found_have_their_types_and_those_of_objects_in_them(
    connection: psycopg.Connection[Any],
) -> None:
    land(
        connection,
        {"A": 1, "B": None, "@odata.etag": "x", "parent": {"C": "t", "@x": 1}, "a.b": []},
        {"A": "x", "parent": {}},
    )
    land(connection, {"Gone": 1}, day=date(2026, 11, 21), deleted=True)
    records, properties = found_properties(connection, "s", "d", [DAY])
    assert records == 2
    assert properties == {
        "A": Property(frozenset({"number", "string"}), True),
        "B": Property(frozenset(), False),
        "parent": Property(frozenset({"object"}), True),
        "parent.C": Property(TEXT, False),
        "a\\.b": Property(frozenset({"array"}), False),
    }
    assert found_properties(connection, "s", "d", None) == (0, {})


def test_properties_when_remembered_add_up(connection: psycopg.Connection[Any]) -> None:
    assert known_properties(connection, "s", "d") == {}
    remember_properties(connection, "s", "d", KNOWN, now=NOW)
    assert known_properties(connection, "s", "d") == KNOWN
    later = {"Amount": Property(TEXT, True), "Empty": Property(frozenset(), False), "New": Property(NUMBER, True)}
    remember_properties(connection, "s", "d", later, now=NOW)
    assert known_properties(connection, "s", "d") == {
        "Key": Property(TEXT, False),
        "Amount": Property(TEXT | NUMBER, True),
        "Note": Property(TEXT, False),
        "Empty": Property(frozenset(), False),
        "New": Property(NUMBER, True),
    }
    assert known_properties(connection, "s", "other") == {}
