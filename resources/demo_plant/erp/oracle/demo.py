"""The fake as a part of the demo plant: its application, and the block of integrations.yaml that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from resources.demo_plant.erp.oracle.book import OracleBook
from resources.demo_plant.erp.oracle.login import TOKEN_PATH, OracleLogin
from resources.demo_plant.erp.oracle.records import METERS
from resources.demo_plant.erp.oracle.service import create_app

SECRET = "ORACLE_CLIENT_SECRET"  # noqa: S105 - the name of a variable
"""Environment variable with the secret of the demo's client."""


def demo_app(secret: str, seed: int) -> Starlette:
    """Return the fake with the records of a seed; its client proves itself by `secret`."""
    return create_app(OracleBook(seed=seed), login=OracleLogin(client_secret=secret))


def demo_settings(base_url: str, ca_certificate: Path) -> dict[str, Any]:
    """Return the block of integrations.yaml that reads the fake at `base_url`, every dataset of it."""
    login = OracleLogin()
    return {
        "kind": "oracle",
        "http": {
            "base_url": base_url,
            "ca_certificate": str(ca_certificate),
            # the stand-in is ours to press
            "rate_limit_per_minute": None,
        },
        "auth": {
            "type": "client_credentials",
            "token_url": base_url + TOKEN_PATH,
            "client_id": login.client_id,
            "client_secret": f"${{{SECRET}}}",
            "scope": login.scope,
        },
        "company": "01",
        "account_segments": ["company", "cost_center", "account", "project", "spare"],
        "meters": {
            meter.code: {
                "energy_type": meter.energy_type,
                "plant_code": "M100",
                "location_code": meter.asset_number,
                "cost_center": "4711",
                "interval": "1h",
                "unit": meter.unit,
            }
            for meter in METERS
        },
    }
