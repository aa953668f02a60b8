from __future__ import annotations

from collections.abc import Iterator

import pytest

from resources.demo_plant.erp.sap.login import SapLogin
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        yield server
