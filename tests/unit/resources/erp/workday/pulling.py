"""Pulls as the tests make them."""

from __future__ import annotations

import json
from typing import Any

from resources.erp.connector import Part
from resources.erp.workday.client import WorkdayClient
from resources.erp.workday.config import WorkdayConfig


def pull(config: WorkdayConfig, dataset: str, part: Part) -> list[dict[str, Any]]:
    """Return the records of a part of a dataset, parsed."""
    with WorkdayClient("wd", config) as client:
        return [json.loads(record) for page in client.fetch(dataset, part) for record in page.records]


def lines(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return journal and line of records read by WQL, by a report or by SOAP, in order."""
    return sorted(
        (
            record.get("journalNumber") or record.get("Journal_Number") or record["parent"]["Journal_Number"],
            str(record.get("lineOrder") or record.get("Line_Number") or record["Journal_Line_Number"]),
        )
        for record in records
    )
