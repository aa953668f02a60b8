"""From the fake Oracle through Dagster into TimescaleDB: every dataset, a quiet day, and an unmapped client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from resources.demo_plant.erp.oracle.login import OracleLogin
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform, failure
from tests.unit.resources.erp.oracle.support import SECRET_VARIABLE, OracleServer, oracle_server
from tests.unit.resources.erp.support import integrations

THURSDAY, FRIDAY, SUNDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 15)


@pytest.fixture
def oracle(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[OracleServer]:
    monkeypatch.setenv(SECRET_VARIABLE, OracleLogin().client_secret)
    with oracle_server(authority) as server:
        yield server


@pytest.fixture
def platform(oracle: OracleServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    segments = ["company", "cost_center", "account", "project", "spare"]
    block = oracle.settings(http={"attempts": 1, "page_size": 499}, account_segments=segments)
    return Platform(integrations({"oracle": block}), database_url, tmp_path)


def test_every_dataset_when_pulled_fills_its_table_and_passes_its_gates(platform: Platform) -> None:
    result = platform.pull(THURSDAY, FRIDAY, system="oracle")
    assert result.success
    counts = {
        table: platform.rows(f"SELECT {day}, count(*) FROM erp.{table} GROUP BY 1 ORDER BY 1")
        for table, day in (
            ("energy_consumption", "transaction_date"),
            ("maintenance_schedule", "business_date"),
            ("financial_transactions", "posting_date"),
        )
    }
    assert counts["energy_consumption"] == [(THURSDAY, 120), (FRIDAY, 120)]
    assert counts["financial_transactions"] == [(THURSDAY, 52), (FRIDAY, 52)]
    assert counts["maintenance_schedule"][1] == (FRIDAY, 3)
    assert platform.one("SELECT count(*) FROM erp.assets") == 24
    assert platform.one("SELECT count(*) FROM erp.rejected_records") == 0
    journals = platform.rows(
        "SELECT transaction_id, sum(amount) FROM erp.financial_transactions GROUP BY 1 HAVING sum(amount) <> 0"
    )
    assert journals == []
    red = {c.check_name for c in result.get_asset_check_evaluations() if not c.passed}
    assert red <= {"yesterday_is_landed"}


def test_a_sunday_when_no_journal_is_booked_is_stored_as_an_empty_day(platform: Platform) -> None:
    only = ["erp/oracle/financial_transactions", "erp/financial_transactions"]
    assert platform.pull(SUNDAY, system="oracle", only=only).success
    assert platform.rows("SELECT partition_date, rows FROM erp.pulls") == [(SUNDAY, 0)]


def test_a_client_when_it_loses_its_user_fails_and_takes_nothing_away(platform: Platform, oracle: OracleServer) -> None:
    only = ["erp/oracle/energy_consumption", "erp/energy_consumption"]
    assert platform.pull(FRIDAY, system="oracle", only=only).success
    oracle.control.hidden = {"meterReadings", "currenciesLOV"}
    result = platform.pull(FRIDAY - timedelta(days=1), FRIDAY, system="oracle", only=only)
    assert not result.success
    assert "no Fusion user belongs to the client" in failure(result)
    assert platform.one("SELECT count(*) FROM erp.energy_consumption") == 120
