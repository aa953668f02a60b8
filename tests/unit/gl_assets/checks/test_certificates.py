"""The daily check of certificates, on real certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.certificates import CERTIFICATES_CHECK, build_certificates_check
from resources.integrations import Integrations
from resources.transport.trust.certificates import CertificateAuthority


def integrations(**certificates: Any) -> Integrations:
    source = {
        "kind": "modbus",
        "host": "127.0.0.1",
        "tls": True,
        "tags": [{"sensor_id": "a", "unit": "1", "address": 0}],
        **certificates,
    }
    return Integrations.model_validate(
        {"site": "testsite", "start": "2026-11-01T00:00:00Z", "sources": {"plc": source}}
    )


def evaluated(config: Integrations) -> Any:
    @dg.asset(key=SENSOR_READINGS)
    def readings() -> None: ...

    result = dg.materialize([readings, build_certificates_check(config)])
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == CERTIFICATES_CHECK.name]
    return found


@pytest.fixture
def pair(authority: CertificateAuthority) -> Any:
    return authority.issue("check-client")


def test_check_when_all_are_valid_then_passes_and_says_when_the_first_expires(pair: Any):
    found = evaluated(
        integrations(ca_certificate=pair.authority, client_certificate=pair.certificate, client_key=pair.key)
    )
    assert found.passed
    assert found.metadata["certificates"].value == 2
    assert "first_expires_at" in found.metadata


def test_check_when_one_expires_soon_or_cannot_be_read_then_warns_with_the_remedy(
    authority: CertificateAuthority, tmp_path: Path
):
    now = datetime.now(UTC)
    soon = authority.issue("check-soon", valid=(now - timedelta(days=1), now + timedelta(days=5)))
    found = evaluated(
        integrations(ca_certificate=tmp_path / "gone.pem", client_certificate=soon.certificate, client_key=soon.key)
    )
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "have a new one issued" in found.description
    assert "cannot be read" in found.description
    assert "client_certificate" in found.metadata["what_to_do"].value
