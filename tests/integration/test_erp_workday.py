"""From the fake Workday through Dagster into the database: journals by day, master data, and no personal data at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resources.core.clock import SystemClock
from resources.integrations import Integrations
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform, failure
from tests.unit.resources.erp.support import integrations
from tests.unit.resources.erp.workday.support import SECRETS, WorkdayServer, workday_server

DAY = date(2026, 11, 18)
DAYS = [DAY, DAY + timedelta(days=1)]
PERSONAL = ("name", "given_name", "family_name", "birth_date", "email", "salary", "user")


@pytest.fixture
def workday(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkdayServer]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with workday_server(authority, clock=SystemClock()) as server:
        yield server


def configured(workday: WorkdayServer, datasets: Any) -> Integrations:
    return integrations({"workday": workday.settings(datasets=datasets, http={"page_size": 50, "attempts": 1})})


@pytest.fixture
def platform(workday: WorkdayServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    datasets = {
        "cost_centers": {"protocol": "soap"},
        "financial_transactions": {},
        "workforce": {"protocol": "raas", "resource": "GL_Positions_With_Names"},
    }
    return Platform(configured(workday, datasets), database_url, tmp_path)


def stored(platform: Platform) -> dict[str, Decimal]:
    rows = platform.rows("SELECT transaction_id || '/' || line, amount FROM erp.financial_transactions")
    return dict(rows)


def held(workday: WorkdayServer) -> dict[str, Decimal]:
    return {
        f"{journal['number']}/{line['order']}": Decimal(line["debit"]) - Decimal(line["credit"])
        for journal in workday.book.journals(DAYS[0], DAYS[-1])
        for line in journal["lines"]
    }


def test_a_tenant_when_pulled_fills_its_tables_and_holds_nothing_personal(
    platform: Platform, workday: WorkdayServer
) -> None:
    result = platform.pull(DAYS[0], DAYS[-1], system="workday")
    assert result.success
    assert stored(platform) == held(workday)
    assert (
        platform.rows("SELECT currency, sum(amount) FROM erp.financial_transactions GROUP BY 1 HAVING sum(amount) <> 0")
        == []
    )
    assert platform.one("SELECT count(*) FROM erp.cost_centers WHERE system = 'workday'") == 7
    assert platform.one("SELECT count(*) FROM erp.workforce WHERE fte BETWEEN 0.5 AND 1") == 60
    assert platform.one("SELECT count(*) FROM erp.rejected_records") == 0
    everything = "\n".join(
        text
        for table in ("landed_records", "workforce", "master_history", "cost_centers")
        for (text,) in platform.rows(f"SELECT t::text FROM erp.{table} t")
    )
    assert "P-01000" in everything
    for worker in workday.book.workers():
        for field in PERSONAL:
            assert worker[field] not in everything, field


def test_a_journal_when_corrected_moved_or_unposted_is_so_after_the_next_pull(
    platform: Platform, workday: WorkdayServer
) -> None:
    assert platform.pull(DAYS[0], DAYS[-1], system="workday").success
    first, second, third, *_ = workday.book.journals(DAY, DAY)
    lines = [{**line, "debit": line["credit"], "credit": line["debit"]} for line in first["lines"]]
    workday.book.change(first["number"], {"lines": lines})
    workday.book.change(second["number"], {"accounting_date": DAYS[1].isoformat()})
    workday.book.vanish(third["number"])
    assert platform.pull(DAYS[0], DAYS[-1], system="workday").success
    assert stored(platform) == held(workday)
    moved = "SELECT DISTINCT posting_date FROM erp.financial_transactions WHERE transaction_id = %s"
    assert platform.rows(moved, second["number"]) == [(DAYS[1],)]
    assert platform.rows(moved, third["number"]) == []


def test_a_fault_in_the_middle_when_it_lasts_leaves_the_stored_day_and_names_it(
    platform: Platform, workday: WorkdayServer
) -> None:
    only = ["erp/workday/financial_transactions", "erp/financial_transactions"]
    assert platform.pull(DAY, system="workday", only=only).success
    before = stored(platform)
    workday.book.vanish(workday.book.journals(DAY, DAY)[0]["number"])
    workday.control.misbehave("processing_fault", times=20)
    result = platform.pull(DAY, system="workday", only=only)
    assert not result.success
    assert "Get_Journals for financial_transactions of 2026-11-18" in failure(result)
    assert "not authorized" in failure(result)
    assert stored(platform) == before


def test_an_unknown_currency_when_sent_is_rejected_with_its_journal(platform: Platform, workday: WorkdayServer) -> None:
    workday.control.misbehave("odd_currency")
    only = ["erp/workday/financial_transactions", "erp/financial_transactions"]
    assert platform.pull(DAY, system="workday", only=only).success
    lines = len(workday.book.journals(DAY, DAY)[0]["lines"])
    reasons = platform.rows("SELECT reasons FROM erp.rejected_records WHERE system = 'workday'")
    assert len(reasons) == lines
    assert all("QQQ" in reason[0] for (reason,) in reasons)
