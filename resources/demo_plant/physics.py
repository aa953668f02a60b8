"""The plant itself: two boilers, a furnace and a heat exchanger as energy balances, without noise and without I/O.

Every function takes times (microseconds since 1970 UTC) and returns arrays of the same length. Equipment is solved
backwards from its load: what the steam, the slabs or the cold water take up, plus every loss, is what the fuel or the
hot water must bring. So energy in equals energy out at each instant, up to the interpolation of the steam tables.
Source: EN 12952-15 (losses of a boiler); effectiveness-NTU method, counterflow (heat exchanger).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resources.demo_plant import steam
from resources.demo_plant.signals import Array, Micros, wave

HEATING_VALUE_KJ_PER_KG = 46_500.0
"""Lower heating value of the natural gas."""

AIR_PER_FUEL = 16.2
"""Stoichiometric air, kg per kg of gas."""

_CP_FLUE = 1.09
_CP_SLAB = 0.68
_CP_WATER = 4.187
_UNBURNT = 0.002
_RATED_STEAM_KG_S = 25.0 / 3.6


@dataclass(frozen=True)
class Balance:
    """Where one equipment's energy comes from and goes to, kW."""

    supplied: Array
    useful: Array
    losses: dict[str, Array]

    @property
    def efficiency(self) -> Array:
        """Useful over supplied, 0-1."""
        share: Array = self.useful / self.supplied
        return share

    @property
    def residual(self) -> Array:
        """Supplied less useful less losses, over supplied: 0 when nothing is forgotten."""
        rest: Array = (
            self.supplied - self.useful - sum(self.losses.values(), np.zeros(len(self.useful)))
        ) / self.supplied
        return rest


@dataclass(frozen=True)
class Combustion:
    """A gas flame: air ratio, flue gas, temperatures."""

    o2_percent: Array
    flue_cel: Array
    air_cel: Array

    @property
    def air_ratio(self) -> Array:
        """Air over stoichiometric air."""
        return 21.0 / (21.0 - self.o2_percent)

    @property
    def flue_per_fuel(self) -> Array:
        """Flue gas, kg per kg of fuel."""
        return 1.0 + self.air_ratio * AIR_PER_FUEL

    @property
    def stack_loss_kj_per_kg(self) -> Array:
        """Sensible heat that a kg of fuel takes out of the stack."""
        return self.flue_per_fuel * _CP_FLUE * (self.flue_cel - self.air_cel)


@dataclass(frozen=True)
class Boiler:
    """One boiler at each instant."""

    load: Array
    steam_kg_s: Array
    steam_bar: Array
    steam_cel: Array
    feedwater_cel: Array
    blowdown_kg_s: Array
    fuel_kg_s: Array
    flame: Combustion
    balance: Balance


@dataclass(frozen=True)
class Furnace:
    """The reheating furnace at each instant."""

    slabs_kg_s: Array
    slab_in_cel: Array
    slab_out_cel: Array
    recuperator_air_cel: Array
    fuel_kg_s: Array
    flame: Combustion
    balance: Balance


@dataclass(frozen=True)
class Exchanger:
    """The heat exchanger at each instant: hot condensate warms process water."""

    hot_kg_s: Array
    hot_in_cel: Array
    hot_out_cel: Array
    cold_kg_s: Array
    cold_in_cel: Array
    cold_out_cel: Array
    effectiveness: Array
    fouling: Array
    balance: Balance


def ambient(seed: int, times_us: Micros) -> Array:
    """Return the outdoor temperature, Cel."""
    return wave(seed, "ambient", times_us, mean=12.0, amplitude=7.0)


