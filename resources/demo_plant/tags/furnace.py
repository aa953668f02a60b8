"""The sensors of the reheating furnace, read from a PLC by plain Modbus TCP: scaled integers, floats and coils."""

from __future__ import annotations

import numpy as np

from resources.demo_plant.physics import AIR_PER_FUEL, Furnace
from resources.demo_plant.tags.tag import Tag, Wave

_ZONES = ((1, "preheating", 880.0), (2, "heating", 1_120.0), (3, "heating", 1_215.0), (4, "soaking", 1_205.0))


def _on(f: Furnace, _: Wave) -> np.ndarray:
    return np.ones(len(f.fuel_kg_s))


def _zone(number: int, name: str, cel: float) -> tuple[Tag[Furnace], ...]:
    zone = f"zone {number} ({name})"
    share = (0.16, 0.34, 0.32, 0.18)[number - 1]
    return (
        Tag(
            f"Z{number}.TEMP",
            "Cel",
            f"Gas temperature, {zone}",
            (0, 1_400),
            1.2,
            lambda f, w: w(f"z{number}", cel, 12.0),
            "int16",
            0.1,
        ),
        Tag(
            f"Z{number}.TEMP.SP",
            "Cel",
            f"Temperature set point, {zone}",
            (0, 1_400),
            0.0,
            lambda f, w: w(f"z{number}", cel, 12.0).round(-1),
            "int16",
            0.1,
        ),
        Tag(
            f"Z{number}.GAS.FLOW",
            "kg/h",
            f"Natural gas flow, {zone}",
            (0, 1_600),
            1.0,
            lambda f, w: f.fuel_kg_s * 3_600 * share,
        ),
        Tag(
            f"Z{number}.AIR.FLOW",
            "kg/h",
            f"Combustion air flow, {zone}",
            (0, 30_000),
            25.0,
            lambda f, w: f.fuel_kg_s * 3_600 * share * f.flame.air_ratio * AIR_PER_FUEL,
        ),
        Tag(
            f"Z{number}.O2",
            "%",
            f"Oxygen in the flue gas, {zone}",
            (0, 21),
            0.05,
            lambda f, w: f.flame.o2_percent,
            "uint16",
            0.01,
        ),
        Tag(f"Z{number}.BURNER.ON", "1", f"Burners lit, {zone}", (0, 1), 0.0, _on, "bool"),
    )


FURNACE: tuple[Tag[Furnace], ...] = (
    *(tag for zone in _ZONES for tag in _zone(*zone)),
    Tag(
        "GAS.FLOW",
        "kg/h",
        "Natural gas flow, all zones",
        (0, 4_000),
        2.0,
        lambda f, w: f.fuel_kg_s * 3_600,
        canonical_unit="kg/s",
    ),
    Tag(
        "GAS.PRESS",
        "mbar",
        "Natural gas pressure",
        (0, 600),
        0.5,
        lambda f, w: w("gas_press", 240.0, 8.0),
        "uint16",
        0.1,
    ),
    Tag(
        "AIR.TEMP.IN",
        "Cel",
        "Combustion air before the recuperator",
        (-20, 80),
        0.1,
        lambda f, w: f.flame.air_cel,
        "int16",
        0.1,
    ),
    Tag(
        "AIR.TEMP.OUT",
        "Cel",
        "Combustion air after the recuperator",
        (0, 650),
        0.6,
        lambda f, w: f.recuperator_air_cel,
        "int16",
        0.1,
    ),
    Tag(
        "FLUE.TEMP.IN",
        "Cel",
        "Flue gas before the recuperator",
        (0, 1_100),
        1.0,
        lambda f, w: f.flame.flue_cel + 400.0,
        "int16",
        0.1,
    ),
    Tag("FLUE.TEMP", "Cel", "Flue gas in the stack", (0, 700), 0.8, lambda f, w: f.flame.flue_cel, "int16", 0.1),
    Tag(
        "FLUE.O2",
        "%",
        "Oxygen in the flue gas, stack",
        (0, 21),
        0.05,
        lambda f, w: f.flame.o2_percent + 0.6,
        "uint16",
        0.01,
    ),
    Tag("PRESS", "Pa", "Furnace pressure, gauge", (-100, 100), 0.8, lambda f, w: w("pressure", 2.0, 4.0), "int16", 0.1),
    Tag("SLAB.RATE", "t/h", "Throughput", (0, 60), 0.05, lambda f, w: f.slabs_kg_s * 3.6, canonical_unit="kg/s"),
    Tag(
        "SLAB.TEMP.IN",
        "Cel",
        "Slab temperature at the charging door",
        (-20, 200),
        0.4,
        lambda f, w: f.slab_in_cel,
        "int16",
        0.1,
    ),
    Tag(
        "SLAB.TEMP.OUT",
        "Cel",
        "Slab surface temperature at discharge, pyrometer",
        (0, 1_400),
        1.5,
        lambda f, w: f.slab_out_cel,
        "int16",
        0.1,
    ),
    Tag("COOL.FLOW", "m3/h", "Skid cooling water flow", (0, 200), 0.3, lambda f, w: w("cool_flow", 62.0, 3.0)),
    Tag(
        "COOL.TEMP.IN",
        "Cel",
        "Skid cooling water, inlet",
        (0, 60),
        0.1,
        lambda f, w: w("cool_in", 24.0, 2.0),
        "int16",
        0.1,
    ),
    Tag(
        "COOL.TEMP.OUT",
        "Cel",
        "Skid cooling water, outlet",
        (0, 90),
        0.1,
        lambda f, w: w("cool_in", 24.0, 2.0) + f.balance.losses["cooling_water"] / (17.2 * 4.187),
        "int16",
        0.1,
    ),
    Tag("HEAT.IN", "kW", "Heat released by the fuel", (0, 40_000), 10.0, lambda f, w: f.balance.supplied, "uint32"),
    Tag("HEAT.OUT", "kW", "Heat taken up by the slabs", (0, 30_000), 10.0, lambda f, w: f.balance.useful, "uint32"),
    Tag(
        "LOSS.WALL",
        "kW",
        "Heat lost through the walls",
        (0, 3_000),
        2.0,
        lambda f, w: f.balance.losses["walls"],
        "int32",
    ),
    Tag("DOOR.POS", "%", "Discharge door position", (0, 100), 0.0, lambda f, w: w("door", 6.0, 5.0).round(), "uint16"),
    Tag(
        "FAN.CURR",
        "A",
        "Combustion air fan current",
        (0, 300),
        0.6,
        lambda f, w: 60.0 + 8.0 * f.slabs_kg_s,
        "uint16",
        0.1,
    ),
    Tag(
        "FAN.POWER", "kW", "Combustion air fan power", (0, 200), 0.4, lambda f, w: 30.0 + 5.0 * f.slabs_kg_s, "float64"
    ),
    Tag("RUNNING", "1", "Furnace in operation", (0, 1), 0.0, _on, "bool"),
)
"""45 tags."""
