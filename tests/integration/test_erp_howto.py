"""The configurations of docs/how-to/erp-datasets.md, as they stand there, against the SAP-like service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.demo_plant.erp.sap.login import SapLogin
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "erp-datasets.md"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


def shown() -> list[dict[str, Any]]:
    """Return what the page's YAML blocks hold under `datasets`, in order."""
    return [
        yaml.safe_load(block)["datasets"] for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    ]


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        yield server


def test_datasets_when_changed_as_the_page_says_differ_in_just_that(sap: SapServer) -> None:
    changed = sap.config(datasets=shown()[0]).datasets
    shipped = sap.config(datasets=list(shown()[0])).datasets
    assert changed["energy_consumption"] == shipped["energy_consumption"]
    orders = changed["production_schedule"]
    assert (orders.poll_every, orders.contract) == (timedelta(seconds=60), "freeze")
    assert orders.extra == {**shipped["production_schedule"].extra, "mrp_controller": "MRPController"}
    assert changed["purchase_orders"].sweep == 30


def test_a_dataset_when_declared_as_the_page_says_feeds_its_table(
    sap: SapServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    platform = Platform(sap.integrations(datasets=shown()[1]), database_url, tmp_path)
    assert platform.pull(YESTERDAY - timedelta(days=2), YESTERDAY).success
    planned = [order for day in range(3) for order in sap.books.planned_orders.day(YESTERDAY - timedelta(days=day))]
    firm = sorted(f"F{order['PlannedOrder']}" for order in planned if order["PlannedOrderIsFirm"])
    assert firm
    rows = platform.rows("SELECT source_key, order_type, unit IS NOT NULL FROM erp.production_schedule ORDER BY 1")
    assert rows == [(key, "firm", True) for key in firm]
