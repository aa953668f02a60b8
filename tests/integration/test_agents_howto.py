"""The agent of `docs/how-to/agents.md` runs as it is printed there, over TLS; only the broker's address is ours."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.agents.wire.message import Formatter
from resources.core.clock import SystemClock
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from resources.transport.broker import BrokerConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.agents_support import SITE, Plant, orchestrator_says, until
from tests.conftest import REPOSITORY

AGENT = "GL-042"


@pytest.fixture
def plant(
    tmp_path: Path, programs: ServerPrograms, server_folder: Path, authority: CertificateAuthority
) -> Iterator[Plant]:
    issued = authority.issue("howto-broker")
    options = BrokerOptions(
        certificate=issued.certificate, key=issued.key, authority=authority.certificate, insecure_anonymous=True
    )
    broker = EmbeddedBroker(server_folder / "howto", programs, options)
    broker.start()
    config = BrokerConfig(host="127.0.0.1", port=broker.port, ca_certificate=authority.certificate)
    made = Plant(tmp_path, config, "", (AGENT,))
    yield made
    made.leave()
    broker.stop()


def program(plant: Plant) -> str:
    """The page's first block of Python, for our broker and site."""
    text = (REPOSITORY / "docs" / "how-to" / "agents.md").read_text()
    blocks: list[str] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (found,) = [block for block in blocks if "agent.run()" in block]
    assert len(found.splitlines()) <= 30
    changed = found.replace('host="broker.example"', f'host="127.0.0.1", port={plant.broker.port}')
    return changed.replace('site="plant1"', f'site="{SITE}"')


def test_agent_of_the_how_to_when_run_then_it_answers_hears_events_and_leaves_cleanly(plant: Plant) -> None:
    folder = plant.folder / "agent"
    folder.mkdir()
    (folder / "agent.py").write_text(program(plant))
    assert plant.broker.ca_certificate is not None
    for name, path in (
        (f"{AGENT}.jwk", plant.keys / f"{AGENT}.jwk"),
        ("public-keys.jwks", plant.jwks),
        ("ca.pem", plant.broker.ca_certificate),
    ):
        (folder / name).symlink_to(path)
    wire = plant.wire()
    process = subprocess.Popen([sys.executable, "agent.py"], cwd=folder)
    try:
        until(lambda: process.poll() is not None or wire.messages("heartbeat"), "heartbeat")
        for args in ({"objective": "efficiency"}, {"objective": "beauty"}, {}):
            wire.send(orchestrator_says(name="optimize", args=args, targets=[AGENT]), to=AGENT)
        answers = until(lambda: len(found := wire.responses()) == 3 and found, "answers")
        results = sorted((a.payload["error"] or "", a.payload["result"]) for a in answers)
        assert [error for error, _ in results] == [
            "",
            "args: 'objective' is a required property",
            "only efficiency is known here",
        ]
        assert results[0][1] == {"oxygen_setpoint_percent": 2.4}
        wire.tell(Formatter("GL-001", SystemClock()).event("emergency", {}, timeout_s=60))
        until(lambda: [e for e in wire.messages("event") if e.source_agent == AGENT], "its own event")
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    statuses = [beat.payload["status"] for beat in wire.messages("heartbeat")]
    assert statuses == ["online", "degraded", "offline"]
