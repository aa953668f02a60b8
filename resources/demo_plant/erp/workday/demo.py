"""The fake as a part of the demo plant: its application, and the block of integrations.yaml that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from resources.demo_plant.erp.workday.book import COMPANY, WorkdayBook
from resources.demo_plant.erp.workday.oauth import WorkdayLogin
from resources.demo_plant.erp.workday.service import create_app

SECRET = "WORKDAY_API_KEY"  # noqa: S105 - the name of a variable
"""Environment variable with the demo's secret: the gateway's key, and the client's secret and refresh token as well."""


def demo_app(secret: str, seed: int) -> Starlette:
    """Return the fake with the records of a seed; `secret` opens the gateway and the token endpoint."""
    login = WorkdayLogin(client_secret=secret, refresh_token=secret, password=secret, api_key=secret)
    return create_app(WorkdayBook(seed=seed), login=login)


def demo_settings(base_url: str, ca_certificate: Path) -> dict[str, Any]:
    """Return the block of integrations.yaml that reads the fake at `base_url`."""
    login, variable = WorkdayLogin(), f"${{{SECRET}}}"
    return {
        "kind": "workday",
        "http": {
            "base_url": base_url,
            "ca_certificate": str(ca_certificate),
            # the stand-in is ours to press
            "rate_limit_per_minute": None,
        },
        "auth": {
            "type": "refresh_token",
            "token_url": f"{base_url}{login.token_path}",
            "client_id": login.client_id,
            "client_secret": variable,
            "refresh_token": variable,
        },
        "api_key": {"type": "api_key", "key": variable, "header": "X-API-Key"},
        "tenant": login.tenant,
        "company": COMPANY,
        "datasets": {"cost_centers": {}, "financial_transactions": {}, "workforce": {}},
    }
