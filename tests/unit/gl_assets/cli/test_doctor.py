"""`gl doctor` against real systems: a broker, an ERP over TLS, a database; and against their absence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gl_assets.cli.main import cli
from gl_assets.cli.site import doctor as module
from gl_assets.cli.site.doctor import Finding, look_at_disk
from resources.agents.security.keys import generate_keys
from resources.demo_plant.erp.sap.login import SapLogin
from resources.demo_plant.servers.opc_ua import NAMESPACE_URI
from resources.embedded.broker import EmbeddedBroker
from resources.embedded.ports import free_port
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms
from resources.scada.connector import SourceFacts
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE, sap_server


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "integrations.yaml"
    monkeypatch.setenv("GL_CONFIG", str(path))
    return path


def write(path: Path, **parts: Any) -> None:
    path.write_text(yaml.safe_dump({"site": "plant", "start": "2026-11-01T00:00:00Z", **parts}))


def mqtt(port: int) -> dict[str, Any]:
    return {
        "kind": "mqtt",
        "broker": {"host": "127.0.0.1", "port": port, "tls": False, "insecure_plain_tcp": True},
        "client_id": "doctor",
        "topic_filters": ["a/#"],
        "tags": [{"sensor_id": "a.b", "unit": "kW", "topic": "a/b"}],
    }


def findings(code: int) -> list[Finding]:
    result = CliRunner().invoke(cli, ["doctor", "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return [Finding(**found) for found in json.loads(result.stdout)]


def of(found: list[Finding], what: str) -> list[Finding]:
    return [one for one in found if one.what == what]


def test_doctor_when_all_answer_then_it_says_what_it_found_and_ends_well(
    config: Path, broker: EmbeddedBroker, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    write(config, sources={"meters": mqtt(broker.port)})
    found = findings(0)
    server, clock, *missing = of(found, "database")
    assert "PostgreSQL 1" in server.says
    assert "(apache edition)" in server.says
    assert clock.says.startswith("its clock differs from ours by ")
    assert all(one.says.startswith("not in this edition: ") for one in missing)
    assert any("retention schedule" in one.says for one in missing)
    (source,) = of(found, "source meters")
    assert source.level == "ok"
    assert str(broker.port) in source.says
    assert "password" not in json.dumps([one.says for one in found])


def test_doctor_when_systems_are_away_then_each_is_named_and_the_exit_code_is_1(
    config: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GL_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/none")
    write(config, sources={"meters": mqtt(free_port())})
    found = findings(1)
    assert [one.level for one in of(found, "database") + of(found, "source meters")] == ["error", "error"]
    assert "127.0.0.1:1/none" in of(found, "database")[0].says
    table = CliRunner().invoke(cli, ["doctor"], catch_exceptions=False, env={"COLUMNS": "200"})
    assert table.exit_code == 1
    assert table.stdout == ""
    assert "source meters" in table.stderr
    assert "secret" not in table.stderr


def test_doctor_when_the_schema_is_old_then_it_says_what_migrates_it(
    config: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GL_DATABASE_URL", empty_database_url)
    write(config)
    assert any("its schema is not this version's" in one.says for one in of(findings(0), "database"))


def test_doctor_when_the_embedded_server_runs_or_not_then_it_says_so(
    config: Path, server_folder: Path, programs: ServerPrograms, monkeypatch: pytest.MonkeyPatch
):
    home = server_folder / "doctor"
    monkeypatch.setenv("GL_HOME", str(home))
    write(config)
    (warning,) = of(findings(0), "database")
    assert warning.level == "warning"
    assert "`gl up` starts one" in warning.says
    server = EmbeddedPostgres(home / "postgres", programs)
    server.start()
    try:
        assert f"127.0.0.1:{server.port}/" in of(findings(0), "database")[0].says
    finally:
        server.stop()


def test_doctor_when_an_erp_answers_then_it_counts_yesterday_and_when_it_refuses_it_says_so(
    config: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        write(config, erp={"systems": {"sap": server.settings()}})
        found, clock = of(findings(0), "erp sap")
        assert (found.level, clock.level) == ("ok", "ok")
        assert "energy_consumption of" in found.says
        assert "192 entities" in found.says
        assert "clock" in clock.says
        (connections,) = of(findings(0), "erp sap connections")
        assert "on a kept connection; 0 active and 0 idle of 50" in connections.says

        monkeypatch.setenv(SECRET_VARIABLE, "wrong")
        (refused,) = of(findings(1), "erp sap")
        assert refused.level == "error"
        assert "wrong" not in refused.says


def test_doctor_when_agents_are_configured_then_it_counts_their_keys(
    config: Path, tmp_path: Path, broker: EmbeddedBroker
):
    keys = generate_keys(tmp_path / "keys", ["GL-001", "GL-002"])
    agents = {
        "broker": mqtt(broker.port)["broker"],
        "private_key": str(tmp_path / "keys" / "GL-001.jwk"),
        "public_keys": str(keys),
        "targets": ["GL-002"],
    }
    write(config, agents=agents)
    (found,) = of(findings(0), "agents")
    assert (found.level, found.says) == ("ok", "keys of 1 agents, private key of GL-001")

    write(config, agents=agents | {"targets": ["GL-002", "GL-003"]})
    (found,) = of(findings(0), "agents")
    assert found.level == "warning"
    assert "among them GL-003" in found.says

    roster = tmp_path / "agents.yaml"
    roster.write_text("agents:\n  GL-002: {name: A, type: b}\n  GL-009: {name: A, type: b}\n")
    write(config, agents=agents | {"roster": str(roster)})
    (found,) = of(findings(0), "agents")
    assert found.says == "1 agents have no public key, among them GL-009: `gl agents keys`"
    write(config, agents=agents | {"private_key": str(tmp_path / "none.jwk")})
    assert of(findings(1), "agents")[0].level == "error"


def test_doctor_when_alarms_are_configured_then_it_looks_at_their_key(
    config: Path, tmp_path: Path, broker: EmbeddedBroker
):
    folder = tmp_path / "keys"
    public = generate_keys(folder, ["GL-001"])
    generate_keys(folder, ["alarm-1"], role="alarm")
    generate_keys(tmp_path / "others", ["alarm-2"], role="alarm")
    agents = {
        "broker": mqtt(broker.port)["broker"],
        "private_key": str(folder / "GL-001.jwk"),
        "public_keys": str(public),
        "targets": [],
    }
    for key, level, says in (
        (folder / "alarm-1.jwk", "ok", "0 rules, published as alarm-1"),
        (folder / "GL-001.jwk", "error", "the key of GL-001 has role orchestrator, not alarm"),
        (tmp_path / "others" / "alarm-2.jwk", "error", "alarm-2:1 is not in"),
    ):
        write(config, agents=agents, alarms={"private_key": str(key)})
        (found,) = of(findings(0 if level == "ok" else 1), "alarms")
        assert (found.level, found.says[: len(says)]) == (level, says)


def test_doctor_when_a_message_holds_brackets_then_the_table_shows_them(capsys: pytest.CaptureFixture[str]):
    with module.console.capture() as shown:
        module._print([Finding("x", "error", "gone: [Errno 111] refused [/red] [see/here]")])
    assert "[Errno 111] refused [/red] [see/here]" in shown.get()


def test_facts_when_a_certificate_ends_soon_and_a_clock_is_off_then_both_warn():
    facts = SourceFacts(
        source="boiler",
        kind="opc_ua",
        endpoint="opc.tcp://h:1",
        security="Basic256Sha256",
        certificate_subject="CN=h",
        certificate_expires_at=datetime.now(UTC) + timedelta(days=3, hours=1),
        clock_skew_s=-61.0,
        details={"server": NAMESPACE_URI},
    )
    first, certificate, clock = module._facts("source boiler", facts)
    assert first.says == f"opc_ua opc.tcp://h:1: Basic256Sha256, server {NAMESPACE_URI}"
    assert (certificate.level, certificate.says) == ("warning", "certificate CN=h expires in 3 days")
    assert (clock.level, clock.says) == ("warning", "its clock differs from ours by -61.0 s")


def test_disk_when_it_is_nearly_full_then_it_is_an_error(monkeypatch: pytest.MonkeyPatch):
    assert [one.level for one in look_at_disk()] == ["ok"]
    monkeypatch.setattr(module, "_LEAST_FREE_BYTES", 1 << 62)
    (found,) = look_at_disk()
    assert found.level == "error"
    assert "make room or set GL_HOME elsewhere" in found.says
