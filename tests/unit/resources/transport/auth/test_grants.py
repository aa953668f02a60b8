"""The ways of logging on, against a token endpoint and a system on real sockets that look at what they are shown."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import stamina
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk, jwt
from pydantic import TypeAdapter, ValidationError

from resources.core.errors import AuthError, ConfigError
from resources.transport.auth.config import AuthConfig, OAuthConfig
from resources.transport.http.client import HttpClient
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.transport.web_server import Answer, Asked, WebServer, serving

AUTH: TypeAdapter[Any] = TypeAdapter(AuthConfig)
SAML = "<saml:Assertion>Ü</saml:Assertion>"


class System:
    """A token endpoint at /token, which keeps its forms, and a system behind it that takes the last token."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.forms: list[dict[str, str]] = []
        self.logins: list[str | None] = []
        self.refuse: str | None = None
        self.more: dict[str, Any] = {}
        self.revoked = 0
        server.answer = self.answer

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            self.forms.append(dict(parse_qsl(asked.body.decode(), keep_blank_values=True)))
            self.logins.append(asked.headers.get("authorization"))
            if self.refuse:
                return Answer(
                    json.dumps({"error": self.refuse, "error_description": asked.body.decode()}).encode(), 400
                )
            token = {"access_token": f"t{len(self.forms)}", "token_type": "Bearer", "expires_in": 600, **self.more}
            return Answer(json.dumps(token).encode())
        if asked.headers.get("authorization") != f"Bearer t{len(self.forms)}" or self.revoked == len(self.forms):
            return Answer(b"{}", 401)
        return Answer(b'{"ok": true}')

    def client(self, **auth: Any) -> HttpClient:
        config = {"token_url": f"{self.server.url}/token", "client_id": "gl", **auth}
        return self.server.client(auth=AUTH.validate_python(config))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    monkeypatch.setenv("S", "secret-of-the-client")
    monkeypatch.setenv("R", "refresh-token-1")
    with serving() as server, stamina.set_testing(True, attempts=2):
        yield System(server)


def test_client_credentials_when_no_type_is_named_are_what_is_meant(system: System) -> None:
    with system.client(client_secret="${S}", scope="a b", extra={"resource": "x"}) as http:
        assert http.get("/").body == b'{"ok": true}'
        assert http.token_requests == 1
    assert system.forms == [{"grant_type": "client_credentials", "scope": "a b", "resource": "x"}]
    assert base64.b64decode(str(system.logins[0]).removeprefix("Basic ")) == b"gl:secret-of-the-client"
    assert isinstance(
        AUTH.validate_python({"token_url": "https://h/t", "client_id": "x", "client_secret": "${S}"}), OAuthConfig
    )


def test_a_token_when_refused_is_replaced_once(system: System) -> None:
    with system.client(client_secret="${S}") as http:
        http.get("/")
        system.revoked = 1
        http.get("/")
        assert http.token_requests == 2
        system.revoked = 2
        system.server.answer = lambda asked: system.answer(asked) if asked.path == "/token" else Answer(b"{}", 401)
        with pytest.raises(AuthError, match="a new token is refused too"):
            http.get("/")
        assert http.token_requests == 3


def test_clients_of_a_tenant_when_open_at_once_share_its_token_and_forget_it_with_the_last(system: System) -> None:
    first, second = system.client(client_secret="${S}"), system.client(client_secret="${S}")
    first.get("/")
    second.get("/")
    first.close()
    first.close()
    second.get("/")
    second.close()
    assert len(system.forms) == 1
    with system.client(client_secret="${S}") as third:
        third.get("/")
    assert len(system.forms) == 2
    with system.client(client_secret="${S}") as here, system.client(client_secret="${S}", scope="other") as there:
        here.get("/")
        there.get("/")
    assert len(system.forms) == 4


def test_a_refresh_token_when_rotated_is_used_as_it_came(system: System) -> None:
    with system.client(type="refresh_token", refresh_token="${R}", client_secret="${S}") as http:
        system.more = {"refresh_token": "refresh-token-2"}
        http.get("/")
        system.revoked = 1
        http.get("/")
    assert [form["refresh_token"] for form in system.forms] == ["refresh-token-1", "refresh-token-2"]
    assert system.forms[0]["grant_type"] == "refresh_token"
    assert str(system.logins[0]).startswith("Basic ")


