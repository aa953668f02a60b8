"""The process of an ERP run killed in the middle of a range: no half day is ever seen, and the next run makes it whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
import yaml

from resources.demo_plant.erp.sap.login import SapLogin
from resources.integrations import load_integrations
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

DAY = date(2026, 11, 16)
DAYS = [DAY + timedelta(days=number) for number in range(4)]
A_DAYS_DOCUMENTS = 8 * 24
PAGES_A_DAY = 4
ONLY = ["erp/sap/energy_consumption", "erp/energy_consumption"]
RUN = """
import sys
from datetime import date
from pathlib import Path
from resources.integrations import load_integrations
from tests.integration.erp_platform import Platform
first, last, url, folder, *only = sys.argv[1:]
platform = Platform(load_integrations(), url, Path(folder))
platform.pull(date.fromisoformat(first), date.fromisoformat(last), only=only)
"""


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        yield server


class Watcher(threading.Thread):
    """Reads the tables all the time, as a dashboard would, and keeps the number of rows it saw of any day."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.seen: set[int] = set()
        self._url, self._over = url, threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.is_set():
                for table, day in (("landed_records", "partition_date"), ("energy_consumption", "transaction_date")):
                    rows = connection.execute(f"SELECT count(*) FROM erp.{table} GROUP BY {day}").fetchall()
                    self.seen |= {row[0] for row in rows}

    def stop(self) -> set[int]:
        self._over.set()
        self.join(30)
        return self.seen


@pytest.fixture
def watcher(database_url: str) -> Iterator[Watcher]:
    found = Watcher(database_url)
    found.start()
    yield found
    found.stop()


def test_a_run_when_killed_between_pages_leaves_whole_days_and_the_next_one_the_rest(
    sap: SapServer, watcher: Watcher, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    settings = sap.settings(datasets=["energy_consumption"], http={"timeout": "120s"})
    file = tmp_path / "integrations.yaml"
    file.write_text(
        yaml.safe_dump({"site": "t", "start": "2026-10-01T00:00:00Z", "erp": {"systems": {"sap": settings}}})
    )
    monkeypatch.setenv("GL_CONFIG", str(file))
    # the third page of the third day is answered only after the process is gone
    sap.control.misbehave("slow", after=2 * PAGES_A_DAY + 2, seconds=600)
    arguments = [str(DAYS[0]), str(DAYS[-1]), database_url, str(tmp_path), *ONLY]
    process = subprocess.Popen([sys.executable, "-c", RUN, *arguments], cwd=os.getcwd())
    deadline = time.monotonic() + 120
    while sap.control.requests < 2 * PAGES_A_DAY + 3 and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended by itself"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    platform = Platform(load_integrations(), database_url, tmp_path)
    landed = "SELECT partition_date, count(*), count(DISTINCT source_key) FROM erp.landed_records GROUP BY 1 ORDER BY 1"
    assert platform.rows(landed) == [(day, A_DAYS_DOCUMENTS, A_DAYS_DOCUMENTS) for day in DAYS[:2]]
    assert platform.one("SELECT count(*) FROM erp.energy_consumption") == 0
    assert platform.pull(DAYS[0], DAYS[-1], only=ONLY).success
    assert platform.rows(landed) == [(day, A_DAYS_DOCUMENTS, A_DAYS_DOCUMENTS) for day in DAYS]
    standard = "SELECT transaction_date, count(*) FROM erp.energy_consumption GROUP BY 1 ORDER BY 1"
    assert platform.rows(standard) == [(day, A_DAYS_DOCUMENTS) for day in DAYS]
    # no reader ever saw a part of a day
    assert watcher.stop() == {A_DAYS_DOCUMENTS}
