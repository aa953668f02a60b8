from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from resources.core.clock import ManualClock
from resources.integrations import Integrations
from resources.transport.trust.certificates import CertificateAuthority
from sensors.collector.shown.certificates import READ_EVERY_S, CertificateWatch
from sensors.collector.state import SourceState

NOW = datetime.now(UTC).replace(microsecond=0)


def configuration(ca: Path) -> Integrations:
    source = {
        "kind": "modbus",
        "host": "h",
        "tls": True,
        "ca_certificate": ca,
        "tags": [{"sensor_id": "a", "unit": "1", "address": 1}],
    }
    return Integrations.model_validate(
        {"site": "plant", "start": "2026-11-01T00:00:00Z", "sources": {"furnace": source}}
    )


def issued(authority: CertificateAuthority, days: float) -> Path:
    return authority.issue("watched", valid=(NOW - timedelta(days=90), NOW + timedelta(days=days))).certificate


def test_findings_when_nothing_expires_soon_then_one_green_line(authority: CertificateAuthority) -> None:
    watch = CertificateWatch(configuration(issued(authority, 60)), {}, ManualClock(NOW))
    (finding,) = watch.findings()
    assert (finding.name, finding.level) == ("certificates", "green")
    assert finding.detail.startswith("1 in use, the first expires on ")


def test_findings_when_a_file_or_a_peer_expires_soon_then_each_is_a_warning_and_a_metric(
    authority: CertificateAuthority,
) -> None:
    state = SourceState("furnace", "modbus", 0.0)
    state.facts = {
        "certificate_subject": "CN=plc",
        "certificate_expires_at": (NOW - timedelta(days=1)).isoformat(),
        "certificate_sha256": "ab" * 32,
    }
    watch = CertificateWatch(configuration(issued(authority, 3)), {"furnace": state}, ManualClock(NOW))
    ours, theirs = watch.findings()
    assert (ours.name, ours.level) == ("certificate.sources.furnace.ca_certificate", "warning")
    assert (theirs.name, theirs.level) == ("certificate.sources.furnace", "warning")
    assert "CN=plc expired on" in theirs.detail

    registry = CollectorRegistry()
    registry.register(watch)
    text = generate_latest(registry).decode()
    assert f'key="sources.furnace",role="peer",sha256="{"ab" * 32}",subject="CN=plc"}} -86400.0' in text
    assert 'key="sources.furnace.ca_certificate",role="ca"' in text
    assert f"}} {3 * 86400.0}" in text


def test_watch_when_a_file_is_replaced_then_it_is_read_again_after_a_while(authority: CertificateAuthority) -> None:
    clock = ManualClock(NOW)
    watch = CertificateWatch(configuration(issued(authority, 3)), {}, clock)
    assert [finding.level for finding in watch.findings()] == ["warning"]
    issued(authority, 300)
    assert [finding.level for finding in watch.findings()] == ["warning"]
    clock.advance(READ_EVERY_S)
    assert [finding.level for finding in watch.findings()] == ["green"]


def test_findings_when_no_certificate_is_named_then_there_are_none() -> None:
    config = Integrations.model_validate({"site": "plant", "start": "2026-11-01T00:00:00Z"})
    assert list(CertificateWatch(config, {}, ManualClock(NOW)).findings()) == []


def test_metrics_when_a_file_cannot_be_read_then_it_is_a_finding_and_no_number(tmp_path: Path) -> None:
    watch = CertificateWatch(configuration(tmp_path / "none.pem"), {}, ManualClock(NOW))
    (finding,) = watch.findings()
    assert "cannot be read" in finding.detail
    assert [sample for family in watch.collect() for sample in family.samples] == []
