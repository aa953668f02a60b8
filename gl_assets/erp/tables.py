"""The standard tables of ERP data, declared: schema, business date, what the chart shows, what is checked.

A table is data: which system fills it, from which resource and by which rules, is the connector's to declare
(`resources/erp/<kind>/datasets.yaml`). Adding a table is a schema, an entry here and its migration.
"""

from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa

from gl_assets.schemas.assets import ASSETS
from gl_assets.schemas.cost_allocation import COST_ALLOCATION
from gl_assets.schemas.cost_centers import COST_CENTERS
from gl_assets.schemas.energy_consumption import ENERGY_CONSUMPTION
from gl_assets.schemas.financial_transactions import FINANCIAL_TRANSACTIONS
from gl_assets.schemas.maintenance_schedule import MAINTENANCE_SCHEDULE
from gl_assets.schemas.materials import MATERIALS
from gl_assets.schemas.production_schedule import PRODUCTION_SCHEDULE
from gl_assets.schemas.purchase_orders import PURCHASE_ORDERS
from gl_assets.schemas.workforce import WORKFORCE
from gl_assets.transforms.erp.table_rules import Balanced, InCurrency, Metered, Once, OneValue, TableRule

MOST_BARS = 12
"""Labels that a chart shows of a unit: the largest; the rest would be unreadable."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What the chart of a table shows: an amount by label, one panel per unit."""

    name: str
    """Name of the metadata entry."""
    label: str
    """Column whose values are the bars."""
    amount: str | None = None
    """Column that is summed; rows are counted where there is none."""
    unit: str | None = None
    """Column with the unit or currency of the amount."""

    def totals(self, rows: pd.DataFrame) -> pd.Series:
        """Return the amounts of `rows` by (label, unit); totals of several days add up by the same index."""
        label = rows[self.label].astype("object").fillna("unknown")
        unit = rows[self.unit].astype("object").fillna("") if self.unit else pd.Series(self.name, index=rows.index)
        amount = rows[self.amount].astype("float64") if self.amount else pd.Series(1.0, index=rows.index)
        return amount.groupby([label, unit]).sum()

    def largest(self, totals: pd.Series) -> pd.Series:
        """Return what is drawn of totals: the largest of each unit."""
        order = totals.abs().sort_values(ascending=False).index
        return totals.loc[order].groupby(level=1, sort=False).head(MOST_BARS)


@dataclass(frozen=True)
class MasterTable:
    """A table that holds what is valid now: one snapshot a run, with history by changed_at."""

    name: str
    description: str
    schema: pa.DataFrameSchema
    chart: Chart
    checks: tuple[TableRule, ...] = ()
    """What is checked of its rows together, beside what is checked of every table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `erp.<name>`, in order."""
        return tuple(self.schema.columns)


@dataclass(frozen=True)
class FactTable(MasterTable):
    """A table that is filled by business day."""

    business_date: str = ""
    """Column of type date that holds the business day a row is landed under."""


def _in_currency(amount: str) -> InCurrency:
    return InCurrency(
        "amounts_fit_their_currency",
        "No amount has more decimals than its currency (ISO 4217): more are likelier a wrong factor than cents.",
        amount,
        "currency",
    )


