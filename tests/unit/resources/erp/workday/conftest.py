from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.workday.support import SECRETS, WorkdayServer, workday_server


@pytest.fixture(scope="package")
def _running(authority: CertificateAuthority) -> Iterator[WorkdayServer]:
    with workday_server(authority) as server:
        yield server


@pytest.fixture
def workday(_running: WorkdayServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkdayServer]:
    """The fake, behaving, with every secret in the environment."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    _running.control.reset()
    _running.book.reset()
    with stamina.set_testing(True, attempts=3):
        yield _running
