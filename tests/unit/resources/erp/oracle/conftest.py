from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stamina

from resources.demo_plant.erp.oracle.login import OracleLogin
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.oracle.support import PASSWORD_VARIABLE, SECRET_VARIABLE, OracleServer, oracle_server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OracleServer]:
    """One server a module: a handshake costs more than most of the tests."""
    authority = CertificateAuthority.create(tmp_path_factory.mktemp("ca"))
    with oracle_server(authority) as server:
        yield server


@pytest.fixture
def oracle(running: OracleServer, monkeypatch: pytest.MonkeyPatch) -> OracleServer:
    """The server as it behaves by itself, with nothing counted yet."""
    monkeypatch.setenv(SECRET_VARIABLE, OracleLogin().client_secret)
    monkeypatch.setenv(PASSWORD_VARIABLE, OracleLogin().password)
    running.control.reset()
    running.control.token_requests = 0
    return running


@pytest.fixture(autouse=True)
def _retries_without_waiting() -> Any:
    with stamina.set_testing(True, attempts=3):
        yield
