"""The fake as a part of the demo plant: its application, and the block of integrations.yaml that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.demo_plant.erp.dynamics.ledger import ALLOCATION_JOURNAL, COMPANIES
from resources.demo_plant.erp.dynamics.masters import DEFAULT_DIMENSION_FORMAT, LEDGER_DIMENSION_FORMAT
from resources.demo_plant.erp.dynamics.service import create_app

SECRET = "DYNAMICS_CLIENT_SECRET"  # noqa: S105 - the name of a variable
"""Environment variable with the secret of the demo's client."""


def demo_app(secret: str, seed: int) -> Starlette:
    """Return the fake with the records of a seed; its client proves itself by `secret`."""
    return create_app(DynamicsBook(seed=seed), entra=EntraApp(client_secret=secret))


def demo_settings(base_url: str, ca_certificate: Path) -> dict[str, Any]:
    """Return the block of integrations.yaml that reads the fake at `base_url`."""
    app = EntraApp()
    return {
        "kind": "dynamics",
        "http": {
            "base_url": base_url,
            "ca_certificate": str(ca_certificate),
            # the stand-in is ours to press
            "rate_limit_per_minute": None,
        },
        "auth": {
            "type": "client_credentials",
            "token_url": f"{base_url}/{app.tenant}/oauth2/v2.0/token",
            "client_id": app.client_id,
            "client_secret": f"${{{SECRET}}}",
            "client_auth": "client_secret_post",
            "scope": f"{base_url}/.default",
        },
        "company": COMPANIES[0].data_area,
        "companies": [company.data_area for company in COMPANIES],
        "ledger_dimension_format": list(LEDGER_DIMENSION_FORMAT),
        "default_dimension_format": list(DEFAULT_DIMENSION_FORMAT),
        "datasets": {
            "cost_allocation": {"options": {"journal_names": [ALLOCATION_JOURNAL]}},
            "financial_transactions": {},
            "production_schedule": {},
            "purchase_orders": {},
            "cost_centers": {},
        },
    }
