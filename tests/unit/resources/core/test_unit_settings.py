from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.core.configuration.settings import TagConfig
from resources.core.configuration.unit_settings import UnitsConfig
from resources.integrations import Integrations

CANONICAL = {"temperature": "°C", "gauge_pressure": "bar", "gas_flow": "Nm3/h", "mass_flow": "kg/s"}


@pytest.mark.parametrize(
    ("tag", "unit"),
    [
        ({"unit": "degF"}, "Cel"),
        ({"unit": "psig"}, "bar"),
        ({"unit": "SCFM"}, "m3{normal}/h"),
        ({"unit": "lb/hr", "canonical_unit": "kg/h"}, "kg/h"),
        ({"unit": "bar"}, None),
        ({"unit": "m3/h"}, None),
        ({"unit": "m3/h2"}, None),
        ({"data": "text"}, None),
    ],
)
def test_canonical_unit_when_the_tag_names_none_then_that_of_its_quantity(
    tag: dict[str, Any], unit: str | None
) -> None:
    config = UnitsConfig(canonical=CANONICAL)
    assert config.with_canonical_unit(TagConfig.model_validate({"sensor_id": "s", **tag})).canonical_unit == unit


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"canonical": {"speedd": "m/s"}}, "unknown quantity 'speedd': write one of temperature"),
        ({"canonical": {"mass_flow": "kg"}}, "canonical.mass_flow: cannot convert kg/s"),
        ({"canonical": {"gas_flow": "m3/h"}}, "the state of one gas volume is not given"),
        ({"atmosphere_kpa": 1013.25}, "less than or equal to 110"),
    ],
)
def test_units_when_impossible_then_refused(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UnitsConfig.model_validate(stated)


def test_configuration_when_units_are_stated_then_every_tag_has_its_canonical_unit() -> None:
    config = Integrations.model_validate(
        {
            "site": "plant",
            "start": "2026-11-01T00:00:00Z",
            "units": {"canonical": CANONICAL, "atmosphere_kpa": 90},
            "sources": {
                "plc": {
                    "kind": "modbus",
                    "host": "localhost",
                    "tags": [
                        {"sensor_id": "p", "unit": "psig", "address": 0},
                        {"sensor_id": "l", "unit": "%", "address": 2},
                    ],
                }
            },
        }
    )
    assert {name: (tag.unit, tag.canonical_unit) for name, tag in config.tags().items()} == {
        "p": ("[psi]{gauge}", "bar"),
        "l": ("%", None),
    }
    assert config.calibration_book.atmosphere_kpa == 90
