"""The fake as a part of the demo plant: its application, and the block of integrations.yaml that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from resources.demo_plant.erp.sap.books.measurements import METERS
from resources.demo_plant.erp.sap.login import SapLogin
from resources.demo_plant.erp.sap.service import TOKEN_PATH, create_app
from resources.demo_plant.erp.sap.services import make_books

SECRET = "SAP_CLIENT_SECRET"  # noqa: S105 - the name of a variable
"""Environment variable with the secret of the demo's client."""

DATASETS = (
    "energy_consumption",
    "production_schedule",
    "planned_orders",
    "purchase_orders",
    "cost_centers",
    "materials",
    "financial_transactions",
)
"""What the demo pulls: of what can be read by two protocols, one."""


def demo_app(secret: str, seed: int) -> Starlette:
    """Return the fake with the documents of a seed; its client proves itself by `secret`."""
    return create_app(make_books(seed=seed), login=SapLogin(client_secret=secret))


def demo_settings(base_url: str, ca_certificate: Path) -> dict[str, Any]:
    """Return the block of integrations.yaml that reads the fake at `base_url`."""
    login = SapLogin()
    return {
        "kind": "sap",
        "http": {
            "base_url": base_url,
            "ca_certificate": str(ca_certificate),
            # the stand-in is ours to press
            "rate_limit_per_minute": None,
        },
        "oauth": {
            "token_url": base_url + TOKEN_PATH,
            "client_id": login.client_id,
            "client_secret": f"${{{SECRET}}}",
            "scope": login.scope,
        },
        "company": "1000",
        "datasets": list(DATASETS),
        "meters": {
            meter.point: {
                "energy_type": meter.energy_type,
                "plant_code": "GL01",
                "location_code": meter.equipment,
                "cost_center": "4711",
                "interval": "1h",
            }
            for meter in METERS
        },
    }
