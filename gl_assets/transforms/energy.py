"""What a consumer used and made in a day: energy per tonne, and its cost. Pure; a day has a few rows.

Energy intensity is energy over product, both of one basis: `booked`, as the ERP has it (consumption by location,
product by what is booked as product or by production orders), or else `measured`, from the hours in which both the
boiler's fuel and its steam have a good mean. Orders count by the share of their time that lies in the day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.core.configuration.energy import EnergyConfig, EnergyConsumer, EnergyType
from resources.core.errors import ConfigError
from resources.core.physics.units import conversion

Row = Mapping[str, Any]

_ANNOTATION = re.compile(r"\{[^{}]*\}")
"""Of a volume it is the state of the gas, which the heating value of a cubic metre as it is booked has in it."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day, from its start to its end (exclusive), both UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read of a day."""

    booked: Sequence[Row] = ()
    """location_code, energy_type, consumption_value, consumption_unit: one row per combination, added up."""
    orders: Sequence[Row] = ()
    """work_center, quantity, unit, began, ended (UTC): orders that overlap the day."""
    hours: Mapping[str, Sequence[Row]] | None = None
    """Boiler -> its hours: fuel_kwh, steam_t (null where there is none that can be), good_share, below_zero."""


@dataclass(frozen=True, slots=True)
class Used:
    """Energy by type and product of one basis, and what could not be counted."""

    energy_kwh: Mapping[str, float]
    product_t: float | None
    reasons: tuple[str, ...] = ()

    @property
    def total_kwh(self) -> float | None:
        """All types together; None: no energy is known."""
        return sum(self.energy_kwh.values()) if self.energy_kwh else None


@dataclass(frozen=True, slots=True)
class Consumption:
    """One consumer's day."""

    consumer: str
    booked: Used
    measured: Used
    measured_hours: int
    good_share: float | None
    hours_below_zero: int = 0
    """Hours that do not count, since fuel or steam was measured below zero."""

    @property
    def basis(self) -> str | None:
        """Booked or measured: the better one of which both energy and product are known; None: neither."""
        for name, used in (("booked", self.booked), ("measured", self.measured)):
            # what could not be counted would be missing from the sum
            if used.total_kwh is not None and used.product_t and not used.reasons:
                return name
        return None

    @property
    def used(self) -> Used:
        """What counts: of the basis, or else what is known."""
        if self.basis is not None:
            return self.booked if self.basis == "booked" else self.measured
        return self.booked if self.booked.energy_kwh else self.measured

    @property
    def reason(self) -> str | None:
        """Why there is no intensity; None: there is one."""
        if self.basis is not None:
            return None
        if self.booked.reasons:
            return "; ".join(self.booked.reasons)
        missing = "no energy is booked on its locations" if self.used.total_kwh is None else "nothing it made is booked"
        below = f" ({self.hours_below_zero} of them below zero)" if self.hours_below_zero else ""
        return f"{missing}, and no hour of its boiler has good means{below}"


def consumption_of(
    name: str, consumer: EnergyConsumer, config: EnergyConfig, sources: Sources, day: Day
) -> Consumption:
    """Return what a consumer used and made in a day."""
    known = (sources.hours or {}).get(consumer.boiler or "", ())
    hours = [hour for hour in known if hour["fuel_kwh"] is not None and hour["steam_t"] is not None]
    measured = Used(
        {consumer.fuel: sum(hour["fuel_kwh"] for hour in hours)} if hours else {},
        sum(hour["steam_t"] for hour in hours) if hours else None,
    )
    shares = [hour["good_share"] for hour in hours]
    good = sum(shares) / len(shares) if shares else None
    below_zero = sum(bool(hour.get("below_zero")) for hour in known)
    return Consumption(name, _booked(consumer, config, sources, day), measured, len(hours), good, below_zero)


