"""The ERP datasets, declared: table, schema, how each kind of system becomes standard rows. Adding one is adding data.

A dataset of facts is landed by business day and brought into `erp.<dataset>`; what a system calls its records, and
how they are fetched, is the connector's to say (`resources/erp/<kind>/datasets.yaml`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from gl_assets.erp.sap_energy import sap_energy
from gl_assets.erp.standardised import Standardised
from gl_assets.schemas.energy_consumption import ENERGY_CONSUMPTION
from resources.erp.standard import LandedRecord, StandardTable

OWNERS = ["team:data-engineering"]

Standardise = Callable[[Sequence[LandedRecord], str, Any], Standardised]
"""Landed records of a system -> standard rows."""


@dataclass(frozen=True)
class FactDataset:
    """One dataset that is pulled by business day."""

    name: str
    description: str
    schema: pa.DataFrameSchema
    business_date: str
    """Column that holds the business day."""
    standardise: Mapping[str, Standardise]
    """Kind of system -> how its records become standard rows."""
    totals: Callable[[pd.DataFrame], pd.Series]
    """Rows -> what the chart shows: amounts by (label, unit)."""

    @property
    def table(self) -> StandardTable:
        """The table of standard fields."""
        return StandardTable(self.name, tuple(self.schema.columns), self.business_date)


def _per_meter(rows: pd.DataFrame) -> pd.Series:
    return rows["consumption_value"].astype("float64").groupby([rows["meter_id"], rows["consumption_unit"]]).sum()


FACTS = {
    "energy_consumption": FactDataset(
        name="energy_consumption",
        description="Energy used, by meter and period, as the ERP books it: one row per system and document, amounts "
        "in the unit of entry (UCUM), times UTC. Read it as `erp.energy_consumption`.",
        schema=ENERGY_CONSUMPTION,
        business_date="transaction_date",
        standardise={"sap": sap_energy},
        totals=_per_meter,
    )
}
"""Dataset name -> its declaration."""
