import pytest

from gl_assets.checks.known import known_gates, refuse_unknown_gates
from resources.core.errors import ConfigError
from resources.integrations import Integrations, load_integrations
from tests.integration.dagster_plant import configuration


def with_gates(gates: dict) -> Integrations:
    plain = configuration().model_dump()
    plain["quality"]["gates"] = gates
    return Integrations.model_validate(plain)


def test_known_gates_when_the_example_is_asked_then_every_table_with_rows_has_all_six_kinds():
    known = known_gates(load_integrations())
    assert known.keys() >= {
        "scada/sensor_readings",
        "scada/hourly_readings",
        "scada/anomalies",
        "process_heat/boiler_efficiency",
        "process_heat/energy_intensity",
        "process_heat/energy_cost",
        "agents/registry",
        "agents/command_results",
        "erp/energy_consumption",
    }
    for table, names in known.items():
        if not table.startswith("erp/"):
            assert len(names) >= 6, table
            assert any("fresh" in name for name in names), table


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ({"scada/hourly_reading": {}}, "the nearest is scada/hourly_readings"),
        ({"scada/sensor_readings": {"every_gap_filled": {"effect": "off"}}}, "the nearest is every_gap_is_filled"),
        ({"all": {"zzz": {"effect": "off"}}}, "neither a kind of gates"),
        ({"x/y": {}}, "there are|the nearest is"),
    ],
)
def test_refuse_when_a_name_is_unknown_then_the_nearest_is_named(gates: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        refuse_unknown_gates(with_gates(gates))


def test_refuse_when_names_are_known_even_of_what_is_off_then_nothing_is_refused():
    refuse_unknown_gates(configuration())
    gates = {
        "all": {"score": {"effect": "off"}},
        "scada/sensor_readings": {"every_gap_is_filled": {"effect": "off"}, "range": {"most": 3}},
    }
    refuse_unknown_gates(with_gates(gates))