def _booked(consumer: EnergyConsumer, config: EnergyConfig, sources: Sources, day: Day) -> Used:
    energy: dict[str, float] = {}
    product: float | None = None
    reasons: list[str] = []
    for row in sources.booked:
        if row["location_code"] not in consumer.locations:
            continue
        kind, value, unit = row["energy_type"], float(row["consumption_value"]), row["consumption_unit"]
        try:
            if kind == consumer.product_energy_type:
                product = (product or 0.0) + _in(value, unit, "t")
            else:
                energy[kind] = energy.get(kind, 0.0) + _kwh(value, unit, kind, config.types.get(kind, EnergyType()))
        except ConfigError as error:
            reasons.append(f"{kind} booked in {unit}: {error}")
    if consumer.product_energy_type is None:
        product, unweighed = _made(consumer, sources.orders, day)
        reasons += unweighed if product is None else []
    return Used(energy, product, tuple(reasons))


def _made(consumer: EnergyConsumer, orders: Sequence[Row], day: Day) -> tuple[float | None, list[str]]:
    """Return tonnes that orders made within the day, and which orders have no mass."""
    tonnes: float | None = None
    reasons: dict[str, None] = {}
    for order in orders:
        if order["work_center"] not in consumer.work_centers:
            continue
        try:
            mass = _in(float(order["quantity"]), order["unit"], "t")
        except ConfigError:
            reasons[f"orders in {order['unit']} have no mass"] = None
            continue
        tonnes = (tonnes or 0.0) + mass * share_within(order["began"], order["ended"], day)
    return tonnes, list(reasons)


def share_within(began: datetime, ended: datetime, day: Day) -> float:
    """Return the share of a time that lies in the day, 0 to 1; a time without length lies in it or not."""
    length = (ended - began).total_seconds()
    if length <= 0:
        return float(day.start <= began < day.end)
    inside = (min(ended, day.end) - max(began, day.start)).total_seconds()
    return max(0.0, inside) / length


def _kwh(value: float, unit: str, kind: str, energy_type: EnergyType) -> float:
    """Return an amount as energy; a gas volume in the cubic metres it is booked in, whatever their state.

    Raises:
        ConfigError: It is none, and its heating value is not configured.
    """
    for booked, base, heating, key in (
        (unit, "kW.h", 1.0, ""),
        (_ANNOTATION.sub("", unit), "m3", energy_type.kwh_per_m3, "kwh_per_m3"),
        (unit, "kg", energy_type.kwh_per_kg, "kwh_per_kg"),
    ):
        try:
            amount = _in(value, booked, base)
        except ConfigError:
            continue
        if heating is None:
            raise ConfigError(f"energy.types.{kind}.{key} is not configured")
        return amount * heating
    raise ConfigError("this is neither energy nor a volume nor a mass")


def _in(value: float, unit: str, wanted: str) -> float:
    factor, offset = conversion(unit, wanted)
    return factor * value + offset


def intensity_row(found: Consumption) -> dict[str, Any]:
    """Return the row of `process_heat.energy_intensity`."""
    used, basis = found.used, found.basis
    return {
        "consumer": found.consumer,
        "basis": basis,
        "energy_kwh": used.total_kwh,
        "product_t": used.product_t,
        "intensity_kwh_per_t": None if basis is None else (used.total_kwh or 0.0) / (used.product_t or 1.0),
        "booked_energy_kwh": found.booked.total_kwh,
        "booked_product_t": found.booked.product_t,
        "measured_energy_kwh": found.measured.total_kwh,
        "measured_product_t": found.measured.product_t,
        "measured_hours": found.measured_hours,
        "good_share": found.good_share,
        "reason": found.reason,
    }


def cost_rows(found: Consumption, config: EnergyConfig) -> list[dict[str, Any]]:
    """Return the rows of `process_heat.energy_cost`: one per type of energy the consumer used."""
    used = found.used
    basis = "booked" if used is found.booked else "measured"
    rows = []
    for kind, energy in sorted(used.energy_kwh.items()):
        price = config.types.get(kind, EnergyType()).price_per_kwh
        cost = None if price is None else energy * price
        rows.append(
            {
                "consumer": found.consumer,
                "energy_type": kind,
                "basis": basis,
                "energy_kwh": energy,
                "price_per_kwh": price,
                "cost": cost,
                "cost_per_t": None if cost is None or not used.product_t else cost / used.product_t,
                "currency": None if price is None else config.currency,
                "reason": f"energy.types.{kind}.price_per_kwh is not configured" if price is None else None,
            }
        )
    return rows
