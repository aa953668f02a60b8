"""Meters and the weather, published by MQTT: what wireless sensors and energy meters send."""

from __future__ import annotations

from dataclasses import dataclass

from resources.demo_plant.physics import Boiler, Exchanger, Furnace
from resources.demo_plant.signals import Array
from resources.demo_plant.tags.tag import Tag


@dataclass(frozen=True)
class Utilities:
    """What the meters see: the whole plant."""

    boilers: tuple[Boiler, Boiler]
    furnace: Furnace
    exchanger: Exchanger
    ambient_cel: Array

    @property
    def gas_kg_s(self) -> Array:
        """Natural gas of all three consumers."""
        return self.boilers[0].fuel_kg_s + self.boilers[1].fuel_kg_s + self.furnace.fuel_kg_s

    @property
    def electric_kw(self) -> Array:
        """Electric power of the plant."""
        fans = 66.0 * (self.boilers[0].load ** 3 + self.boilers[1].load ** 3)
        return 310.0 + fans + 5.0 * self.furnace.slabs_kg_s + 0.7 * self.exchanger.hot_kg_s


UTILITIES: tuple[Tag[Utilities], ...] = (
    Tag(
        "GAS.FLOW",
        "kg/h",
        "Natural gas, custody meter",
        (0, 12_000),
        4.0,
        lambda u, w: u.gas_kg_s * 3_600,
        canonical_unit="kg/s",
    ),
    Tag(
        "GAS.PRESS",
        "bar",
        "Natural gas pressure, custody station, absolute",
        (0, 10),
        0.005,
        lambda u, w: w("gas_press", 4.1, 0.1),
    ),
    Tag(
        "GAS.TEMP", "Cel", "Natural gas temperature, custody station", (-20, 60), 0.1, lambda u, w: u.ambient_cel + 2.0
    ),
    Tag("ELE.POWER", "kW", "Electric power, incoming feeder", (0, 2_500), 1.5, lambda u, w: u.electric_kw),
    Tag("ELE.VOLT", "V", "Voltage between phases", (0, 460), 0.4, lambda u, w: w("volt", 401.0, 3.0)),
    Tag(
        "ELE.CURR",
        "A",
        "Current, incoming feeder",
        (0, 4_000),
        3.0,
        lambda u, w: u.electric_kw * 1_000 / (1.732 * 401.0 * 0.93),
    ),
    Tag("ELE.FREQ", "Hz", "Grid frequency", (45, 55), 0.003, lambda u, w: w("freq", 50.0, 0.02)),
    Tag("ELE.PF", "1", "Power factor", (0, 1), 0.001, lambda u, w: w("pf", 0.93, 0.02)),
    Tag(
        "STEAM.MAIN.FLOW",
        "t/h",
        "Steam to the mill, header meter",
        (0, 64),
        0.08,
        lambda u, w: 3.6 * (u.boilers[0].steam_kg_s + u.boilers[1].steam_kg_s),
        canonical_unit="kg/s",
    ),
    Tag(
        "STEAM.MAIN.PRESS",
        "bar",
        "Steam header pressure, absolute",
        (0, 60),
        0.03,
        lambda u, w: 0.5 * (u.boilers[0].steam_bar + u.boilers[1].steam_bar) - 0.8,
    ),
    Tag(
        "STEAM.MAIN.TEMP",
        "Cel",
        "Steam header temperature",
        (0, 480),
        0.3,
        lambda u, w: 0.5 * (u.boilers[0].steam_cel + u.boilers[1].steam_cel) - 4.0,
    ),
    Tag(
        "COND.RETURN.FLOW",
        "t/h",
        "Condensate return",
        (0, 64),
        0.08,
        lambda u, w: 3.0 * (u.boilers[0].steam_kg_s + u.boilers[1].steam_kg_s),
        canonical_unit="kg/s",
    ),
    Tag(
        "COND.RETURN.TEMP",
        "Cel",
        "Condensate return temperature",
        (0, 160),
        0.2,
        lambda u, w: w("cond_temp", 88.0, 4.0),
    ),
    Tag(
        "WATER.MAKEUP.FLOW",
        "m3/h",
        "Make-up water",
        (0, 60),
        0.03,
        lambda u, w: 0.7 * (u.boilers[0].steam_kg_s + u.boilers[1].steam_kg_s),
    ),
    Tag(
        "WATER.MAKEUP.COND",
        "uS/cm",
        "Make-up water conductivity",
        (0, 50),
        0.01,
        lambda u, w: w("makeup_cond", 0.4, 0.2),
    ),
    Tag("DEAER.PRESS", "bar", "Deaerator pressure, absolute", (0, 6), 0.002, lambda u, w: w("deaer_press", 1.25, 0.03)),
    Tag("DEAER.TEMP", "Cel", "Deaerator temperature", (0, 160), 0.1, lambda u, w: u.boilers[0].feedwater_cel + 1.0),
    Tag("DEAER.LEVEL", "%", "Deaerator level", (0, 100), 0.3, lambda u, w: w("deaer_level", 64.0, 8.0)),
    Tag(
        "AIR.COMP.PRESS",
        "bar",
        "Compressed air pressure, absolute",
        (0, 14),
        0.01,
        lambda u, w: w("comp_press", 7.4, 0.3),
    ),
    Tag("AIR.COMP.FLOW", "m3/h", "Compressed air flow", (0, 3_000), 4.0, lambda u, w: w("comp_flow", 880.0, 160.0)),
    Tag("AIR.COMP.POWER", "kW", "Compressor power", (0, 300), 0.5, lambda u, w: w("comp_power", 94.0, 16.0)),
    Tag("AMBIENT.TEMP", "Cel", "Outdoor temperature", (-40, 60), 0.05, lambda u, w: u.ambient_cel),
    Tag("AMBIENT.HUM", "%", "Outdoor relative humidity", (0, 100), 0.2, lambda u, w: w("humidity", 66.0, 14.0)),
    Tag("AMBIENT.PRESS", "mbar", "Outdoor pressure", (850, 1_100), 0.05, lambda u, w: w("barometer", 1_012.0, 9.0)),
    Tag(
        "STACK.NOX",
        "mg/m3",
        "Nitrogen oxides, common stack",
        (0, 400),
        0.8,
        lambda u, w: 70.0 + 20.0 * u.boilers[0].load,
    ),
)
"""25 tags."""