TABLES: dict[str, FactTable | MasterTable] = {
    table.name: table
    for table in (
        FactTable(
            "energy_consumption",
            "Energy used, by meter and period, as the ERP books it: one row per system and document, amounts in the "
            "unit of entry (UCUM), times UTC. Read it as `erp.energy_consumption`.",
            ENERGY_CONSUMPTION,
            Chart("consumption", label="meter_id", amount="consumption_value", unit="consumption_unit"),
            (
                Once(
                    "each_meter_is_booked_once_per_time",
                    "No meter has two documents of the same time: its energy would count twice.",
                    ("system", "meter_id", "period_end"),
                    blocking=True,
                ),
                OneValue(
                    "each_meter_keeps_its_unit",
                    "No meter has amounts in more than one unit.",
                    ("system", "meter_id"),
                    "consumption_unit",
                ),
                Metered(
                    "each_configured_meter_is_booked",
                    "Every meter of the configuration has a document on each day that its system has any.",
                    "meter_id",
                ),
            ),
            business_date="transaction_date",
        ),
        FactTable(
            "production_schedule",
            "Orders to produce, planned and released: one row per system and order, times UTC. "
            "Read it as `erp.production_schedule`.",
            PRODUCTION_SCHEDULE,
            Chart("quantity", label="plant_code", amount="quantity", unit="unit"),
            (
                Once(
                    "each_order_stands_once",
                    "No order of a company stands twice: its quantity would count twice.",
                    ("system", "company", "order_type", "order_id"),
                ),
            ),
            business_date="business_date",
        ),
        FactTable(
            "purchase_orders",
            "Items of purchase orders: one row per system and item, amounts in the currency of the order. "
            "Read it as `erp.purchase_orders`.",
            PURCHASE_ORDERS,
            Chart("net_amount", label="plant_code", amount="net_amount", unit="currency"),
            (
                Once(
                    "each_item_stands_once",
                    "No item of an order stands twice: its value would count twice.",
                    ("system", "company", "order_id", "item"),
                    blocking=True,
                ),
                _in_currency("net_amount"),
            ),
            business_date="order_date",
        ),
        FactTable(
            "maintenance_schedule",
            "Work orders on equipment: one row per system and work order, times UTC. "
            "Read it as `erp.maintenance_schedule`.",
            MAINTENANCE_SCHEDULE,
            Chart("work_orders", label="work_type"),
            (
                Once(
                    "each_work_order_stands_once",
                    "No work order of a company stands twice.",
                    ("system", "company", "work_order_id"),
                ),
            ),
            business_date="business_date",
        ),
        FactTable(
            "financial_transactions",
            "Lines of journals and general ledger entries: one row per system and line, debit positive and credit "
            "negative. Read it as `erp.financial_transactions`.",
            FINANCIAL_TRANSACTIONS,
            Chart("amount", label="cost_center", amount="amount", unit="currency"),
            (
                Once(
                    "each_line_is_posted_once",
                    "No line of a journal stands twice: its amount would count twice.",
                    ("system", "company", "transaction_id", "line"),
                    blocking=True,
                ),
                Balanced(
                    "debit_equals_credit_in_each_journal",
                    "The amounts of each journal and currency sum to 0, where whole journals are read.",
                    ("system", "company", "transaction_id", "currency"),
                    "amount",
                ),
                _in_currency("amount"),
            ),
            business_date="posting_date",
        ),
        FactTable(
            "cost_allocation",
            "Costs charged to cost centers: one row per system, allocation and cost center. "
            "Read it as `erp.cost_allocation`.",
            COST_ALLOCATION,
            Chart("amount", label="cost_center", amount="amount", unit="currency"),
            (
                Once(
                    "no_cost_is_allocated_twice",
                    "No two rows allocate the same amount of the same base to the same cost center and period.",
                    ("system", "allocation_id", "cost_center", "allocation_base", "amount", "currency", "period_start"),
                ),
                _in_currency("amount"),
            ),
            business_date="period_start",
        ),
        MasterTable(
            "cost_centers",
            "The cost centers valid now; older versions stand in `erp.master_history`. Read it as `erp.cost_centers`.",
            COST_CENTERS,
            Chart("cost_centers", label="company"),
            (
                Once(
                    "each_cost_center_stands_once",
                    "No cost center of a company stands twice for the same time.",
                    ("system", "company", "cost_center", "valid_from"),
                ),
            ),
        ),
        MasterTable(
            "assets",
            "The equipment the ERP knows; older versions stand in `erp.master_history`. Read it as `erp.assets`.",
            ASSETS,
            Chart("assets", label="asset_type"),
            (Once("each_asset_stands_once", "No equipment stands twice.", ("system", "company", "asset_id")),),
        ),
        MasterTable(
            "materials",
            "The material master; older versions stand in `erp.master_history`. Read it as `erp.materials`.",
            MATERIALS,
            Chart("materials", label="material_group"),
            (Once("each_material_stands_once", "No material stands twice.", ("system", "company", "material")),),
        ),
        MasterTable(
            "workforce",
            "Positions by cost center, without names or pay; older versions stand in `erp.master_history`. "
            "Read it as `erp.workforce`.",
            WORKFORCE,
            Chart("fte", label="cost_center", amount="fte"),
            (
                Once(
                    "each_worker_stands_once",
                    "No worker has the same position twice from the same day.",
                    ("system", "worker_id", "position", "valid_from"),
                ),
            ),
        ),
    )
}
"""Name -> declaration of all standard tables."""
