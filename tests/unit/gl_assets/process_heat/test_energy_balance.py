from datetime import timedelta

import pandas as pd
import pytest

from gl_assets.checks.table_gates import as_frame
from gl_assets.process_heat.boiler_efficiency import validated
from gl_assets.process_heat.energy import boiler_hours
from gl_assets.process_heat.energy_balance import balance_boilers
from gl_assets.schemas.energy_intensity import EnergyIntensity
from gl_assets.transforms.energy import Day, Sources, consumption_of, intensity_row
from resources.core.configuration.energy import EnergyConfig, EnergyConsumer
from resources.core.errors import ConfigError
from resources.core.physics.steam import steam_enthalpy, water_enthalpy
from resources.integrations import BoilerConfig

BOILER = BoilerConfig(
    fuel_flow="B1/FUEL",
    fuel_heating_value_kj_per_kg=47_000,
    steam_flow="B1/STEAM",
    steam_pressure="B1/P",
    steam_temperature="B1/T",
    feedwater_temperature="B1/FW",
)
HOUR = pd.Timestamp("2026-11-22T10:00", tz="UTC")


def hourly(**changed) -> pd.DataFrame:
    means = {
        "B1/FUEL": (1_000.0, "kg/h"),
        "B1/STEAM": (15.0, "t/h"),
        "B1/P": (40.0, "bar"),
        "B1/T": (400.0, "Cel"),
        "B1/FW": (105.0, "Cel"),
    } | {name.replace("_", "/", 1): value for name, value in changed.items()}
    rows = [(HOUR, sensor, mean, unit, 0.9 if sensor == "B1/P" else 1.0) for sensor, (mean, unit) in means.items()]
    return pd.DataFrame(rows, columns=["hour", "sensor_id", "mean_value", "unit", "good_share"])


# values printed in IAPWS R7-97, tables 5 and 15
@pytest.mark.parametrize(
    ("pressure", "temperature", "enthalpy"),
    [(0.0035, 300, 2549.91145), (0.0035, 700, 3335.68375), (30, 700, 2631.49474)],
)
def test_steam_enthalpy_when_compared_with_the_standard_then_it_agrees(pressure, temperature, enthalpy):
    assert steam_enthalpy(pressure, temperature) == pytest.approx(enthalpy, rel=1e-8)


@pytest.mark.parametrize(
    ("pressure", "temperature", "enthalpy"), [(3, 300, 115.331273), (80, 300, 184.142828), (3, 500, 975.542239)]
)
def test_water_enthalpy_when_compared_with_the_standard_then_it_agrees(pressure, temperature, enthalpy):
    assert water_enthalpy(pressure, temperature) == pytest.approx(enthalpy, rel=1e-8)


def test_balance_when_all_is_measured_then_efficiency_is_steam_over_fuel():
    (row,) = balance_boilers(hourly(), {"boiler_1": BOILER}).to_dict("records")
    # by the printed steam tables: h(40 bar, 400 Cel) = 3214.4, h(40 bar, 105 Cel) = 443.0 kJ/kg
    expected = 15_000 / 3600 * (3214.4 - 443.0)
    assert row["steam_power_kw"] == pytest.approx(expected, rel=1e-3)
    assert row["fuel_power_kw"] == pytest.approx(1_000 / 3600 * 47_000)
    assert row["efficiency"] == pytest.approx(expected / (1_000 / 3600 * 47_000), rel=1e-3)
    assert row["good_share"] == 0.9
    assert row["reason"] is None


