"""The fake Workday's data sources: the rows that WQL, REST and custom reports show of its objects.

Field aliases are invented in Workday's manner: a tenant's own are listed by `/ccx/api/wql/v1/<tenant>/dataSources`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday.book import ACCOUNTS, Thing, WorkdayBook, wid_of
from resources.demo_plant.erp.workday.control import spoilt

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """Which accounting dates, or which moments of change, are asked for; sources without them ignore it."""

    first: date
    last: date
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DataSource:
    """One data source of WQL: its fields with their types, and its rows."""

    label: str
    fields: dict[str, str]
    rows: Callable[[WorkdayBook, Span, Fault | None], list[Row]]
    dated: str | None = None
    """Field with the accounting date; rows are generated only for the dates that a query allows."""
    stamped: str = "lastUpdated"
    """Field with the moment of the last change."""


def _instance(kind: str, code: str | None, label: str | None = None) -> Row | None:
    return None if code is None else {"id": wid_of(kind, code), "descriptor": label or code}


def _journal_lines(book: WorkdayBook, span: Span, fault: Fault | None) -> list[Row]:
    if span.since is not None:
        found = book.journals_updated(span.since, span.until or book.clock.now())
    else:
        found = book.journals(span.first, span.last)
    return [_journal_line(journal, line) for journal in spoilt(found, fault) for line in journal["lines"]]


def _journal_line(journal: Thing, line: Thing) -> Row:
    currency = journal["currency"]
    return {
        "workdayID": journal["wid"] and f"{journal['wid']}-{line['order']}",
        "journalNumber": journal["number"],
        "lineOrder": line["order"],
        "accountingDate": journal["accounting_date"],
        "company": _instance("company", journal["company"]),
        "companyID": journal["company"],
        "ledgerAccount": _instance("account", line["account"], f"{line['account']} {ACCOUNTS[line['account']]}"),
        "ledgerAccountID": line["account"],
        "debitAmount": {"value": line["debit"], "currency": currency},
        "creditAmount": {"value": line["credit"], "currency": currency},
        "currency": currency,
        "costCenterID": line["cost_center"],
        "spendCategory": line["spend_category"],
        "lineMemo": line["memo"],
        "journalStatus": journal["status"],
        "lastUpdated": journal["updated"].isoformat().replace("+00:00", "Z"),
    }


def _cost_centers(book: WorkdayBook, span: Span, fault: Fault | None) -> list[Row]:
    del span, fault
    return [
        {
            "workdayID": center["wid"],
            "costCenter": _instance("cost_center", center["code"], center["name"]),
            "costCenterID": center["code"],
            "costCenterName": center["name"],
            "managerID": center["manager"],
            "availabilityDate": center["valid_from"],
            "inactiveDate": center["valid_to"],
            "inactive": center["valid_to"] is not None,
            "costCenterHierarchy": "PROCESS_HEAT",
            "lastUpdated": center["updated"].isoformat().replace("+00:00", "Z"),
        }
        for center in book.cost_centers()
    ]


def _workers(book: WorkdayBook, span: Span, fault: Fault | None) -> list[Row]:
    del span, fault
    return [
        {
            "workdayID": worker["wid"],
            "employeeID": worker["worker_id"],
            "positionID": worker["position_id"],
            "positionTitle": worker["title"],
            "costCenterID": worker["cost_center"],
            "locationID": worker["location"],
            "fte": float(worker["fte"]) / 100,
            "positionStartDate": worker["start"],
            "positionEndDate": worker["end"],
            "lastUpdated": worker["updated"].isoformat().replace("+00:00", "Z"),
            "fullName": worker["name"],
            "dateOfBirth": worker["birth_date"],
            "email_Work": worker["email"],
            "totalBasePay": {"value": worker["salary"], "currency": "EUR"},
        }
        for worker in book.workers()
    ]


def _typed(**aliases: str) -> dict[str, str]:
    return {alias: kind for kind, names in aliases.items() for alias in names.split()}


SOURCES: dict[str, DataSource] = {
    "journalLines": DataSource(
        "Journal Lines",
        _typed(
            Text="workdayID journalNumber companyID ledgerAccountID costCenterID currency spendCategory lineMemo "
            "journalStatus",
            Date="accountingDate",
            Numeric="lineOrder",
            Currency="debitAmount creditAmount",
            Instance="company ledgerAccount",
            DateTime="lastUpdated",
        ),
        _journal_lines,
        dated="accountingDate",
    ),
    "costCenters": DataSource(
        "Cost Centers",
        _typed(
            Text="workdayID costCenterID costCenterName managerID costCenterHierarchy",
            Date="availabilityDate inactiveDate",
            Boolean="inactive",
            Instance="costCenter",
            DateTime="lastUpdated",
        ),
        _cost_centers,
    ),
    "allWorkers": DataSource(
        "All Workers",
        _typed(
            Text="workdayID employeeID positionID positionTitle costCenterID locationID fullName email_Work",
            Numeric="fte",
            Date="positionStartDate positionEndDate dateOfBirth",
            Currency="totalBasePay",
            DateTime="lastUpdated",
        ),
        _workers,
    ),
}
"""Alias -> data source."""
