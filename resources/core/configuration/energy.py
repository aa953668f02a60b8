"""The block `energy`: who uses energy, where it is booked and measured, and what it costs."""

from __future__ import annotations

from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from resources.core.configuration.settings import Name, StrictModel


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"unknown time zone {value!r}: write a name such as Europe/Berlin") from error
    return value


class EnergyType(StrictModel):
    """One type of energy: what a kWh costs, and how much energy is in what is metered otherwise."""

    price_per_kwh: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Price of a kWh in `energy.currency`; without it there is no cost."""
    kwh_per_m3: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Heating value of a cubic metre as it is booked (m3, Nm3 or Sm3); needed where volumes are booked."""
    kwh_per_kg: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Heating value of a kilogram; needed where masses are booked."""


class EnergyConsumer(StrictModel):
    """One consumer of energy: a boiler, a furnace, a line."""

    locations: tuple[str, ...] = ()
    """Values of location_code in erp.energy_consumption that are booked on it."""
    work_centers: tuple[str, ...] = ()
    """Values of work_center in erp.production_schedule whose orders are what it makes."""
    product_energy_type: str | None = None
    """Booked energy_type that is what it makes, such as steam; in place of orders."""
    boiler: Name | None = None
    """Boiler of `boilers` whose fuel and steam are what it uses and makes, as measured."""
    fuel: str = "natural_gas"
    """Type of energy that the boiler's fuel is."""

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.locations and self.boiler is None:
            raise ValueError("a consumer needs locations (as booked), or boiler (as measured), or both")
        return self


class EnergyConfig(StrictModel):
    """Who uses energy and what it costs; without consumers, each boiler of `boilers` is one, as measured."""

    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Zone whose days are added up; that of the ERP systems that book the energy."""
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$")
    """Currency of the prices, ISO 4217."""
    types: dict[Name, EnergyType] = Field(default_factory=dict)
    """Type of energy, as energy_type names it -> its price and heating values."""
    consumers: dict[Name, EnergyConsumer] = Field(default_factory=dict)
    """Name of the consumer -> where its energy and its product are found."""

    @model_validator(mode="after")
    def _no_place_is_counted_twice(self) -> Self:
        for key in ("locations", "work_centers"):
            places = [place for consumer in self.consumers.values() for place in getattr(consumer, key)]
            twice = sorted({place for place in places if places.count(place) > 1})
            if twice:
                raise ValueError(f"consumers: {key} {', '.join(twice)} stand twice: what is there would count twice")
        return self

    def all_consumers(self, boilers: tuple[str, ...]) -> dict[str, EnergyConsumer]:
        """Return the consumers; where none is named, the boilers."""
        return dict(self.consumers) or {name: EnergyConsumer(boiler=name) for name in boilers}
