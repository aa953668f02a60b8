"""`gl certs`: make a client certificate for OPC UA, and show when every certificate of the configuration expires."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from resources.core.process.home import config_path, gl_home
from resources.integrations import load_integrations
from resources.transport.trust.certificate_files import CertificateInUse, certificates_in
from resources.transport.trust.client_certificate import (
    KEY_SIZES,
    CertificateRequest,
    ClientCertificate,
    create_client_certificate,
)
from resources.transport.trust.pinning import fingerprint

console = Console(highlight=False)

_NOT_IN_URI = re.compile(r"[^A-Za-z0-9._\-]+")


@click.group()
def certs() -> None:
    """Certificates: make one for OPC UA, see which expire."""


@certs.command()
@click.argument("name", default="gl-opc-ua-client")
@click.option("--uri", help="Application URI; urn:<this host>:gl:<site or NAME> if not given.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to put it; GL_HOME/certificates if not given.")
@click.option("--host", "hosts", multiple=True, help="Host name or address in it; this host's name if not given.")
@click.option("--days", default=730, show_default=True, type=click.IntRange(1, 3650), help="How long it is valid.")
@click.option("--bits", default="2048", show_default=True, type=click.Choice([str(n) for n in KEY_SIZES]))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def create(*, name: str, uri: str | None, folder: Path | None, as_json: bool, **more: Any) -> None:
    """Make a self-signed client certificate for OPC UA: NAME.pem, NAME.der and NAME.key, mode 0600.

    The application URI is in the certificate, where servers look for it; the connector reads it from there. Have the
    server's administrator trust NAME.der. Nothing is overwritten.
    """
    if not re.fullmatch(r"[A-Za-z0-9._\-]{1,64}", name):
        raise click.UsageError("NAME is a file name: letters, digits, `.`, `_` and `-`, at most 64")
    host = socket.gethostname()
    request = CertificateRequest(
        name,
        uri or f"urn:{_NOT_IN_URI.sub('-', host)}:gl:{_site() or name}",
        more["hosts"] or (host,),
        more["days"],
        int(more["bits"]),
    )
    made = create_client_certificate(folder or gl_home() / "certificates", request)
    if as_json:
        click.echo(json.dumps(_facts(made, request)))
        return
    for what, value in _facts(made, request).items():
        console.print(f"{what.replace('_', ' '):<22} {value}", markup=False, soft_wrap=True)
    console.print(
        f"\nIn integrations.yaml, in the source:\n  client_certificate: {made.pem}\n  client_key: {made.key}\n"
        f"Have the server's administrator trust {made.der.name}; the fingerprint tells that it is the right one.",
        markup=False,
        soft_wrap=True,
    )


@certs.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_(*, as_json: bool) -> None:
    """List every certificate that the configuration names: what for, whose, until when, fingerprint.

    What peers show at connecting is in `gl doctor`, /healthz and /metrics (gl_certificate_expiry_seconds).
    """
    found, now = list(certificates_in(load_integrations())), datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_row(one, now) for one in found]))
    elif not found:
        console.print("the configuration names no certificate")
    else:
        console.print(_table(found, now))


def _site() -> str | None:
    return load_integrations().site if config_path() else None


def _facts(made: ClientCertificate, request: CertificateRequest) -> dict[str, str]:
    # servers show the SHA-1 thumbprint of a certificate as its name: it identifies, it secures nothing
    thumbprint = made.certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303
    return {
        "application_uri": request.application_uri,
        "certificate": str(made.pem),
        "certificate_der": str(made.der),
        "key": str(made.key),
        "expires_at": made.certificate.not_valid_after_utc.isoformat(),
        "sha256": fingerprint(made.certificate),
        "sha1_thumbprint": thumbprint,
        "hosts": ", ".join(_hosts(made.certificate)),
    }


def _hosts(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _row(one: CertificateInUse, now: datetime) -> dict[str, Any]:
    left = one.left(now)
    return {
        "key": one.key,
        "role": one.role,
        "path": str(one.path),
        "subject": one.subject,
        "issuer": one.issuer,
        "expires_at": one.expires_at.isoformat() if one.expires_at else None,
        "days_left": None if left is None else left.days,
        "sha256": one.sha256,
        "problem": one.problem,
        "warning": one.warning(now),
    }


def _table(found: list[CertificateInUse], now: datetime) -> Table:
    table = Table("days left", "expires (UTC)", "role", Column("certificate", overflow="fold"), show_lines=True)
    for one in found:
        left = one.left(now)
        colour = "red" if left is None or left.days < 0 else "yellow" if one.warning(now) else "green"
        what = one.subject or f"cannot be read: {one.problem}"
        fingerprint_line = f"\nSHA-256 {one.sha256}" if one.sha256 else ""
        table.add_row(
            f"[{colour}]{'?' if left is None else left.days}[/{colour}]",
            f"{one.expires_at:%Y-%m-%d %H:%M}" if one.expires_at else "",
            one.role,
            escape(f"{what}\n{one.key}: {one.path}{fingerprint_line}"),
        )
    return table
