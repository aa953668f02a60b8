from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import stamina

from resources.transport.trust.certificates import CertificateAuthority
from tests.contract.erp.rig import ErpRig, rigs


@pytest.fixture(scope="session")
def started(authority: CertificateAuthority) -> Iterator[Callable[[str], ErpRig]]:
    """Gives the fake of a kind, started when it is asked for first and stopped at the end."""
    started: dict[str, ErpRig] = {}

    def of(kind: str) -> ErpRig:
        if kind not in started:
            started[kind] = rigs()[kind](authority)
            started[kind].start()
        return started[kind]

    yield of
    for rig in started.values():
        rig.stop()


@pytest.fixture(params=sorted(rigs()))
def running(request: pytest.FixtureRequest, started: Callable[[str], ErpRig]) -> ErpRig:
    """The fake of a kind."""
    return started(request.param)


@pytest.fixture
def rig(running: ErpRig, monkeypatch: pytest.MonkeyPatch) -> Iterator[ErpRig]:
    """The fake, behaving, with the secrets in the environment."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    running.reset()
    with stamina.set_testing(True, attempts=3):
        yield running
