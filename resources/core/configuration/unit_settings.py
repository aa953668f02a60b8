"""The block `units` of the configuration: the unit each quantity is stored in, and the air above the plant."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from resources.core.configuration.settings import StrictModel, TagConfig, Unit
from resources.core.errors import ConfigError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.quantities import QUANTITIES, quantity_of
from resources.core.physics.units import conversion


def _quantity(name: str) -> str:
    if name not in QUANTITIES:
        raise ValueError(f"unknown quantity {name[:60]!r}: write one of {', '.join(QUANTITIES)}")
    return name


class UnitsConfig(StrictModel):
    """Units of the whole site."""

    atmosphere_kpa: float = Field(ATMOSPHERE_KPA, ge=50, le=110)
    """Pressure of the air at the site, kPa: what lies between a gauge pressure and an absolute one."""
    canonical: dict[Annotated[str, AfterValidator(_quantity)], Unit] = Field(default_factory=dict)
    """Quantity -> unit of `calibrated_value` of every tag that measures it and names no `canonical_unit` of its own."""

    @model_validator(mode="after")
    def _units_fit_their_quantities(self) -> UnitsConfig:
        for quantity, unit in self.canonical.items():
            try:
                conversion(QUANTITIES[quantity], unit)
            except ConfigError as error:
                raise ValueError(f"canonical.{quantity}: {error}") from error
        return self

    def with_canonical_unit(self, tag: TagConfig) -> TagConfig:
        """Return the tag with the canonical unit of what it measures, unless it has one of its own."""
        if tag.canonical_unit is not None or tag.is_text or not self.canonical:
            return tag
        unit = self.canonical.get(quantity_of(tag.unit) or "")
        return tag if unit is None else tag.model_copy(update={"canonical_unit": unit})
