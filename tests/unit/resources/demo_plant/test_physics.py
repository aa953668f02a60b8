from __future__ import annotations

import numpy as np
import pytest
from iapws import IAPWS97

from resources.demo_plant import physics
from resources.demo_plant.plant import SENSORS, Plant

WEEK = np.arange(1_795_000_000_000_000, 1_795_000_000_000_000 + 7 * 86_400_000_000, 600_000_000, dtype=np.int64)
EQUIPMENT = ["boiler_1", "boiler_2", "furnace_1", "heat_exchanger_1"]


@pytest.mark.parametrize("equipment", EQUIPMENT)
def test_balance_when_summed_then_energy_in_is_energy_out(equipment: str) -> None:
    balance = Plant(1).balances(WEEK)[equipment]
    assert np.abs(balance.residual).max() < 1e-9
    assert (balance.supplied > 0).all()
    assert all((loss >= 0).all() for loss in balance.losses.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_boiler_when_measured_independently_then_energy_in_is_energy_out(seed: int) -> None:
    """The balance again, with IAPWS-97 itself in place of the tables, and losses from the flue gas's own numbers."""
    boiler = physics.boiler(seed, 1, WEEK[::200])
    for i in range(len(boiler.load)):
        mpa = boiler.steam_bar[i] / 10
        entering = IAPWS97(P=mpa, T=boiler.feedwater_cel[i] + 273.15).h
        useful = boiler.steam_kg_s[i] * (IAPWS97(P=mpa, T=boiler.steam_cel[i] + 273.15).h - entering)
        blown = boiler.blowdown_kg_s[i] * (IAPWS97(P=mpa, x=0).h - entering)
        flue_kg_s = boiler.fuel_kg_s[i] * (1 + 16.2 * 21 / (21 - boiler.flame.o2_percent[i]))
        stack = flue_kg_s * 1.09 * (boiler.flame.flue_cel[i] - boiler.flame.air_cel[i])
        supplied = boiler.fuel_kg_s[i] * 46_500.0
        rest = supplied - useful - blown - stack - boiler.balance.losses["radiation"][i] - 0.002 * supplied
        assert abs(rest) / supplied < 1e-3


@pytest.mark.parametrize("number", [1, 2])
def test_boiler_when_in_operation_then_its_efficiency_is_plausible(number: int) -> None:
    efficiency = physics.boiler(5, number, WEEK).balance.efficiency
    assert efficiency.min() > 0.85
    assert efficiency.max() < 0.93


def test_boiler_efficiency_when_computed_from_the_sensors_then_agrees_with_the_balance() -> None:
    plant = Plant(5)
    measured = dict(
        zip((s.sensor_id for s in SENSORS["boiler_house"]), plant.measure("boiler_house", WEEK).T, strict=True)
    )
    rise = np.array(
        [
            IAPWS97(P=bar / 10, T=cel + 273.15).h - IAPWS97(P=bar / 10, T=feed + 273.15).h
            for bar, cel, feed in zip(
                measured["BLR1.STEAM.PRESS"][:20],
                measured["BLR1.STEAM.TEMP"][:20],
                measured["BLR1.FW.TEMP"][:20],
                strict=True,
            )
        ]
    )
    direct = measured["BLR1.STEAM.FLOW"][:20] / 3.6 * rise / (measured["BLR1.FUEL.FLOW"][:20] / 3_600 * 46_500)
    assert np.abs(direct - plant.balances(WEEK)["boiler_1"].efficiency[:20]).max() < 0.02


def test_exchanger_when_running_then_heat_flows_from_hot_to_cold() -> None:
    exchanger = physics.exchanger(1, WEEK)
    assert (exchanger.hot_out_cel > exchanger.cold_in_cel).all()
    assert (exchanger.cold_out_cel < exchanger.hot_in_cel).all()
    assert (exchanger.hot_out_cel < exchanger.hot_in_cel).all()


def test_plant_when_asked_twice_then_gives_the_same_values_and_others_for_another_seed() -> None:
    for source in SENSORS:
        once, again, other = (Plant(seed).measure(source, WEEK[:5]) for seed in (3, 3, 4))
        assert (once == again).all()
        assert not (once == other).all()


def test_plant_when_asked_for_single_instants_then_gives_the_values_of_the_whole_column() -> None:
    plant = Plant(3)
    column = plant.measure("utility_meters", WEEK[:4])
    single = np.concatenate([plant.measure("utility_meters", WEEK[i : i + 1]) for i in range(4)])
    assert (column == single).all()


def test_sensors_when_counted_then_there_are_200_with_ids_of_their_own() -> None:
    ids = [sensor.sensor_id for sensors in SENSORS.values() for sensor in sensors]
    assert len(ids) == len(set(ids)) == 200


@pytest.mark.parametrize("source", list(SENSORS))
def test_sensors_when_measured_for_a_week_then_stay_well_within_their_limits(source: str) -> None:
    for seed in (1, 2, 42):
        truth = Plant(seed).truth(source, WEEK)
        for column, sensor in enumerate(SENSORS[source]):
            low, high = sensor.tag.limits
            if sensor.tag.noise:
                assert truth[:, column].min() > low + 3.5 * sensor.tag.noise, sensor.sensor_id
                assert truth[:, column].max() < high - 3.5 * sensor.tag.noise, sensor.sensor_id
