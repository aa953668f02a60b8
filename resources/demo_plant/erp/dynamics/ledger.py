"""The ledger of the demo plant's two companies: journals of every day, and the entries they become once posted.

Every day each company allocates its energy cost: one journal batch, one debit line for each cost centre and one offset,
whose account carries no cost centre. A second batch is of another journal name, so that it has to be told apart.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from typing import Any

Record = dict[str, Any]

NULL_DATE = "1900-01-01T12:00:00Z"
"""What a date that was never entered looks like."""

ALLOCATION_JOURNAL = "ENALLOC"
"""Name of the journal that allocates energy cost."""

GENERAL_JOURNAL_NAME = "GENJRN"
_FIRST_DAY = date(2000, 1, 1).toordinal()
_FIRST_RECORD_ID = 5_637_144_576


@dataclass(frozen=True, slots=True)
class CostCenter:
    """A value of the dimension CostCenter; `value` may hold the delimiter of display values."""

    value: str
    name: str
    business_unit: str
    department: str
    share: float


COST_CENTERS = (
    CostCenter("1100", "Boiler house", "001", "OPS", 0.34),
    CostCenter("1200", "Furnace hall", "001", "OPS", 0.27),
    CostCenter("HX-01", "Heat exchangers, line 1", "001", "OPS", 0.16),
    CostCenter("HX-02", "Heat exchangers, line 2", "002", "OPS", 0.13),
    CostCenter("2100", "Utilities", "002", "UTL", 0.1),
)


@dataclass(frozen=True, slots=True)
class Company:
    """A legal entity: its id (`dataAreaId`, lower case), its currency and a number that keeps its keys apart."""

    data_area: str
    name: str
    currency: str
    number: int


COMPANIES = (Company("usmf", "Contoso Process Heat USA", "USD", 1), Company("demf", "Contoso Prozesswärme", "EUR", 2))
"""The two companies; the first one is the default of the user behind the application."""


def noon(day: date) -> str:
    """Return a day as Finance & Operations writes dates: at noon, so that no zone moves it."""
    return f"{day.isoformat()}T12:00:00Z"


def display_value(*segments: str) -> str:
    """Return segments joined by the delimiter; one that holds it has it escaped."""
    return "-".join(segment.replace("\\", "\\\\").replace("-", "\\-") for segment in segments)


def day_random(seed: int, company: Company, day: date, kind: str) -> random.Random:
    """Return the source of chance of a company's day; the same for the same arguments, on every machine."""
    return random.Random(f"{seed}/{company.data_area}/{day}/{kind}")


def day_number(day: date) -> int:
    """Return a number that grows with the day."""
    return day.toordinal() - _FIRST_DAY


def journal_headers(seed: int, company: Company, day: date, *, posted: bool) -> list[Record]:
    """Return the journal batches of a day."""
    lines = journal_lines(seed, company, day)
    found = []
    for name, description in (
        (ALLOCATION_JOURNAL, "Energy cost allocation"),
        (GENERAL_JOURNAL_NAME, "General journal"),
    ):
        number = batch_number(company, day, name)
        of_batch = [line for line in lines if line["JournalBatchNumber"] == number]
        found.append(
            {
                "dataAreaId": company.data_area,
                "JournalBatchNumber": number,
                "JournalName": name,
                "Description": f"{description} {day.isoformat()}",
                "AccountingCurrency": company.currency,
                "PostingLayer": "Current",
                "IsPosted": "Yes" if posted else "No",
                "JournalTotalDebit": round(sum(line["DebitAmount"] for line in of_batch), 2),
                "JournalTotalCredit": round(sum(line["CreditAmount"] for line in of_batch), 2),
            }
        )
    return found


def batch_number(company: Company, day: date, name: str) -> str:
    """Return the number of the batch of a journal that a company has that day."""
    prefix = "A" if name == ALLOCATION_JOURNAL else "G"
    return f"{prefix}{company.number}-{day_number(day):06d}"


