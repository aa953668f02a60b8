"""What the mapping knows beside a record: of the system, of its meters, of the day. Data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """What the configuration says of a meter."""

    energy_type: str
    plant_code: str | None = None
    location_code: str | None = None
    cost_center: str | None = None
    interval: timedelta | None = None
    """Time that a document covers, up to its reading."""
    reading: Literal["auto", "interval", "counter"] = "auto"
    """What the entered value is; `auto` tells by the document."""


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """What the configuration says of the system and the dataset that records come from."""

    system: str
    company: str
    time_zone: str
    meters: Mapping[str, MeterFacts] = field(default_factory=dict)
    kind: str = ""
    """Kind of the system: `sap`, `oracle`, ..."""
    unit_codes: Mapping[str, str] = field(default_factory=dict)
    """Unit code of the system -> UCUM code, beyond those that all have."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Keys of the system's block that a rule may take a value from."""
    day: date | None = None
    """Business day that the records were landed under; None for master data."""
    business_date: str | None = None
    """Column of the table that holds it."""


@dataclass(frozen=True)
class Standardised:
    """What the records of a system became: standard rows by a common index, in the order given."""

    rows: pd.DataFrame
    """The columns of the table's schema, with Arrow types; times UTC; what is missing is null."""
    problems: pd.Series
    """Only of the rows that have any, by their index: the list of what was found wrong, in plain words."""
    withdrawn: pd.Series
    """True for records that no longer count, such as reversed documents."""
    told: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """Column -> rows in which a problem says what is wrong with it, so that no rule has to say it once more."""
