"""The fake Workday's custom reports (Report as a Service): rows by prompts, all of them in one answer, all of it text.

A prompt that the report does not have is passed over in silence, a field without a value is left out, as in Workday.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday.book import Thing, WorkdayBook, wid_of
from resources.demo_plant.erp.workday.control import spoilt

OWNER = "GL_Report_Owner"
"""The worker or integration user that owns the reports; a part of their path."""

Row = dict[str, Any]


class PromptError(Exception):
    """A prompt that the report demands is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report: its columns, the prompts it demands, and its rows."""

    columns: tuple[str, ...]
    required: tuple[str, ...]
    rows: Callable[[WorkdayBook, Mapping[str, str], Fault | None], list[Row]]


def run(report: Report, book: WorkdayBook, prompts: Mapping[str, str], fault: Fault | None) -> list[Row]:
    """Return the rows of a report.

    Raises:
        PromptError: As above.
    """
    missing = [prompt for prompt in report.required if not prompts.get(prompt)]
    if missing:
        raise PromptError(f"Processing error occurred. Value required for prompt {', '.join(missing)}")
    rows = report.rows(book, prompts, fault)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def schema_of(name: str, report: Report) -> str:
    """Return the XSD that `?xsds` answers."""
    target = f"urn:com.workday.report/{name}"
    columns = "".join(f'<xsd:element name="{c}" type="xsd:string" minOccurs="0"/>' for c in report.columns)
    return (
        f'<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:wd="{target}" elementFormDefault="qualified" '
        f'targetNamespace="{target}"><xsd:element name="Report_Data" type="wd:Report_DataType"/>'
        '<xsd:complexType name="Report_EntryType"><xsd:sequence>'
        f"{columns}</xsd:sequence></xsd:complexType>"
        '<xsd:complexType name="Report_DataType"><xsd:sequence><xsd:element name="Report_Entry" '
        'type="wd:Report_EntryType" minOccurs="0" maxOccurs="unbounded"/></xsd:sequence></xsd:complexType></xsd:schema>'
    )


def _day(prompts: Mapping[str, str], name: str) -> date:
    try:
        return date.fromisoformat(prompts[name][:10])
    except ValueError as error:
        raise PromptError(f"Processing error occurred. Prompt {name} is not a date") from error


def _journal_lines(book: WorkdayBook, prompts: Mapping[str, str], fault: Fault | None) -> list[Row]:
    journals = book.journals(_day(prompts, "Accounting_Date_From"), _day(prompts, "Accounting_Date_To"))
    company = prompts.get("Company!WID")
    if company is not None:
        journals = [journal for journal in journals if wid_of("company", journal["company"]) == company]
    return _lines(journals, fault)


def _updated_journal_lines(book: WorkdayBook, prompts: Mapping[str, str], fault: Fault | None) -> list[Row]:
    try:
        since, until = (datetime.fromisoformat(prompts[name]) for name in ("Updated_From", "Updated_To"))
    except ValueError as error:
        raise PromptError("Processing error occurred. Prompt Updated_From is not a moment") from error
    return _lines(book.journals_updated(since, until), fault)


def _lines(journals: list[Thing], fault: Fault | None) -> list[Row]:
    return [_line(journal, line) for journal in spoilt(journals, fault) for line in journal["lines"]]


def _line(journal: Thing, line: Thing) -> Row:
    return {
        "Journal_Number": journal["number"],
        "Line_Number": str(line["order"]),
        "Accounting_Date": journal["accounting_date"],
        "Company_ID": journal["company"],
        "Ledger_Account_ID": line["account"],
        # a custom report leaves out what is empty, and an amount of nothing is empty
        "Debit_Amount": line["debit"] if float(line["debit"]) else None,
        "Credit_Amount": line["credit"] if float(line["credit"]) else None,
        "Currency": journal["currency"],
        "Cost_Center_ID": line["cost_center"],
        "Spend_Category": line["spend_category"],
        "Line_Memo": line["memo"],
        "Last_Updated": journal["updated"].isoformat(),
    }


def _cost_centers(book: WorkdayBook, prompts: Mapping[str, str], fault: Fault | None) -> list[Row]:
    del prompts, fault
    return [
        {
            "Cost_Center_ID": center["code"],
            "Cost_Center_Name": center["name"],
            "Manager_Employee_ID": center["manager"],
            "Availability_Date": center["valid_from"],
            "Inactive_Date": center["valid_to"],
            "Hierarchy_ID": "PROCESS_HEAT",
        }
        for center in book.cost_centers()
    ]


def _positions(book: WorkdayBook, prompts: Mapping[str, str], fault: Fault | None) -> list[Row]:
    del prompts, fault
    return [_position(worker) for worker in book.workers()]


def _named_positions(book: WorkdayBook, prompts: Mapping[str, str], fault: Fault | None) -> list[Row]:
    del prompts, fault
    return [
        {**_position(worker), "Legal_Name": worker["name"], "Base_Pay": worker["salary"]} for worker in book.workers()
    ]


def _position(worker: Thing) -> Row:
    return {
        "Employee_ID": worker["worker_id"],
        "Position_ID": worker["position_id"],
        "Position_Title": worker["title"],
        "Cost_Center_ID": worker["cost_center"],
        "Location_ID": worker["location"],
        "FTE": str(int(worker["fte"]) / 100),
        "Start_Date": worker["start"],
        "End_Date": worker["end"],
    }


_LINE_COLUMNS = (
    "Journal_Number", "Line_Number", "Accounting_Date", "Company_ID", "Ledger_Account_ID", "Debit_Amount",
    "Credit_Amount", "Currency", "Cost_Center_ID", "Spend_Category", "Line_Memo", "Last_Updated",
)  # fmt: skip
_POSITION_COLUMNS = (
    "Employee_ID", "Position_ID", "Position_Title", "Cost_Center_ID", "Location_ID", "FTE", "Start_Date", "End_Date",
)  # fmt: skip
REPORTS = {
    "GL_Journal_Lines": Report(_LINE_COLUMNS, ("Accounting_Date_From", "Accounting_Date_To"), _journal_lines),
    "GL_Updated_Journal_Lines": Report(_LINE_COLUMNS, ("Updated_From", "Updated_To"), _updated_journal_lines),
    "GL_Cost_Centers": Report(
        (
            "Cost_Center_ID", "Cost_Center_Name", "Manager_Employee_ID", "Availability_Date", "Inactive_Date",
            "Hierarchy_ID",
        ),
        (),
        _cost_centers,
    ),
    "GL_Positions": Report(_POSITION_COLUMNS, (), _positions),
    # whoever built this one put names and pay into it, as happens
    "GL_Positions_With_Names": Report((*_POSITION_COLUMNS, "Legal_Name", "Base_Pay"), (), _named_positions),
}  # fmt: skip
"""Name -> report; all belong to `OWNER`."""