def test_balance_when_units_differ_then_the_result_is_the_same():
    same = hourly(B1_FUEL=(1.0, "t/h"), B1_P=(4.0, "MPa"), B1_T=(673.15, "K"))
    assert balance_boilers(same, {"b": BOILER})["efficiency"][0] == pytest.approx(
        balance_boilers(hourly(), {"b": BOILER})["efficiency"][0]
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"B1_FUEL": (float("nan"), "kg/h")}, "no good mean of fuel_flow (B1/FUEL)"),
        ({"B1_FUEL": (0.0, "kg/h")}, "no fuel was burnt"),
        ({"B1_FUEL": (-0.4, "kg/h")}, "the fuel flow (B1/FUEL) is below zero"),
        ({"B1_FUEL": (1.7e308, "kg/h")}, "beyond any number"),
        ({"B1_FUEL": (100.0, "kg/h")}, "is impossible"),
        ({"B1_T": (200.0, "Cel")}, "below saturation"),
        ({"B1_FW": (260.0, "Cel")}, "would boil"),
        ({"B1_P": (0.0, "bar")}, "outside the steam tables"),
        ({"B1_FW": (-5.0, "Cel")}, "outside the steam tables"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_balance_when_it_cannot_be_drawn_then_the_row_says_why(changed, reason):
    (row,) = balance_boilers(hourly(**changed), {"b": BOILER}).to_dict("records")
    assert pd.isna(row["efficiency"])
    assert reason in row["reason"]


def test_balance_when_one_boiler_stands_and_its_fuel_is_below_zero_then_the_hour_of_all_is_valid():
    other = BOILER.model_copy(update={"fuel_flow": "B2/FUEL"})
    flow = {"hour": [HOUR], "sensor_id": ["B2/FUEL"], "mean_value": [-0.4], "unit": ["kg/h"], "good_share": [1.0]}
    found = balance_boilers(pd.concat([hourly(), pd.DataFrame(flow)]), {"b1": BOILER, "b2": other})
    running, standing = validated(found).to_dict("records")
    assert running["efficiency"] > 0
    assert pd.isna(standing["fuel_power_kw"])
    assert "below zero" in standing["reason"]


@pytest.mark.parametrize("below", ["B1/FUEL", "B1/STEAM"])
def test_hours_of_a_boiler_when_fuel_or_steam_is_below_zero_then_they_do_not_count_and_the_day_is_valid(below: str):
    rows = hourly().to_dict("records")
    rows += [
        {**row, "hour": HOUR + pd.Timedelta("1h"), "mean_value": -0.4} for row in rows if row["sensor_id"] == below
    ]
    rows += [{**row, "hour": HOUR + pd.Timedelta("1h")} for row in rows[:2] if row["sensor_id"] != below]
    only_below = [row for row in rows if row["hour"] > HOUR]
    days = [intensity_of(rows), intensity_of(only_below)]
    frame = as_frame([{**row, "day": HOUR.date() + timedelta(days=n)} for n, row in enumerate(days)], EnergyIntensity)
    EnergyIntensity.validate(frame, lazy=True)
    assert (days[0]["measured_hours"], days[0]["reason"]) == (1, None)
    assert days[0]["measured_product_t"] == pytest.approx(15)
    assert days[1]["reason"].endswith("no hour of its boiler has good means (1 of them below zero)")


def intensity_of(rows: list[dict]) -> dict:
    sources = Sources(hours={"b": boiler_hours(rows, BOILER)})
    day = Day(HOUR.floor("D").to_pydatetime(), HOUR.ceil("D").to_pydatetime())
    return intensity_row(consumption_of("b", EnergyConsumer(boiler="b"), EnergyConfig(), sources, day))


def test_balance_when_steam_is_saturated_then_it_counts_as_dry():
    (row,) = balance_boilers(hourly(B1_T=(250.0, "Cel")), {"b": BOILER}).to_dict("records")
    assert row["steam_power_kw"] == pytest.approx(15_000 / 3600 * (2800.8 - 443.0), rel=1e-3)


def test_steam_enthalpy_when_above_the_critical_pressure_then_nothing_is_saturated():
    assert steam_enthalpy(25.0, 900.0) == pytest.approx(3500, rel=0.05)
    assert water_enthalpy(25.0, 400.0) == pytest.approx(548, rel=0.02)


def test_balance_when_a_boiler_has_no_rows_then_there_is_none():
    found = balance_boilers(hourly().iloc[:0], {"b": BOILER})
    assert found.empty
    assert list(found.columns)[:3] == ["boiler", "hour", "efficiency"]


def test_balance_when_a_unit_measures_something_else_then_it_is_refused():
    with pytest.raises(ConfigError, match="cannot convert"):
        balance_boilers(hourly(B1_T=(400.0, "bar")), {"b": BOILER})
