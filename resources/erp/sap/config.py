"""Configuration of a SAP S/4HANA system."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, model_validator

from resources.core.errors import ConfigError
from resources.erp.business_days import DayOf, business_day
from resources.erp.config import SystemConfig
from resources.erp.declared import DatasetConfig
from resources.erp.sap.options import SapOptions, options_of
from resources.transport.odata.filters import Compare, ODataDialect, written

PROTOCOLS = ("odata_v4", "odata_v2")
"""Protocols that datasets are read by; the first is meant where a declaration names none."""


class SapConfig(SystemConfig):
    """One SAP S/4HANA system, read by OData V4 and V2."""

    pulled_by_default: ClassVar[tuple[str, ...] | None] = ("energy_consumption",)

    kind: Literal["sap"]
    """Kind of the system."""
    sap_client: str = Field("100", pattern=r"^\d{3}$")
    """SAP client (`sap-client`)."""
    sap_language: str = Field("EN", pattern=r"^[A-Z]{2}$")
    """Language of texts and of unit codes (`sap-language`), as SAP writes it."""
    service_root: str | None = Field(None, pattern=r"^/[^\s?#]+$")
    """Path of the measurement document service, for a release or a gateway that has it elsewhere: the same as
    `datasets.energy_consumption.service`, which is the place for other datasets."""

    @model_validator(mode="after")
    def _datasets_can_be_read(self) -> Self:
        for name, declared in self.datasets.items():
            if (declared.protocol or PROTOCOLS[0]) not in PROTOCOLS:
                raise ValueError(f"datasets.{name}.protocol: {declared.protocol} is none of {', '.join(PROTOCOLS)}")
            if declared.service is None and not (name == "energy_consumption" and self.service_root):
                raise ValueError(f"datasets.{name}.service: the root path of the OData service is missing")
            try:
                options = options_of(declared)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ValueError(f"datasets.{name}.options.{where}: {first['msg']}") from error
            _refuse_unwritable(name, declared, options)
            if declared.explode is not None and not options.order_by:
                raise ValueError(f"datasets.{name}.options.order_by: explode needs the key of the entities around it")
        return self

    def options_of(self, dataset: str) -> SapOptions:
        """Return the options of a configured dataset."""
        return options_of(self.datasets[dataset])

    def day_of(self, dataset: str) -> DayOf:
        """Return what tells the business day: a date is the one that is written; an instant's is the zone's."""
        if self.options_of(dataset).business_date_as == "date":
            return partial(business_day, zone=None)
        return partial(business_day, zone=ZoneInfo(self.time_zone), is_instant=True)

    def service_of(self, dataset: str) -> str:
        """Return the root path of a dataset's service.

        Raises:
            ConfigError: The dataset is none of the configured ones.
        """
        if dataset not in self.datasets:
            raise ConfigError(f"{dataset[:60]!r} is no dataset of the system: there are {', '.join(self.datasets)}")
        moved = self.service_root if dataset == "energy_consumption" else None
        service = moved or self.datasets[dataset].service
        assert service is not None, "the validator refuses a dataset without"
        return "/" + service.strip("/")


def _refuse_unwritable(name: str, declared: DatasetConfig, options: SapOptions) -> None:
    """Refuse conditions that the dataset's protocol has no words for, before anything is asked."""
    dialect: ODataDialect = "odata_v2" if declared.protocol == "odata_v2" else "odata_v4"
    for condition in declared.where:
        try:
            # `parent.` leads to the entity that is asked for itself
            written(Compare(condition.property.replace(".", "/"), condition.operator, condition.literal()), dialect)
        except ValueError as error:
            raise ValueError(f"datasets.{name}.where: {error}") from error
    if options.filter is not None:
        try:
            written(options.filter.as_filter(), dialect)
        except ValueError as error:
            raise ValueError(f"datasets.{name}.options.filter: {error}") from error
