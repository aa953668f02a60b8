"""The fake Workday's objects as SOAP carries them: nested elements, and references as lists of (type, ID)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday.book import Thing, wid_of
from resources.demo_plant.erp.workday.control import spoilt

Reference: TypeAlias = tuple[tuple[str, str], ...]
"""IDs of one object: type -> ID, as pairs."""
Content: TypeAlias = dict[str, Any]
"""Element -> text, Reference, Content, None (left out), or a list of those (repeated)."""


def reference(kind: str, identity: str, wid: str | None = None) -> Reference:
    """Return a reference by the Workday ID and one ID of `kind`."""
    return (("WID", wid or wid_of(kind, identity)), (kind, identity))


def cost_center(center: Thing) -> Content:
    """Return a Cost_Center."""
    return {
        "Cost_Center_Reference": reference("Cost_Center_Reference_ID", center["code"], center["wid"]),
        "Cost_Center_Data": {
            "Effective_Date": center["valid_from"],
            "Organization_Data": {
                "ID": center["code"],
                "Organization_Name": center["name"],
                "Availability_Date": center["valid_from"],
                "Inactive": "true" if center["valid_to"] else "false",
                "Inactive_Date": center["valid_to"],
                "Manager_Reference": reference("Employee_ID", center["manager"]),
            },
            "Organization_Subtype_Reference": reference("Organization_Subtype_ID", "Cost_Center"),
            "Organization_Container_Reference": [reference("Organization_Reference_ID", "PROCESS_HEAT")],
            "Last_Updated_Date": center["updated"].isoformat(),
        },
    }


def journals(found: Sequence[Thing], fault: Fault | None) -> list[Content]:
    """Return Journal_Entry elements."""
    return [_journal(journal) for journal in spoilt(found, fault)]


def _journal(journal: Thing) -> Content:
    identity = None
    if journal["wid"] is not None:
        identity = reference("Accounting_Journal_ID", journal["number"], journal["wid"])
    debits = sum((Decimal(line["debit"]) for line in journal["lines"]), Decimal())
    return {
        "Journal_Entry_Reference": identity,
        "Journal_Entry_Data": [
            {
                "Journal_Entry_Reference": identity,
                "Journal_Number": journal["number"],
                "Journal_Sequence_Number": journal["number"] and journal["number"][-4:],
                "Journal_Status_Reference": reference("Journal_Entry_Status_ID", journal["status"]),
                "Company_Reference": reference("Company_Reference_ID", journal["company"]),
                "Currency_Reference": reference("Currency_ID", journal["currency"]),
                "Ledger_Reference": reference("Ledger_Reference_ID", journal["ledger"]),
                "Accounting_Date": journal["accounting_date"],
                "Journal_Source_Reference": reference("Journal_Source_ID", journal["source"]),
                "Memo": journal["memo"],
                "Total_Ledger_Debits": str(debits),
                "Total_Ledger_Credits": str(debits),
                "Creation_Date": journal["created"].isoformat(),
                "Last_Updated_Date": journal["updated"].isoformat(),
                "Journal_Entry_Line_Data": [_line(journal, line) for line in journal["lines"]],
            }
        ],
    }


def _line(journal: Thing, line: Thing) -> Content:
    tags = {"Cost_Center_Reference_ID": line["cost_center"], "Spend_Category_ID": line["spend_category"]}
    return {
        "Journal_Line_Number": str(line["order"]),
        "Line_Company_Reference": reference("Company_Reference_ID", journal["company"]),
        "Ledger_Account_Reference": reference("Ledger_Account_ID", line["account"]),
        "Debit_Amount": line["debit"],
        "Credit_Amount": line["credit"],
        "Currency_Reference": reference("Currency_ID", journal["currency"]),
        "Currency_Rate": "1",
        "Ledger_Debit_Amount": line["debit"],
        "Ledger_Credit_Amount": line["credit"],
        "Memo": line["memo"],
        "Worktags_Reference": [reference(kind, value) for kind, value in tags.items() if value is not None],
    }


def worker(held: Thing, *, personal: bool, pay: bool) -> Content:
    """Return a Worker; its descriptor and user name come whatever was asked for, as in Workday."""
    return {
        "Worker_Reference": reference("Employee_ID", held["worker_id"], held["wid"]),
        "Worker_Descriptor": held["name"],
        "Worker_Data": {
            "Worker_ID": held["worker_id"],
            "User_ID": held["user"],
            "Personal_Data": _personal(held) if personal else None,
            "Employment_Data": {"Worker_Job_Data": [_job(held)]},
            "Compensation_Data": {"Total_Base_Pay": held["salary"]} if pay else None,
        },
    }


def _personal(held: Thing) -> Content:
    return {
        "Name_Data": {"First_Name": held["given_name"], "Last_Name": held["family_name"]},
        "Birth_Date": held["birth_date"],
        "Email_Address": held["email"],
    }


def _job(held: Thing) -> Content:
    organization = {
        "Organization_Reference": reference("Cost_Center_Reference_ID", held["cost_center"]),
        "Organization_Type_Reference": reference("Organization_Type_ID", "COST_CENTER"),
    }
    return {
        "Position_Data": {
            "Position_ID": held["position_id"],
            "Position_Title": held["title"],
            "Business_Title": f"{held['title']} ({held['name']})",
            "Start_Date": held["start"],
            "End_Date": held["end"],
            "Scheduled_Weekly_Hours": "40",
            "Full_Time_Equivalent_Percentage": held["fte"],
            "Working_FTE": str(int(held["fte"]) / 100),
            "Business_Site_Summary_Data": {
                "Location_Reference": reference("Location_ID", held["location"]),
                "Name": held["location"],
            },
            "Last_Updated_Date": held["updated"].isoformat(),
        },
        "Position_Organizations_Data": {"Position_Organization_Data": [organization]},
    }
