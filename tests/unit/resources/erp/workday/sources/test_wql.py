"""WQL as it is written, and REST beside it: quoted names and values, pages by offset."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from resources.core.errors import ConfigError, ProtocolError
from resources.erp.connector import Changed, Day, Part, Whole
from resources.erp.workday.sources.pages import Pull
from resources.erp.workday.sources.wql import query_of
from tests.unit.resources.erp.workday.pulling import pull
from tests.unit.resources.erp.workday.support import DAY, WorkdayServer

COST_CENTERS = (
    "SELECT costCenterID, lastUpdated, costCenterName, managerID, availabilityDate, inactiveDate, costCenterHierarchy "
    "FROM costCenters"
)
REST = {
    "table": "cost_centers",
    "protocol": "rest",
    "service": "common/v1",
    "resource": "costCenters",
    "key": "costCenterID",
    "fields": {"cost_center": "costCenterID", "name": "costCenterName"},
}


def written(workday: WorkdayServer, part: Part, **changes: Any) -> str:
    config = workday.config(datasets={"cost_centers": changes, "financial_transactions": {"protocol": "wql"}})
    dataset = "financial_transactions" if isinstance(part, Day) else "cost_centers"
    return query_of(Pull("wd", dataset, config.datasets[dataset], part))


def test_a_query_when_everything_is_read_names_fields_and_order(workday: WorkdayServer) -> None:
    assert written(workday, Whole()) == f"{COST_CENTERS} ORDER BY costCenterID"


def test_a_query_when_changes_are_read_bounds_the_stamp(workday: WorkdayServer) -> None:
    part = Changed(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, 12, 30, tzinfo=UTC))
    assert written(workday, part) == (
        f"{COST_CENTERS} WHERE lastUpdated >= '2026-11-01T00:00:00Z' AND lastUpdated < '2026-11-02T12:30:00Z' "
        "ORDER BY costCenterID"
    )


def test_a_query_when_a_day_is_read_has_its_date_and_the_conditions_declared(workday: WorkdayServer) -> None:
    query = written(workday, Day(DAY))
    assert " FROM journalLines WHERE journalStatus = 'POSTED' AND accountingDate = '2026-11-18' ORDER BY " in query


def test_a_query_when_prompts_are_declared_has_them_behind_its_source(workday: WorkdayServer) -> None:
    query = written(workday, Whole(), options={"prompts": {"includeInactive": "yes"}})
    assert " FROM costCenters (includeInactive = 'yes') ORDER BY " in query


def test_a_query_when_fields_are_selected_asks_for_those_and_the_key(workday: WorkdayServer) -> None:
    query = written(workday, Whole(), select=["costCenterName"])
    assert query.startswith("SELECT costCenterName, costCenterID FROM")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"where": [{"property": "costCenterName", "value": "x' OR '1' = '1"}]}, "quote"),
        ({"where": [{"property": "a = 'b' OR x", "value": "y"}]}, "is no name of wql"),
        ({"resource": "costCenters WHERE 1 = 1"}, "is no name of wql"),
        ({"key": "costCenterID, fullName"}, "is no name of wql"),
        ({"options": {"prompts": {"p": "a'b"}}}, "quote"),
    ],
    ids=["value", "property", "source", "key", "prompt"],
)
def test_a_declaration_when_it_would_end_a_literal_is_refused(
    workday: WorkdayServer, changes: dict[str, Any], words: str
) -> None:
    config = workday.config(datasets={"cost_centers": changes})
    before = workday.control.requests
    with pytest.raises(ConfigError, match=f"cost_centers as a whole: cannot be written as WQL: .*{words}"):
        pull(config, "cost_centers", Whole())
    assert workday.control.requests == before


def test_a_query_when_it_is_long_goes_by_post(workday: WorkdayServer) -> None:
    where = [{"property": "costCenterName", "operator": "ne", "value": f"No such name {n:040d}"} for n in range(40)]
    found = pull(workday.config(datasets={"cost_centers": {"where": where}}), "cost_centers", Whole())
    assert len(found) == 7
    assert workday.control.seen[-1].startswith('/ccx/api/wql/v1/gl_demo/data?limit=5&offset=5{"query": "SELECT ')


def test_a_query_when_it_is_long_is_repeated_as_a_read(workday: WorkdayServer) -> None:
    where = [{"property": "costCenterName", "operator": "ne", "value": f"No such name {n:040d}"} for n in range(40)]
    workday.control.misbehave("drop", times=2)
    assert len(pull(workday.config(datasets={"cost_centers": {"where": where}}), "cost_centers", Whole())) == 7


def test_a_field_when_the_tenant_lacks_it_is_told_in_workdays_words(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"cost_centers": {"fields": {"name": "title"}}})
    with pytest.raises(ProtocolError, match=r"HTTP 400.*Field title does not exist in data source Cost Centers"):
        pull(config, "cost_centers", Whole())


def test_a_resource_of_rest_when_read_comes_in_pages_of_the_tenants_size(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"centers": REST}, http={"page_size": 500}, largest_pages={"rest": 3})
    workday.control.seen.clear()
    assert len(pull(config, "centers", Whole())) == 7
    assert list(workday.control.seen) == [
        f"/ccx/api/common/v1/gl_demo/costCenters?limit=3&offset={offset}" for offset in (0, 3, 6)
    ]


def test_a_resource_of_rest_when_it_has_parameters_sends_them(workday: WorkdayServer) -> None:
    declared = {
        **REST,
        "options": {"always": {"search": "a b"}, "day": {"on": "{day}"}},
        "business_date": "lastUpdated",
    }
    config = workday.config(datasets={"centers": declared})
    with pytest.raises(ProtocolError, match="what asks for the day is ignored"):
        pull(config, "centers", Day(DAY))
    assert "costCenters?search=a b&on=2026-11-18&limit=5&offset=0" in workday.control.seen[-1].replace("+", " ")


def test_a_page_larger_than_the_tenant_gives_when_asked_for_is_told(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"centers": REST}, http={"page_size": 500}, largest_pages={"rest": 500})
    with pytest.raises(ProtocolError, match="invalid parameter limit: at most 100"):
        pull(config, "centers", Whole())
