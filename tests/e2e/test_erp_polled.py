"""`poll_every` under the real daemon: what changes in the ERP arrives in the standard table, and nobody has asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gl_assets.cli.running.dagster_client import DagsterClient
from gl_assets.erp.jobs import sync_job_name
from resources.demo_plant.erp.sap.login import SapLogin
from resources.embedded.programs import ServerPrograms
from resources.transport.trust.certificates import CertificateAuthority
from tests.e2e.test_up import Running, until
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(1800)]

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture(scope="module")
def sap(authority: CertificateAuthority) -> Iterator[SapServer]:
    with sap_server(authority) as server:
        yield server


@pytest.fixture(scope="module")
def running(programs: ServerPrograms, sap: SapServer) -> Iterator[Running]:
    """`gl up` with one ERP system and nothing else."""
    with tempfile.TemporaryDirectory(prefix="gl-polled-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        file = home / "integrations.yaml"
        file.write_text(yaml.safe_dump(_configuration(sap)))
        platform = Running(
            home, programs, demo=False, environment={"GL_CONFIG": str(file), SECRET_VARIABLE: SapLogin().client_secret}
        )
        yield platform
        if platform.process.poll() is None:
            platform.process.terminate()
            platform.process.wait(120)


def _configuration(sap: SapServer) -> dict[str, Any]:
    datasets = {"production_schedule": {"poll_every": "60s"}}
    system = sap.settings(datasets=datasets, change_margin="1s", change_overlap="30s")
    return {
        "site": "polled",
        "start": f"{YESTERDAY - timedelta(days=7)}T00:00:00Z",
        "erp": {"systems": {"sap": system}},
    }


def _value(running: Running, query: str, *terms: Any) -> Any:
    with running.database() as connection:
        row = connection.execute(query, terms).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


def test_a_record_when_it_changes_in_the_erp_arrives_in_the_table_by_itself(running: Running, sap: SapServer) -> None:
    quantity = "SELECT quantity::float8 FROM erp.production_schedule WHERE order_id = %s"
    number = sap.books.production_orders.day(YESTERDAY)[0]["ManufacturingOrder"]
    with DagsterClient(running.url("Dagster UI")) as dagster:
        run = dagster.launch(sync_job_name("sap"), partitions=(str(YESTERDAY), str(YESTERDAY)))
        until(lambda: _value(running, quantity, number) is not None, lambda: f"{run}: {running.said()}")
        until(lambda: dagster.is_idle(sync_job_name("sap")), running.said)
    assert _value(running, quantity, number) != 777

    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    sap.books.production_orders.change(number, {"TotalQuantity": 777, "LastChangeDateTime": stamp}, day=YESTERDAY)
    until(lambda: _value(running, quantity, number) == 777, running.said)

    by = "SELECT run_id FROM erp.landed_records WHERE dataset = 'production_schedule' AND source_key = %s"
    assert _value(running, by, number) != run
    cursor = "SELECT count(*) FROM erp.cursors WHERE system = 'sap' AND dataset = 'production_schedule'"
    assert _value(running, cursor) == 1