def test_a_refresh_token_when_the_client_is_public_goes_with_its_id(system: System) -> None:
    with system.client(type="refresh_token", refresh_token="${R}") as http:
        http.get("/")
    assert system.forms[0] == {"grant_type": "refresh_token", "refresh_token": "refresh-token-1", "client_id": "gl"}
    assert system.logins == [None]


def public_key(certificate: Path) -> tuple[Any, str]:
    found = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    pem = found.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kind, algorithm = ("EC", "ES256") if isinstance(found, EllipticCurvePublicKey) else ("RSA", "RS256")
    return jwk.import_key(pem, kind), algorithm  # type: ignore[arg-type]


@pytest.mark.parametrize("from_file", [False, True], ids=["in the variable", "in a file"])
def test_a_jwt_when_it_is_the_grant_is_signed_and_says_who_and_for_whom(
    system: System, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, from_file: bool
) -> None:
    issued = authority.issue("jwt")
    key, algorithm = public_key(issued.certificate)
    monkeypatch.setenv("K", str(issued.key) if from_file else issued.key.read_text())
    named = {"subject": "ISU_USER", "audience": "wd", "key_id": "k1", "certificate": str(issued.certificate)}
    with system.client(
        type="jwt_bearer", private_key="${K}", client_secret="${S}", algorithm=algorithm, **named
    ) as http:
        http.get("/")
    form = system.forms[0]
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    token = jwt.decode(form["assertion"], key, algorithms=[algorithm])
    assert (token.claims["iss"], token.claims["sub"], token.claims["aud"]) == ("gl", "ISU_USER", "wd")
    assert token.claims["exp"] - token.claims["iat"] == 300
    assert token.claims["jti"]
    assert (token.header["kid"], token.header["typ"]) == ("k1", "JWT")
    assert {"x5t", "x5t#S256"} <= set(token.header)
    assert str(system.logins[0]).startswith("Basic ")


def test_a_jwt_when_it_is_the_clients_proof_stands_in_place_of_a_secret(
    system: System, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = authority.issue("assertion")
    key, algorithm = public_key(issued.certificate)
    monkeypatch.setenv("K", issued.key.read_text())
    with system.client(type="jwt_bearer", private_key="${K}", used_as="client_assertion", algorithm=algorithm) as http:
        http.get("/")
    form = system.forms[0]
    assert (form["grant_type"], form["client_id"]) == ("client_credentials", "gl")
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    claims = jwt.decode(form["client_assertion"], key, algorithms=[algorithm]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("gl", "gl", f"{system.server.url}/token")
    assert system.logins == [None]


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", {}, "K: no private key that can sign"),
        ("no-such-file.pem", {}, "K: no private key that can sign"),
        ("-----BEGIN X", {"certificate": "no-such.pem"}, "certificate no-such.pem: no readable PEM certificate"),
        ("", {}, "environment variable K is not set"),
    ],
)
def test_a_key_when_it_cannot_sign_is_told_without_showing_it(
    system: System, monkeypatch: pytest.MonkeyPatch, key: str, changes: dict[str, str], words: str
) -> None:
    monkeypatch.setenv("K", key)
    with system.client(type="jwt_bearer", private_key="${K}", **changes) as http, pytest.raises(ConfigError) as met:
        http.get("/")
    assert words in str(met.value)
    assert "nonsense" not in str(met.value)
    assert not system.forms


