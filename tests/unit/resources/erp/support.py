"""The SAP-like service on a real TLS socket, and configurations that lead to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from resources.core.clock import Clock
from resources.demo_plant.erp.sap.books.book import Book
from resources.demo_plant.erp.sap.books.measurements import METERS
from resources.demo_plant.erp.sap.control import SapControl
from resources.demo_plant.erp.sap.login import SapLogin
from resources.demo_plant.erp.sap.service import create_app
from resources.demo_plant.erp.sap.services import Books, make_books
from resources.erp.sap.config import SapConfig
from resources.integrations import Integrations
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.served import ServedFake

SECRET_VARIABLE = "SAP_CLIENT_SECRET"
METER_SETTINGS = {
    meter.point: {
        "energy_type": meter.energy_type,
        "plant_code": "P100",
        "location_code": f"P100-{meter.equipment}",
        "cost_center": "4711",
        "interval": "1h",
    }
    for meter in METERS
}


class SapServer(ServedFake):
    """A running system; `.control` misbehaves, `.books` holds the documents, `.book` the measurements."""

    def __init__(
        self,
        authority: CertificateAuthority,
        books: Books,
        *,
        login: SapLogin | None = None,
        demand_certificate: bool = False,
        base_path: str = "",
    ) -> None:
        self.books = books
        self.book = books.measurements
        self.control = SapControl()
        app = create_app(books, login=login, control=self.control)
        if base_path:
            app = Starlette(routes=[Mount(base_path, app)])
        super().__init__(
            app,
            authority,
            "sap",
            ssl_ca_certs=str(authority.certificate) if demand_certificate else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if demand_certificate else ssl.CERT_NONE,
        )

    def settings(self, **changes: Any) -> dict[str, Any]:
        http = self.http(50, changes)
        oauth = {
            "token_url": f"{self.base}/sap/bc/sec/oauth2/token",
            "client_id": "GL_PLATFORM",
            "client_secret": f"${{{SECRET_VARIABLE}}}",
            **changes.pop("oauth", {}),
        }
        return {
            "kind": "sap",
            "http": http,
            "oauth": oauth,
            "company": "1000",
            "meters": METER_SETTINGS,
            **changes,
        }

    def config(self, **changes: Any) -> SapConfig:
        return SapConfig.model_validate(self.settings(**changes))

    def source_keys(self, dataset: str, day: date | None = None) -> set[str]:
        """Return the keys that the books hold for a dataset the connector ships: of a day, or all valid today."""
        books = self.books
        book: Book = {
            "energy_consumption": books.measurements,
            "production_schedule": books.production_orders,
            "planned_orders": books.planned_orders,
            "purchase_orders": books.purchase_orders,
            "purchase_orders_v2": books.purchase_orders,
            "cost_centers": books.cost_centers,
            "materials": books.materials,
            "materials_v2": books.materials,
            "financial_transactions": books.journal,
        }[dataset]
        documents = book.records(day, day)
        if dataset.startswith("purchase_orders"):
            items = [item for order in documents for item in order["items"]]
            return {f"{item['PurchaseOrder']}/{item['PurchaseOrderItem']}" for item in items}
        if dataset == "cost_centers":
            today = books.cost_centers.today().isoformat()
            valid = [d for d in documents if d["ValidityStartDate"] <= today <= d["ValidityEndDate"]]
            return {f"{center['ControllingArea']}/{center['CostCenter']}" for center in valid}
        return {book.identity(document) for document in documents}

    def integrations(self, **changes: Any) -> Integrations:
        return integrations({"sap": self.settings(**changes)})


def integrations(systems: dict[str, Any], **changes: Any) -> Integrations:
    return Integrations.model_validate(
        {"site": "demo", "start": "2026-10-01T00:00:00Z", "erp": {"systems": systems, **changes}}
    )


@contextmanager
def sap_server(
    authority: CertificateAuthority, *, zone: str = "UTC", clock: Clock | None = None, **options: Any
) -> Iterator[SapServer]:
    server = SapServer(authority, make_books(zone=zone, clock=clock), **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def folder_of(home: Path) -> Path:
    return home / ".gl"
