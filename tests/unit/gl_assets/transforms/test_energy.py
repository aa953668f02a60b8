from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gl_assets.transforms.energy import Day, Sources, consumption_of, cost_rows, intensity_row, share_within
from resources.core.configuration.energy import EnergyConfig, EnergyConsumer

START = datetime(2026, 11, 21, tzinfo=UTC)
DAY = Day(START, START + timedelta(days=1))
CONFIG = EnergyConfig.model_validate(
    {"types": {"gas": {"price_per_kwh": 0.05, "kwh_per_m3": 10, "kwh_per_kg": 13}, "power": {}}}
)
BOILER = EnergyConsumer(locations=("b1",), product_energy_type="steam", boiler="b1", fuel="gas")
FURNACE = EnergyConsumer(locations=("f1",), work_centers=("FUR",))


def booked(kind: str, value: float, unit: str, location: str = "b1") -> dict:
    return {"location_code": location, "energy_type": kind, "consumption_value": value, "consumption_unit": unit}


def order(quantity: float, unit: str, began: float, ended: float) -> dict:
    hours = [START + timedelta(hours=at) for at in (began, ended)]
    return {"work_center": "FUR", "quantity": quantity, "unit": unit, "began": hours[0], "ended": hours[1]}


def hour(fuel: float | None, steam: float | None) -> dict:
    return {"fuel_kwh": fuel, "steam_t": steam, "good_share": 0.8}


def row(consumer: EnergyConsumer, sources: Sources) -> dict:
    return intensity_row(consumption_of("x", consumer, CONFIG, sources, DAY))


def test_intensity_when_energy_and_product_are_booked_then_it_is_theirs():
    sources = Sources([booked("gas", 80, "m3"), booked("power", 200, "kW.h"), booked("steam", 500, "kg")])
    found = row(BOILER, sources)
    assert (found["basis"], found["energy_kwh"], found["product_t"]) == ("booked", 1000, 0.5)
    assert found["intensity_kwh_per_t"] == 2000
    assert found["reason"] is None


def test_intensity_when_masses_are_booked_then_the_heating_value_of_a_kilogram_counts():
    found = row(BOILER, Sources([booked("gas", 1, "t"), booked("steam", 13, "t")]))
    assert found["intensity_kwh_per_t"] == 1000


@pytest.mark.parametrize(
    ("unit", "cubic_metres"),
    [("m3", 80), ("m3{normal}", 80), ("m3{standard}", 80), ("10*3.m3{normal}", 0.08), ("[cft_i]{standard}", 2825.17)],
)
def test_intensity_when_a_gas_volume_is_booked_then_its_cubic_metre_counts_as_it_is(unit: str, cubic_metres: float):
    found = row(BOILER, Sources([booked("gas", cubic_metres, unit), booked("steam", 1, "t")]))
    assert (found["basis"], found["reason"]) == ("booked", None)
    assert found["intensity_kwh_per_t"] == pytest.approx(800, rel=1e-5)


def test_intensity_when_nothing_is_booked_then_it_is_measured_from_the_hours_that_are_known():
    hours = {"b1": [hour(700, 1.0), hour(None, 1.0), hour(700, None), hour(900, 1.0)]}
    found = row(BOILER, Sources(hours=hours))
    assert (found["basis"], found["intensity_kwh_per_t"], found["measured_hours"]) == ("measured", 800, 2)
    assert found["good_share"] == pytest.approx(0.8)


def test_intensity_when_an_order_lies_half_in_the_day_then_half_of_it_counts():
    sources = Sources([booked("gas", 10, "m3", "f1")], [order(4, "t", -2, 2), order(1, "t", 5, 6)])
    assert row(FURNACE, sources)["product_t"] == pytest.approx(3)


@pytest.mark.parametrize(
    ("consumer", "sources", "says"),
    [
        (BOILER, Sources(), "no energy is booked"),
        (BOILER, Sources([booked("gas", 1, "m3")]), "nothing it made is booked"),
        (FURNACE, Sources([booked("power", 1, "m3", "f1")]), r"energy.types.power.kwh_per_m3 is not configured"),
        (
            FURNACE,
            Sources([booked("power", 1, "m3{normal}", "f1")]),
            r"energy.types.power.kwh_per_m3 is not configured",
        ),
        (FURNACE, Sources([booked("gas", 1, "{box}", "f1")]), "neither energy nor a volume nor a mass"),
        (FURNACE, Sources([booked("gas", 1, "Cel", "f1")]), "neither energy nor a volume nor a mass"),
        (FURNACE, Sources([booked("gas", 1, "m3", "f1")], [order(3, "{box}", 0, 1)]), "orders in {box} have no mass"),
        (BOILER, Sources([booked("gas", 1, "m3"), booked("steam", 0, "t")]), "nothing it made"),
    ],
)
def test_intensity_when_it_cannot_be_told_then_the_row_says_why(consumer: EnergyConsumer, sources: Sources, says: str):
    found = row(consumer, sources)
    assert found["intensity_kwh_per_t"] is None
    assert found["basis"] is None
    assert says in found["reason"]


def test_cost_when_a_price_is_missing_then_the_row_says_which():
    sources = Sources([booked("gas", 80, "m3"), booked("power", 200, "kW.h"), booked("steam", 2, "t")])
    gas, power = cost_rows(consumption_of("x", BOILER, CONFIG, sources, DAY), CONFIG)
    assert (gas["cost"], gas["cost_per_t"], gas["currency"], gas["reason"]) == (pytest.approx(40), 20, "EUR", None)
    assert (power["cost"], power["currency"]) == (None, None)
    assert power["reason"] == "energy.types.power.price_per_kwh is not configured"


@given(began=st.floats(-48, 48), length=st.floats(0, 96))
def test_share_when_of_any_time_then_it_lies_between_0_and_1_and_the_days_share_adds_up(began: float, length: float):
    since, until = START + timedelta(hours=began), START + timedelta(hours=began + length)
    shares = [
        share_within(since, until, Day(START + timedelta(days=n), START + timedelta(days=n + 1))) for n in range(-3, 8)
    ]
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1)
