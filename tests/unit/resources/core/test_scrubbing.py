from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.configuration.settings import EnvSecret, Secret, StrictModel
from resources.core.process.scrubbing import Scrubber, is_sensitive_key, secrets_in


class Door(StrictModel):
    password: Secret | None = None
    inner: dict[str, Door] | None = None
    more: tuple[Door, ...] = ()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PLANT_PASSWORD", 'h"unter 2/ü')
    return 'h"unter 2/ü'


def test_secrets_in_when_nested_then_all_are_found() -> None:
    door = Door(
        password=EnvSecret("A"),
        inner={"x": Door(password=EnvSecret("B"))},
        more=(Door(), Door(password=EnvSecret("C"))),
    )
    assert {s.variable for s in secrets_in(door)} == {"A", "B", "C"}


def test_scrubber_when_the_value_is_spelled_otherwise_then_still_masked(known: str) -> None:
    scrub = Scrubber([EnvSecret("PLANT_PASSWORD"), EnvSecret("UNSET_VARIABLE")])
    basic = base64.b64encode(known.encode()).decode()
    for spelling in (known, quote(known, safe=""), repr(known), known.replace('"', '\\"'), basic):
        assert "unter" not in scrub(f"tried {spelling} there")
        assert basic not in scrub(f"tried {spelling} there")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=4))
def test_scrubber_when_any_secret_then_it_never_appears(secret: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANY_SECRET", secret)
        scrubbed = Scrubber([EnvSecret("ANY_SECRET")])(f"before {secret} after")
    assert secret not in scrubbed.replace("***", "") or secret in "before  after"


def test_scrubber_when_the_secret_is_very_short_then_masked_only_where_it_stands_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIN", "42")
    scrub = Scrubber([EnvSecret("PIN")])
    assert scrub("pin is 42, rows 1425") == "pin is ***, rows 1425"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cr3t.token-value",
        "bearer s3cr3tvalue was refused",
        "Authorization=Basic czNjcjN0OnB3",
        'password="s3cr3t"',
        "{'client_secret': 's3cr3t'}",
        '{"access_token":"s3cr3t","n":1}',
        "api_key: s3cr3t,",
        "postgresql://user:s3cr3t@127.0.0.1:5432/db",
        "eyJhbGciOiJFZERTQSJ9.eyJzM2NyM3QiOjF9.s3cr3t_sig",
        "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cr3t cut off",
    ],
)
def test_scrubber_when_it_looks_like_a_credential_then_masked(text: str) -> None:
    scrubbed = Scrubber()(text)
    assert "s3cr3t" not in scrubbed
    assert "czNjcjN0" not in scrubbed
    assert "***" in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "opc.tcp://plant:4840/server rows=12",
        "Modbus 10.0.0.5:502 unit 3: no reply to read_holding_registers(100, 8) in 3 s; check unit_id and cabling",
        "http://127.0.0.1:8787/healthz",
    ],
)
def test_scrubber_when_nothing_is_secret_then_unchanged(text: str) -> None:
    assert Scrubber()(text) == text


@pytest.mark.parametrize(
    ("key", "sensitive"),
    [
        ("password", True),
        ("client_secret", True),
        ("token", True),
        ("Authorization", True),
        ("sensor_id", False),
        ("tokens", False),
    ],
)
def test_is_sensitive_key_when_asked_then_by_name(key: str, sensitive: bool) -> None:
    assert is_sensitive_key(key) is sensitive
