"""The SAP-like service killed in the middle of a pull, and two pulls of the same day at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from resources.core.errors import UnreachableError
from resources.demo_plant.erp.sap.books.measurements import MeterBook
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.declared import DatasetConfig
from resources.erp.landed.landing import LandedDay, Landing, land_day
from resources.erp.records import RecordPage, read_ahead
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig
from resources.transport.text.json_text import dump_json, parse_json
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE

DAY = date(2026, 11, 18)
DECLARED = DatasetConfig(resource="MeasurementDocument", key=("MeasurementDocument",), business_date="MsmtRdngDate")
LANDING = Landing("sap", "energy_consumption", DAY, DECLARED, "run-1")
SERVICE = """
import sys, uvicorn
from resources.demo_plant.erp.sap.service import create_app
uvicorn.run(create_app(), fd=int(sys.argv[1]), ssl_certfile=sys.argv[2], ssl_keyfile=sys.argv[3],
            lifespan="off", ws="none", log_level="critical")
"""


class SapProcess:
    def __init__(self, authority: CertificateAuthority) -> None:
        issued = authority.issue("sap-process")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        arguments = [str(self._listener.fileno()), str(issued.certificate), str(issued.key)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, *arguments], pass_fds=[self._listener.fileno()], cwd=os.getcwd()
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self._listener.close()


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapProcess]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    running = SapProcess(authority)
    yield running
    running.kill()


def config(authority: CertificateAuthority, port: int) -> SapConfig:
    base = f"https://127.0.0.1:{port}"
    return SapConfig.model_validate(
        {
            "kind": "sap",
            "http": {
                "base_url": base,
                "ca_certificate": str(authority.certificate),
                "page_size": 20,
                "attempts": 2,
                "rate_limit_per_minute": None,
            },
            "oauth": {
                "token_url": f"{base}/sap/bc/sec/oauth2/token",
                "client_id": "GL_PLATFORM",
                "client_secret": f"${{{SECRET_VARIABLE}}}",
            },
            "company": "1000",
        }
    )


def land(url: str, pages: Iterator[RecordPage], now: datetime) -> LandedDay:
    with psycopg.connect(url) as connection:
        return land_day(connection, LANDING, pages, now=now)


def marked(documents: list[dict[str, Any]], mark: str) -> list[bytes]:
    return [dump_json({**document, "MsmtValuationCode": mark}) for document in documents]


def stored(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT * FROM erp.landed_records ORDER BY source_key").fetchall()


def test_a_service_when_killed_between_pages_leaves_the_stored_day_as_it_was(
    sap: SapProcess, authority: CertificateAuthority, database_url: str
) -> None:
    now = datetime.now(UTC)
    with SapClient("sap", config(authority, sap.port)) as client:
        assert land(database_url, read_ahead(client.fetch_energy_consumption(DAY)), now).rows == 192
        before = stored(database_url)

        def killed_after_three() -> Iterator[RecordPage]:
            for number, page in enumerate(client.fetch_energy_consumption(DAY)):
                if number == 3:
                    sap.kill()
                records = [dump_json({**parse_json(record), "MsmtValuationCode": "X"}) for record in page.records]
                yield RecordPage(records, page.server_count)

        with pytest.raises(UnreachableError, match="sap: "):
            land(database_url, killed_after_three(), now)
    assert stored(database_url) == before


def test_two_pulls_of_a_day_when_at_once_leave_one_of_them_whole(database_url: str) -> None:
    documents = MeterBook().day(DAY)
    halfway, results = threading.Event(), []

    def first() -> Iterator[RecordPage]:
        yield RecordPage(marked(documents[:100], "A"), len(documents))
        halfway.set()
        # the other pull has begun to wait for the lock, or has not: either way it comes after
        deadline = time.monotonic() + 30
        while not waiting(database_url) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield RecordPage(marked(documents[100:], "A"))

    def second() -> None:
        halfway.wait(30)
        pages = iter([RecordPage(marked(documents[:150], "B"), 150)])
        results.append(land(database_url, pages, datetime.now(UTC)))

    thread = threading.Thread(target=second)
    thread.start()
    results.insert(0, land(database_url, first(), datetime.now(UTC)))
    thread.join(60)
    assert [(r.rows, r.vanished) for r in results] == [(192, 0), (150, 42)]
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT deleted_at IS NULL, raw->>'MsmtValuationCode', count(*) FROM erp.landed_records GROUP BY 1, 2"
        ).fetchall()
    assert sorted(rows) == [(False, "A", 42), (True, "B", 150)]


def waiting(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
        return bool(row and row[0])


def test_memory_when_a_day_is_large_does_not_hold_its_pages(database_url: str, tmp_path: Path) -> None:
    del tmp_path
    alive: list[int] = []
    document = MeterBook().day(DAY)[0]

    class Counted(list[bytes]):
        def __del__(self) -> None:
            alive.remove(id(self))

    def pages() -> Iterator[RecordPage]:
        for page in range(20):
            records = Counted(dump_json({**document, "MeasurementDocument": f"{page}-{n}"}) for n in range(100))
            alive.append(id(records))
            assert len(alive) <= 5
            yield RecordPage(records, 2000)
            del records

    assert land(database_url, read_ahead(pages()), datetime.now(UTC)).rows == 2000