def journal_lines(seed: int, company: Company, day: date) -> list[Record]:
    """Return the lines of all batches of a day; each batch is balanced."""
    chance = day_random(seed, company, day, "allocation")
    cost = round(chance.uniform(4000, 9000), 2)
    amounts = [round(cost * center.share, 2) for center in COST_CENTERS[:-1]]
    amounts.append(round(cost - sum(amounts), 2))
    lines = []
    for number, (center, amount) in enumerate(zip(COST_CENTERS, amounts, strict=True), 1):
        line = _line(company, day, ALLOCATION_JOURNAL, number)
        line |= {
            "AccountDisplayValue": display_value("618100", center.business_unit, center.department, center.value),
            "DefaultDimensionDisplayValue": display_value(center.business_unit, center.department, center.value),
            "DebitAmount": amount,
            "Quantity": round(amount / 0.09, 1),
            "Text": f"Energy, {center.name}",
        }
        lines.append(line)
    offset = _line(company, day, ALLOCATION_JOURNAL, len(COST_CENTERS) + 1)
    offset |= {
        "AccountDisplayValue": display_value("605000", "", "", ""),
        "CreditAmount": cost,
        "Text": "Energy, offset",
    }
    return [*lines, offset, *_general_lines(seed, company, day)]


def _general_lines(seed: int, company: Company, day: date) -> list[Record]:
    chance = day_random(seed, company, day, "general")
    lines = []
    for number in range(1, 2 * chance.randint(1, 4) + 1, 2):
        amount = round(chance.uniform(50, 5000), 2)
        center = chance.choice(COST_CENTERS)
        debit, credit = (_line(company, day, GENERAL_JOURNAL_NAME, n) for n in (number, number + 1))
        debit |= {
            "AccountDisplayValue": display_value("606300", center.business_unit, center.department, center.value),
            "DebitAmount": amount,
            "Text": chance.choice(("Maintenance", "Consumables", "Chemicals \u2013 water treatment")),
        }
        credit |= {
            "AccountType": "Vend",
            "AccountDisplayValue": f"V{chance.randint(1, 40):05d}",
            "CreditAmount": amount,
        }
        lines += [debit, credit]
    return lines


def _line(company: Company, day: date, journal: str, number: int) -> Record:
    """Return a line without amounts and accounts."""
    batch = batch_number(company, day, journal)
    return {
        "dataAreaId": company.data_area,
        "JournalBatchNumber": batch,
        "LineNumber": number,
        "AccountType": "Ledger",
        "AccountDisplayValue": "",
        "DefaultDimensionDisplayValue": "",
        "DebitAmount": 0,
        "CreditAmount": 0,
        "Quantity": 0,
        "ExchRate": 100,
        "TransDate": noon(day),
        "DocumentDate": NULL_DATE,
        "CurrencyCode": company.currency,
        "Voucher": f"{batch}-V",
        "Text": "",
        "Document": "",
        "Invoice": "",
        "OffsetAccountDisplayValue": "",
        "OffsetAccountType": "Ledger",
    }


def general_journal_entries(seed: int, company: Company, day: date) -> list[Record]:
    """Return the posted entries of a day: every line of its journals; amounts are negative where they are credits."""
    entries = []
    for number, line in enumerate(journal_lines(seed, company, day)):
        amount = round(line["DebitAmount"] - line["CreditAmount"], 2)
        ledger = line["AccountType"] == "Ledger"
        account = line["AccountDisplayValue"] if ledger else display_value("211100", "", "", "")
        minutes = 60 * 17 + number % 60
        entries.append(
            {
                "dataAreaId": company.data_area,
                "GeneralJournalAccountEntryRecId": _FIRST_RECORD_ID
                + (day_number(day) * 10 + company.number) * 1000
                + number,
                "JournalNumber": f"{company.number}{day_number(day):08d}",
                "Voucher": line["Voucher"],
                "LedgerAccount": account,
                "AccountDisplayValue": account,
                "Description": line["Text"],
                "DocumentNumber": "",
                "MainAccount": _FIRST_RECORD_ID + int(account[:6]),
                "TransactionCurrencyAmount": amount,
                "TransactionCurrencyCode": line["CurrencyCode"],
                "AccountingCurrencyAmount": amount,
                "ReportingCurrencyAmount": amount,
                "Quantity": line["Quantity"],
                "IsCredit": "Yes" if amount < 0 else "No",
                "IsCorrection": "No",
                "PostingType": "LedgerJournal" if ledger else "VendBalance",
                "PostingLayer": "Current",
                "AccountingDate": noon(day),
                "DocumentDate": NULL_DATE,
                "ModifiedDateTime1": f"{day.isoformat()}T{minutes // 60:02d}:{minutes % 60:02d}:00Z",
            }
        )
    return entries
