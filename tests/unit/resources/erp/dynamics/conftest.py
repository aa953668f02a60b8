from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stamina

from resources.core.clock import ManualClock
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.dynamics.support import SECRET_VARIABLE, DynamicsServer, dynamics_server
from tests.unit.resources.erp.support import instant


@pytest.fixture(scope="module")
def _environment(authority: CertificateAuthority) -> Iterator[DynamicsServer]:
    # two days after the day that tests read
    with dynamics_server(authority, clock=ManualClock(instant("2026-11-22T06:00:00"))) as server:
        yield server


@pytest.fixture
def dynamics(_environment: DynamicsServer, monkeypatch: pytest.MonkeyPatch) -> DynamicsServer:
    monkeypatch.setenv(SECRET_VARIABLE, EntraApp().client_secret)
    _environment.behave()
    return _environment


@pytest.fixture(autouse=True)
def _retries_without_waiting() -> Iterator[Any]:
    with stamina.set_testing(True, attempts=3):
        yield
