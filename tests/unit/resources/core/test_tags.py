from __future__ import annotations

import pytest

from resources.core.errors import ConfigError
from resources.core.tags import Sensor, SensorCatalog

CATALOG = SensorCatalog(
    [Sensor("b1.steam", "kg/h", "boilers"), Sensor("f1.temp", "Cel", "furnace"), Sensor("b1.p", "bar", "boilers")]
)


def test_catalog_when_built_then_numbered_in_order() -> None:
    assert [CATALOG.key(s.sensor_id) for s in CATALOG.sensors] == [0, 1, 2]
    assert len(CATALOG) == 3


def test_of_source_when_asked_then_only_its_sensors() -> None:
    assert CATALOG.of_source("boilers") == {"b1.steam": 0, "b1.p": 2}
    assert CATALOG.of_source("nobody") == {}


def test_get_when_unknown_then_none_and_key_raises() -> None:
    assert CATALOG.get("nope") is None
    with pytest.raises(KeyError):
        CATALOG.key("nope")


def test_catalog_when_a_sensor_occurs_twice_then_both_sources_are_named() -> None:
    with pytest.raises(ConfigError, match=r"b1.steam is configured twice \(sources boilers and furnace\)"):
        SensorCatalog([Sensor("b1.steam", "kg/h", "boilers"), Sensor("b1.steam", "kg/h", "furnace")])