def test_a_file_when_it_cannot_be_read_is_told(system: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = tmp_path / "key.pem"
    binary.write_bytes(b"\xff\xfe")
    monkeypatch.setenv("K", str(binary))
    with (
        system.client(type="jwt_bearer", private_key="${K}") as http,
        pytest.raises(ConfigError, match="cannot be read"),
    ):
        http.get("/")


@pytest.mark.parametrize("how", ["xml", "base64url", "file"])
def test_a_saml_assertion_when_given_in_any_form_is_sent_as_base64url(
    system: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    encoded = base64.urlsafe_b64encode(SAML.encode()).rstrip(b"=").decode()
    file = tmp_path / "assertion.xml"
    file.write_text(SAML + "\n", encoding="utf-8")
    monkeypatch.setenv("A", {"xml": SAML, "base64url": encoded, "file": str(file)}[how])
    with system.client(type="saml_bearer", assertion="${A}", client_secret="${S}", scope="API_1") as http:
        http.get("/")
    assert system.forms == [
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:saml2-bearer",
            "assertion": encoded,
            "client_id": "gl",
            "scope": "API_1",
        }
    ]


def test_a_refused_secret_when_the_same_is_not_sent_again_and_a_new_one_is(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.refuse = "invalid_grant"
    with system.client(type="refresh_token", refresh_token="${R}", client_secret="${S}") as http:
        for words in ("refused with invalid_grant", "the same secret is not sent again"):
            with pytest.raises(AuthError, match=words) as met:
                http.get("/")
            assert "refresh-token-1" not in str(met.value)
            assert "secret-of-the-client" not in str(met.value)
        assert len(system.forms) == 1
        monkeypatch.setenv("R", "refresh-token-9")
        system.refuse = None
        http.get("/")
    assert [form["refresh_token"] for form in system.forms] == ["refresh-token-1", "refresh-token-9"]


def test_a_client_certificate_when_it_is_the_proof_is_shown_to_the_token_endpoint(
    authority: CertificateAuthority,
) -> None:
    issued = authority.issue("GL platform")
    shown = {"client_certificate": str(issued.certificate), "client_key": str(issued.key)}
    with serving(authority, client_certificates=True) as endpoint, serving(authority) as data:
        system = System(endpoint)
        data.answer = system.answer
        auth = AUTH.validate_python(
            {"token_url": f"{endpoint.url}/token", "client_id": "gl", "client_auth": "tls_client_auth", **shown}
        )
        with data.client(auth=auth) as http:
            http.get("/")
    assert system.forms == [{"grant_type": "client_credentials", "client_id": "gl"}]
    assert endpoint.asked[0].certificate is not None
    assert data.asked[0].certificate is None


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "api_key", "key": "${S}"}, "apikey", "secret-of-the-client"),
        ({"type": "api_key", "key": "${S}", "header": "X-Key", "prefix": "Token"}, "x-key", "Token secret-of-the-client"),
        ({"type": "basic", "username": "ISU@t", "password": "${S}"}, "authorization", "Basic SVNVQHQ6c2VjcmV0LW9mLXRoZS1jbGllbnQ="),
    ],
)  # fmt: skip
def test_a_secret_in_a_header_when_refused_is_not_sent_again(
    system: System, monkeypatch: pytest.MonkeyPatch, auth: dict[str, str], header: str, value: str
) -> None:
    server = system.server
    server.answer = lambda _: Answer()
    with server.client(auth=AUTH.validate_python(auth)) as http:
        http.get("/")
        assert server.asked[0].headers[header] == value
        assert http.token_requests == 0
        echo = json.dumps({"error": f"no {value} and no secret-of-the-client"}).encode()
        server.answer = lambda _: Answer(echo, 401)
        for words in ("the log-on is refused", "the same secret is not sent again"):
            with pytest.raises(AuthError, match=words) as met:
                http.get("/")
            assert "secret-of-the-client" not in str(met.value)
            assert value.rpartition(" ")[2] not in str(met.value)
        assert len(server.asked) == 2
        monkeypatch.setenv("S", "another-secret")
        server.answer = lambda _: Answer()
        http.get("/")


def test_nobody_when_refused_is_told_so(system: System) -> None:
    system.server.answer = lambda _: Answer(b"{}", 401)
    with system.server.client() as http, pytest.raises(AuthError, match="HTTP 401"):
        http.get("/")
    assert len(system.server.asked) == 1


@pytest.mark.parametrize(
    "auth",
    [
        {"token_url": "https://h/t", "client_id": "x"},
        {"token_url": "https://h/t", "client_id": "x", "client_auth": "tls_client_auth"},
        {"type": "basic", "username": "a:b", "password": "${S}"},
        {"type": "basic", "username": "a", "password": "literal"},
        {"type": "api_key", "key": "${S}", "header": "X Key"},
        {"type": "magic"},
        {"type": "refresh_token", "token_url": "https://h/t", "client_id": "x"},
    ],
)
def test_a_way_of_logging_on_when_not_whole_is_refused(auth: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        AUTH.validate_python(auth)
    with pytest.raises(ValidationError):
        AUTH.validate_python({**auth, "unknown": 1})
