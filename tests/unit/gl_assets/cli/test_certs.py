from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gl_assets.cli.main import cli
from gl_assets.cli.site.doctor import look_at_certificates
from resources.core.errors import ConfigError
from resources.integrations import load_integrations
from resources.transport.trust.certificates import CertificateAuthority

NOW = datetime.now(UTC)


def gl(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def write(path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    source = {
        "kind": "modbus",
        "host": "h",
        "tls": True,
        "tags": [{"sensor_id": "a", "unit": "1", "address": 1}],
        **changes,
    }
    path.write_text(
        yaml.safe_dump(
            {"site": "plant", "start": "2026-11-01T00:00:00Z", "sources": {"furnace": source} if changes else {}}
        )
    )
    monkeypatch.setenv("GL_CONFIG", str(path))


def test_create_when_called_then_files_uri_and_next_steps_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "integrations.yaml", monkeypatch)
    folder = tmp_path / "keys"
    made = json.loads(gl("certs", "create", "collector", "--folder", str(folder), "--host", "edge-1", "--json"))
    assert made["application_uri"].startswith("urn:")
    assert made["application_uri"].endswith(":gl:plant")
    assert made["hosts"] == "edge-1"
    certificate = x509.load_pem_x509_certificate(Path(made["certificate"]).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [made["application_uri"]]
    assert made["sha256"] == certificate.fingerprint(hashes.SHA256()).hex()
    told = gl("certs", "create", "other", "--uri", "urn:plant:collector", "--folder", str(folder), "--days", "30")
    assert "urn:plant:collector" in told
    assert f"client_certificate: {folder / 'other.pem'}" in told
    again = CliRunner().invoke(cli, ["certs", "create", "other", "--folder", str(folder)])
    assert isinstance(again.exception, ConfigError)
    gl("certs", "create", "../other", code=2)


def test_create_when_no_configuration_is_named_then_the_name_is_in_the_uri(tmp_path: Path) -> None:
    made = json.loads(gl("certs", "create", "edge", "--json"))
    assert made["application_uri"].endswith(":gl:edge")
    assert Path(made["key"]).parent == tmp_path / ".gl" / "certificates"


def test_list_when_the_configuration_names_certificates_then_all_are_shown(
    tmp_path: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.issue("listed", valid=(NOW - timedelta(days=1), NOW + timedelta(days=9, hours=1)))
    files = {
        "ca_certificate": str(pair.authority),
        "client_certificate": str(pair.certificate),
        "client_key": str(pair.key),
    }
    write(tmp_path / "integrations.yaml", monkeypatch, **files)
    ca, ours = json.loads(gl("certs", "list", "--json"))
    assert (ca["key"], ca["role"], ca["warning"]) == ("sources.furnace.ca_certificate", "ca", None)
    assert (ours["subject"], ours["issuer"], ours["days_left"]) == ("CN=listed", "CN=GL demo CA", 9)
    assert "in 9 days: have a new one issued" in ours["warning"]
    assert len(ours["sha256"]) == 64
    assert "CN=listed" in gl("certs", "list")
    (finding,) = look_at_certificates(load_integrations())
    assert (finding.what, finding.level) == ("certificate sources.furnace.client_certificate", "warning")


def test_list_when_a_file_is_missing_or_none_is_named_then_it_says_so(
    tmp_path: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "integrations.yaml", monkeypatch, ca_certificate=str(tmp_path / "none.pem"))
    assert "cannot be read: No such file" in gl("certs", "list")
    (row,) = json.loads(gl("certs", "list", "--json"))
    assert (row["days_left"], row["problem"]) == (None, "No such file or directory")
    write(tmp_path / "integrations.yaml", monkeypatch, ca_certificate=str(authority.certificate))
    (finding,) = look_at_certificates(load_integrations())
    assert (finding.what, finding.level) == ("certificates", "ok")
    write(tmp_path / "integrations.yaml", monkeypatch)
    assert "names no certificate" in gl("certs", "list")
    assert list(look_at_certificates(load_integrations())) == []