def boiler(seed: int, number: int, times_us: Micros) -> Boiler:
    """Return boiler `number` (1 or 2)."""

    def slow(name: str, mean: float, amplitude: float) -> Array:
        return wave(seed, f"boiler{number}.{name}", times_us, mean=mean, amplitude=amplitude)

    load = slow("load", 0.72, 0.22)
    steam_kg_s = load * _RATED_STEAM_KG_S
    bar, cel = slow("pressure", 40.0, 0.8), slow("temperature", 400.0, 6.0)
    feedwater = slow("feedwater", 105.0, 2.0)
    blowdown = steam_kg_s * slow("blowdown", 0.02, 0.004)
    flame = Combustion(
        o2_percent=slow("o2", 3.4, 0.5) + 1.5 * (1.0 - load),
        flue_cel=slow("flue", 128.0, 4.0) + 22.0 * load,
        air_cel=ambient(seed, times_us) + 8.0,
    )
    entering = steam.water_enthalpy()(bar, feedwater)
    useful = steam_kg_s * (steam.steam_enthalpy()(bar, cel) - entering)
    blown = blowdown * (steam.saturated_water_enthalpy(bar) - entering)
    radiated = np.full(len(times_us), 0.009 * _RATED_STEAM_KG_S * 2_770.0)
    fuel = (useful + blown + radiated) / (HEATING_VALUE_KJ_PER_KG * (1.0 - _UNBURNT) - flame.stack_loss_kj_per_kg)
    supplied = fuel * HEATING_VALUE_KJ_PER_KG
    losses = {
        "stack": fuel * flame.stack_loss_kj_per_kg,
        "unburnt": supplied * _UNBURNT,
        "radiation": radiated,
        "blowdown": blown,
    }
    return Boiler(load, steam_kg_s, bar, cel, feedwater, blowdown, fuel, flame, Balance(supplied, useful, losses))


def furnace(seed: int, times_us: Micros) -> Furnace:
    """Return the reheating furnace: slabs from about 30 to 1180 Cel, flue gas through a recuperator."""

    def slow(name: str, mean: float, amplitude: float) -> Array:
        return wave(seed, f"furnace.{name}", times_us, mean=mean, amplitude=amplitude)

    slabs = slow("slabs", 8.3, 1.8)
    cold, hot = ambient(seed, times_us) + 15.0, slow("slab_out", 1_180.0, 15.0)
    flame = Combustion(slow("o2", 2.2, 0.5), slow("flue", 395.0, 20.0), ambient(seed, times_us) + 5.0)
    useful = slabs * _CP_SLAB * (hot - cold)
    walls = slow("walls", 620.0, 25.0)
    cooling = slow("cooling", 540.0, 30.0)
    fuel = (useful + walls + cooling) / (HEATING_VALUE_KJ_PER_KG * (1.0 - _UNBURNT) - flame.stack_loss_kj_per_kg)
    supplied = fuel * HEATING_VALUE_KJ_PER_KG
    losses = {
        "stack": fuel * flame.stack_loss_kj_per_kg,
        "unburnt": supplied * _UNBURNT,
        "walls": walls,
        "cooling_water": cooling,
    }
    return Furnace(slabs, cold, hot, slow("recuperator", 430.0, 15.0), fuel, flame, Balance(supplied, useful, losses))


def exchanger(seed: int, times_us: Micros) -> Exchanger:
    """Return the heat exchanger by effectiveness and NTU, counterflow, with slow fouling."""

    def slow(name: str, mean: float, amplitude: float) -> Array:
        return wave(seed, f"exchanger.{name}", times_us, mean=mean, amplitude=amplitude)

    hot, cold = slow("hot_flow", 12.0, 1.5), slow("cold_flow", 15.0, 2.0)
    hot_in, cold_in = slow("hot_in", 138.0, 4.0), slow("cold_in", 32.0, 3.0)
    fouling = slow("fouling", 0.12, 0.05)
    capacity_hot, capacity_cold = hot * _CP_WATER, cold * _CP_WATER
    least = np.minimum(capacity_hot, capacity_cold)
    # never equal flows: the formula below is 0/0 there
    ratio = np.minimum(least / np.maximum(capacity_hot, capacity_cold), 0.999)
    decay = np.exp(-(95.0 * (1.0 - fouling) / least) * (1.0 - ratio))
    effectiveness = (1.0 - decay) / (1.0 - ratio * decay)
    given = effectiveness * least * (hot_in - cold_in)
    lost = 0.008 * given
    taken = given - lost
    return Exchanger(
        hot_kg_s=hot,
        hot_in_cel=hot_in,
        hot_out_cel=hot_in - given / capacity_hot,
        cold_kg_s=cold,
        cold_in_cel=cold_in,
        cold_out_cel=cold_in + taken / capacity_cold,
        effectiveness=effectiveness,
        fouling=fouling,
        balance=Balance(given, taken, {"casing": lost}),
    )
