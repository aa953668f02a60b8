"""What the configurations of all kinds of ERP systems share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, field_validator, model_validator

from resources.core.configuration.settings import Duration, Name, StrictModel, Unit
from resources.erp.business_days import DayOf, business_day
from resources.erp.declared import DatasetConfig, merged
from resources.transport.auth.config import AuthConfig
from resources.transport.connections.config import HttpConfig


class MeterConfig(StrictModel):
    """What the ERP does not say of a meter: which energy it counts and where."""

    energy_type: str
    """electricity, natural_gas, steam, ..."""
    plant_code: str
    """Plant the meter stands in."""
    location_code: str | None = None
    """Functional location."""
    cost_center: str | None = None
    """Cost center charged."""
    reading: Literal["auto", "interval", "counter"] = "auto"
    """What the entered value is: `interval` the amount used, `counter` a meter reading whose difference is the amount;
    `auto` tells them apart by the document (README of the connector)."""
    interval: Duration | None = None
    """Time a document covers, up to its reading: gives period_start; unknown if absent."""


class SystemConfig(StrictModel):
    """One ERP system. A kind adds its own keys, and ships its datasets in `datasets.yaml` beside its config.py."""

    pulled_by_default: ClassVar[tuple[str, ...] | None] = None
    """The datasets pulled where the configuration names none; all that the connector ships if None."""

    kind: str
    """Kind of the system."""
    http: HttpConfig
    """Where."""
    auth: AuthConfig
    """Who we are: one of the ways of logging on, by `type`. `oauth:` is the same and stays accepted."""
    company: str = Field(min_length=1)
    """Company code written into every record whose dataset does not name one."""
    time_zone: str = "UTC"
    """Zone of the system's business days and of its dates without zone, an IANA name."""
    datasets: dict[Name, DatasetConfig] = Field(default_factory=dict)
    """What is pulled: a list of names, or a mapping of names to what differs from the connector's own declaration; a
    name that it does not know is declared in full."""
    overlap: Duration = timedelta(days=3)
    """The daily schedule pulls this far back again, for late entries; whole days, parts are rounded up."""
    change_overlap: Duration = Field(timedelta(minutes=5), ge=timedelta(0))
    """A read of changes begins this far before the end of the last one, for what was stamped then and seen later."""
    change_margin: Duration = Field(timedelta(seconds=30), ge=timedelta(0))
    """A read of changes ends this far before now: transactions under way may commit with older stamps."""
    unit_codes: dict[str, Unit] = Field(default_factory=dict)
    """Unit code of the system -> UCUM code, beyond the connector's own list."""
    meters: dict[str, MeterConfig] = Field(default_factory=dict)
    """Meter (measuring point) -> what it measures; a document of another one is kept with energy_type `unknown`."""

    @model_validator(mode="before")
    @classmethod
    def _oauth_is_auth(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "oauth" in values:
            if "auth" in values:
                raise ValueError("auth and oauth are the same: leave one of them out")
            rest = {name: value for name, value in values.items() if name != "oauth"}
            oauth = values["oauth"]
            return {**rest, "auth": {"type": "client_credentials", **oauth} if isinstance(oauth, Mapping) else oauth}
        return values

    @model_validator(mode="before")
    @classmethod
    def _datasets_are_declared(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        shipped = cls.shipped_datasets()
        default = cls.pulled_by_default if cls.pulled_by_default is not None else tuple(shipped)
        return {**values, "datasets": _declared(values.get("datasets", default), shipped)}

    @classmethod
    def shipped_datasets(cls) -> dict[str, dict[str, Any]]:
        """Return the declarations that the kind ships, by name, as they stand in `datasets.yaml`."""
        module = sys.modules[cls.__module__]
        return _shipped(Path(str(module.__file__)).with_name("datasets.yaml"))

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {value!r}: write an IANA name such as Europe/Berlin") from error
        return value

    @model_validator(mode="after")
    def _secrets_travel_encrypted(self) -> Self:
        token_url = getattr(self.auth, "token_url", "")
        if token_url.startswith("http://") and not self.http.insecure_plain_http:
            raise ValueError(
                "an http:// token_url needs http.insecure_plain_http: true: the secret would travel readable"
            )
        return self

    def day_of(self, dataset: str) -> DayOf:
        """Return what tells the business day of a date of a dataset; a kind says how its dates are meant."""
        del dataset
        return partial(business_day, zone=ZoneInfo(self.time_zone))

    def table_of(self, dataset: str) -> str:
        """Return the standard table that a dataset fills; see `DatasetConfig.table`."""
        return self.datasets[dataset].table or dataset

    def datasets_of(self, table: str) -> dict[str, DatasetConfig]:
        """Return the datasets that fill a standard table; one system may have several, such as two kinds of orders."""
        return {name: declared for name, declared in self.datasets.items() if self.table_of(name) == table}


@cache
def _shipped(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(data, dict), f"{path.name} is a mapping of dataset names"
    return data


def _declared(given: object, shipped: Mapping[str, dict[str, Any]]) -> object:
    """Return name -> complete declaration; what is no list of names and no mapping is left for the model to refuse."""
    if isinstance(given, Mapping):
        # a declaration that is one already, as in a configuration that was dumped and is read again
        ready = {name: value for name, value in given.items() if isinstance(value, DatasetConfig)}
        return {name: ready.get(name) or _one(name, value, shipped) for name, value in given.items()}
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        names = list(given)
        for name in names:
            if not isinstance(name, str) or name not in shipped:
                raise ValueError(
                    f"datasets: {str(name)[:60]!r} is none that the connector knows ({', '.join(shipped) or 'none'}); "
                    "declare it in full: a mapping of its name to resource, key, business_date, fields"
                )
        return {name: _one(name, None, shipped) for name in names}
    return given


def _one(name: object, given: Any, shipped: Mapping[str, dict[str, Any]]) -> Any:
    if given is not None and not isinstance(given, Mapping):
        return given
    # what stands here now is complete: read again after a dump, nothing is laid over it a second time
    return {**merged(shipped.get(str(name)), dict(given or {})), "inherit": False}
