"""On which day a record lies: the same for the pull of a day, for changes as they are landed, and for a look at them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from resources.erp.config import SystemConfig
from resources.erp.dynamics.asked import day_bounds
from resources.erp.dynamics.config import DynamicsConfig
from resources.erp.oracle.config import OracleConfig
from resources.erp.sap.config import SapConfig
from resources.erp.workday.config import WorkdayConfig
from tests.unit.resources.transport.test_parts import settings

DAY = date(2026, 11, 22)
ORDERS = {"resource": "R", "service": "/s", "key": "id", "business_date": "day", "inherit": False}


def config(kind: type[SystemConfig], zone: str, **options: Any) -> SystemConfig:
    name = kind.__name__.removesuffix("Config").lower()
    block = settings(
        kind=name, time_zone=zone, datasets={"orders": {**ORDERS, "options": options}}, oauth={"scope": "s"}
    )
    return kind.model_validate(block | ({"tenant": "t"} if kind is WorkdayConfig else {}))


@pytest.mark.parametrize(
    ("kind", "zone", "options", "sent"),
    [
        (DynamicsConfig, "America/Chicago", {}, "2026-11-22T00:00:00Z"),
        (DynamicsConfig, "Pacific/Auckland", {}, "2026-11-22T12:00:00Z"),
        (DynamicsConfig, "Pacific/Auckland", {"business_date": "noon"}, "2026-11-22T12:00:00Z"),
        (DynamicsConfig, "Pacific/Auckland", {"business_date": "instant"}, "2026-11-21T12:00:00Z"),
        (SapConfig, "America/Chicago", {}, "2026-11-22T00:00:00Z"),
        (SapConfig, "Europe/Berlin", {}, "2026-11-22T23:30:00Z"),
        (SapConfig, "Europe/Berlin", {}, "/Date(1795305600000+0000)/"),
        (SapConfig, "Europe/Berlin", {"business_date_as": "instant"}, "2026-11-21T23:30:00Z"),
        (SapConfig, "Pacific/Auckland", {"business_date_as": "instant"}, "/Date(1795305600000)/"),
        (OracleConfig, "Europe/Berlin", {"business_date_type": "instant"}, "2026-11-21T23:30:00+00:00"),
        (WorkdayConfig, "Europe/Berlin", {}, "2026-11-22-08:00"),
        (WorkdayConfig, "Europe/Berlin", {}, "2026-11-22T21:00:00.000-08:00"),
    ],
)
def test_a_date_when_told_by_its_configuration_is_of_the_day_that_the_pull_finds_it_on(
    kind: type[SystemConfig], zone: str, options: dict[str, Any], sent: str
) -> None:
    assert config(kind, zone, **options).day_of("orders")(sent) == DAY


@pytest.mark.parametrize("zone", ["America/Chicago", "UTC", "Pacific/Auckland"])
@pytest.mark.parametrize("meant", ["date", "instant"])
@pytest.mark.parametrize("sent", ["2026-11-22T00:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T23:59:59Z"])
def test_a_dynamics_date_when_told_lies_within_the_bounds_that_its_day_is_asked_for_by(
    zone: str, meant: str, sent: str
) -> None:
    found = config(DynamicsConfig, zone, business_date=meant)
    assert isinstance(found, DynamicsConfig)
    day = found.day_of("orders")(sent)
    assert day is not None
    start, end = day_bounds(day, found, found.options_of("orders"))
    assert start <= datetime.fromisoformat(sent) < end
