"""Who one is on the wire, by the key files there are."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.agents.identity import Identity, KeyFiles, identity_of
from resources.agents.security.encryption import EncryptPayloads
from resources.agents.security.keys import PublicKeys, generate_keys
from resources.agents.wire.message import Formatter
from resources.core.clock import ManualClock
from resources.core.errors import ConfigError

CLOCK = ManualClock(datetime(2026, 11, 22, 10, 15, tzinfo=UTC))


def identity(folder: Path, agent_id: str, encrypt: EncryptPayloads | None = None) -> Identity:
    files = KeyFiles(folder / f"{agent_id}.jwk", folder / "public-keys.jwks.json")
    return identity_of(files, "north", CLOCK, encrypt=encrypt)


def is_encrypted(token: bytes) -> bool:
    body = token.split(b".")[1]
    message = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))["msg"]
    return "enc" in message and "payload" not in message


@pytest.mark.parametrize(
    ("with_keys", "encrypt", "encrypted"),
    [(False, None, False), (True, None, True), (True, "never", False), (True, "where_possible", True)],
    ids=["no keys for it", "by itself", "never", "where possible"],
)
def test_identity_when_two_talk_then_encrypted_as_asked_and_understood_either_way(
    tmp_path: Path, with_keys: bool, encrypt: EncryptPayloads | None, encrypted: bool
) -> None:
    public = generate_keys(tmp_path, ["GL-001", "GL-002"], encryption=with_keys)
    public.rename(tmp_path / "public-keys.jwks.json")
    sender, receiver = identity(tmp_path, "GL-001", encrypt), identity(tmp_path, "GL-002")
    command = Formatter("GL-001", CLOCK).command("do", {"n": 1}, targets=["GL-002"], timeout_s=9)
    token = sender.sealer.token(command)

    assert (sender.agent_id, sender.role) == ("GL-001", "orchestrator")
    assert is_encrypted(token) is encrypted
    assert receiver.judge.who(token, "gl/north/agents/GL-002/command").message.payload == command.payload


def test_identity_when_keys_are_shared_or_elsewhere_then_those_are_used(tmp_path: Path) -> None:
    public = generate_keys(tmp_path, ["GL-001", "GL-002"], encryption=True)
    elsewhere = (tmp_path / "GL-002.enc.jwks").rename(tmp_path / "other.jwks")
    shared = PublicKeys(public)
    files = KeyFiles(tmp_path / "GL-002.jwk", shared)
    assert files.own_encryption_keys("GL-002") is None
    files = KeyFiles(tmp_path / "GL-002.jwk", shared, elsewhere)
    assert files.own_encryption_keys("GL-002") == elsewhere
    assert identity_of(files, "north", CLOCK).judge.role_of("GL-001") == "orchestrator"


def test_identity_when_a_key_is_missing_then_said_which(tmp_path: Path) -> None:
    generate_keys(tmp_path, ["GL-001"]).rename(tmp_path / "public-keys.jwks.json")
    with pytest.raises(ConfigError, match=r"GL-002\.jwk"):
        identity(tmp_path, "GL-002")


def test_identity_when_imported_then_no_database_comes_along() -> None:
    told = "import sys, resources.agents.identity; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
