"""The fake Oracle on a real TLS socket, and configurations that lead to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from resources.core.clock import Clock, ManualClock
from resources.demo_plant.erp.oracle.records import METERS
from resources.demo_plant.erp.oracle.service import TOKEN_PATH, OracleBook, OracleControl, OracleLogin, create_app
from resources.erp.connector import Part
from resources.erp.oracle.client import OracleClient
from resources.erp.oracle.config import OracleConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.served import ServedFake

SECRET_VARIABLE = "ORACLE_CLIENT_SECRET"
PASSWORD_VARIABLE = "ORACLE_PASSWORD"
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
DAY = date(2026, 11, 20)
"""A Friday."""
SATURDAY = date(2026, 11, 21)

METER_SETTINGS = {
    meter.code: {
        "energy_type": meter.energy_type,
        "plant_code": "M100",
        "location_code": f"M100-{meter.asset_number}",
        "cost_center": "4711",
        "interval": "1h",
        "unit": meter.unit,
    }
    for meter in METERS
}


class OracleServer(ServedFake):
    """A running fake; `.control` misbehaves, `.book` holds the records, `.clock` is its clock."""

    def __init__(self, authority: CertificateAuthority, *, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock(NOW)
        self.book = OracleBook(first_day=date(2026, 10, 1), clock=self.clock)
        self.control = OracleControl()
        self.login = OracleLogin()
        app = create_app(self.book, login=self.login, control=self.control, clock=self.clock, own_date=True)
        super().__init__(app, authority, "oracle", date_header=False)

    def settings(self, **changes: Any) -> dict[str, Any]:
        http = self.http(50, changes)
        auth = {
            "type": "client_credentials",
            "token_url": f"{self.base}{TOKEN_PATH}",
            "client_id": self.login.client_id,
            "client_secret": f"${{{SECRET_VARIABLE}}}",
            "scope": self.login.scope,
        }
        return {
            "kind": "oracle",
            "http": http,
            "auth": changes.pop("auth", auth),
            "company": "01",
            "meters": METER_SETTINGS,
            **changes,
        }

    def config(self, **changes: Any) -> OracleConfig:
        return OracleConfig.model_validate(self.settings(**changes))

    def client(self, **changes: Any) -> OracleClient:
        """A client with a clock of its own: clients that share a clock share tokens."""
        return OracleClient("oracle", self.config(**changes), clock=ManualClock(NOW))

    def pull(self, dataset: str, part: Part, **changes: Any) -> Pulled:
        with self.client(**changes) as client:
            return Pulled.of(client, dataset, part)


class Pulled:
    """What a part of a dataset brought."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.texts: list[bytes] = []
        self.counts: list[int | None] = []

    @classmethod
    def of(cls, client: OracleClient, dataset: str, part: Part) -> Pulled:
        pulled = cls()
        for page in client.fetch(dataset, part):
            pulled.texts += page.records
            pulled.records += [json.loads(record) for record in page.records]
            pulled.counts.append(page.server_count)
        return pulled


@contextmanager
def oracle_server(authority: CertificateAuthority, **options: Any) -> Iterator[OracleServer]:
    server = OracleServer(authority, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
