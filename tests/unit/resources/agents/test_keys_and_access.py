"""Making, rotating and revoking keys; the broker's users and access list."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from resources.agents.security.broker_access import (
    acl_text,
    hash_password,
    password_path,
    read_password,
    write_broker_access,
)
from resources.agents.security.key_revocation import former_keys, revoke_keys, unlisted_keys
from resources.agents.security.keys import (
    PUBLIC_KEYS_FILE,
    PublicKeys,
    encryption_keys_path,
    generate_keys,
    load_encryption_keys,
    load_private_key,
)
from resources.agents.wire.permissions import PermissionRule, Permissions
from resources.core.errors import ConfigError

TOPICS = ("heat_optimization", "emergency")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate_keys(tmp_path, ["GL-001", "GL-002"])
    generate_keys(tmp_path, ["ALARM-1"], role="alarm")
    return tmp_path


def kids(folder: Path) -> set[str]:
    return {entry.kid for entry in PublicKeys(folder / PUBLIC_KEYS_FILE).entries()}


def test_rotation_when_of_an_alarm_key_then_the_role_stays(folder: Path) -> None:
    generate_keys(folder, ["ALARM-1"], rotate=True)
    held = load_private_key(folder / "ALARM-1.jwk")
    assert (held.kid, held.role) == ("ALARM-1:2", "alarm")
    assert former_keys(folder, ["ALARM-1", "GL-002"]) == ["ALARM-1:1"]


def test_key_when_revoked_then_never_listed_nor_numbered_so_again(folder: Path) -> None:
    revoke_keys(folder, ["GL-002:1"])
    assert PublicKeys(folder / PUBLIC_KEYS_FILE).get("GL-002:1") is None
    generate_keys(folder, ["GL-001", "GL-002"])
    assert unlisted_keys(folder, ["GL-001", "GL-002", "GL-050"]) == ["GL-002:1"]
    assert kids(folder) == {"GL-001:1", "ALARM-1:1"}
    generate_keys(folder, ["GL-002"], rotate=True)
    assert kids(folder) == {"GL-001:1", "ALARM-1:1", "GL-002:2"}
    assert unlisted_keys(folder, ["GL-002"]) == []
    revoke_keys(folder, ["GL-002:1"])
    with pytest.raises(ConfigError, match="has no key GL-002:7"):
        revoke_keys(folder, ["GL-002:7"])


def test_key_when_listed_and_revoked_in_one_file_then_it_does_not_count(folder: Path) -> None:
    jwks = folder / PUBLIC_KEYS_FILE
    jwks.write_text(json.dumps(json.loads(jwks.read_text()) | {"gl_revoked": ["GL-002:1"]}))
    assert kids(folder) == {"GL-001:1", "ALARM-1:1"}
    jwks.write_text(json.dumps(json.loads(jwks.read_text()) | {"gl_revoked": "GL-002:1"}))
    with pytest.raises(ConfigError, match="gl_revoked"):
        PublicKeys(jwks)


def test_public_file_when_lost_then_written_again_from_the_private_keys(folder: Path) -> None:
    generate_keys(folder, ["GL-002", "ALARM-1"], encryption=True)
    (folder / PUBLIC_KEYS_FILE).unlink()
    generate_keys(folder, ["GL-001", "GL-002"], encryption=True)
    assert kids(folder) == {"GL-001:1", "GL-002:1", "GL-002:2", "GL-001:2"}


@pytest.mark.usefixtures("seen_at_once")
def test_encryption_keys_when_made_then_they_never_verify_and_the_newest_is_encrypted_to(folder: Path) -> None:
    jwks = generate_keys(folder, ["GL-002"], encryption=True)
    keys = PublicKeys(jwks)
    assert keys.get("GL-002:2") is None
    found = keys.encryption_key_of("GL-002")
    assert found is not None
    assert (found.kid, found.use) == ("GL-002:2", "enc")
    assert keys.encryption_key_of("GL-001") is None
    path = encryption_keys_path(folder, "GL-002")
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    generate_keys(folder, ["GL-002"], encryption=True, rotate=True)
    newest = keys.encryption_key_of("GL-002")
    assert newest is not None
    assert newest.kid == "GL-002:4"
    assert set(load_encryption_keys(path, "GL-002")) == {"GL-002:2", "GL-002:4"}
    assert former_keys(folder, ["GL-002"]) == ["GL-002:1", "GL-002:2"]


def test_encryption_keys_when_another_agents_or_open_to_others_then_refused(folder: Path) -> None:
    generate_keys(folder, ["GL-002"], encryption=True)
    path = encryption_keys_path(folder, "GL-002")
    with pytest.raises(ConfigError, match="not a key to encrypt to of GL-003"):
        load_encryption_keys(path, "GL-003")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_encryption_keys(path, "GL-002")
    path.chmod(0o600)
    public = json.loads((folder / PUBLIC_KEYS_FILE).read_text())
    path.write_text(json.dumps(public))
    with pytest.raises(ConfigError, match="holds a public key"):
        load_encryption_keys(path, "GL-002")
    path.write_text('{"keys": []}')
    with pytest.raises(ConfigError, match="nothing in it"):
        load_encryption_keys(path, "GL-002")


def test_signing_key_when_it_is_one_for_encryption_then_refused(folder: Path) -> None:
    generate_keys(folder, ["GL-002"], encryption=True)
    private = json.loads(encryption_keys_path(folder, "GL-002").read_text())["keys"][0]
    (folder / "GL-002.jwk").write_text(json.dumps(private))
    with pytest.raises(ConfigError, match="is for encryption"):
        load_private_key(folder / "GL-002.jwk")


@pytest.mark.parametrize("change", [{"use": "enc"}, {"crv": "X25519"}, {"crv": "Ed448"}], ids=str)
def test_jwks_when_use_and_curve_do_not_fit_then_refused(folder: Path, change: dict[str, str]) -> None:
    jwks = folder / PUBLIC_KEYS_FILE
    document = json.loads(jwks.read_text())
    document["keys"][0] |= change
    jwks.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="neither an Ed25519 key that signs"):
        PublicKeys(jwks)


def test_agent_id_when_not_one_then_no_key_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be 1 to 64"):
        generate_keys(tmp_path, ["GL 002"])
    assert list(tmp_path.glob("*.jwk")) == []


def test_password_when_hashed_then_as_mosquitto_computes_it() -> None:
    # written by mosquitto_passwd 2.0.21 for the password "secret"
    line = (
        "$7$101$weQt0uHSEAXNjMZ1$7iilKqBtJBhYwlrrqdBDbbw6huvxzW9bF3Aa"
        "RSXqPar3q2rBWInEFug9w9tuIY2eeU6Quk0Bg5RFdVgeeBfFSg=="
    )
    _, _, iterations, salt, _ = line.split("$")
    assert hash_password("secret", base64.b64decode(salt), int(iterations)) == line


def test_broker_access_when_written_again_then_hashes_stay_and_only_the_named_password_changes(tmp_path: Path) -> None:
    roles = {"GL-001": "orchestrator", "GL-002": "agent", "GL-003": "agent"}
    first = write_broker_access(tmp_path, "s", roles, topics=TOPICS)
    before = first.passwords.read_text()
    secret = read_password(password_path(tmp_path, "GL-002"))
    assert write_broker_access(tmp_path, "s", roles, topics=TOPICS).passwords.read_text() == before
    write_broker_access(tmp_path, "s", roles, topics=TOPICS, rotate=["GL-002"])
    changed = [
        a.split(":")[0] for a, b in zip(before.split(), first.passwords.read_text().split(), strict=True) if a != b
    ]
    assert changed == ["gl-s-GL-002"]
    assert read_password(password_path(tmp_path, "GL-002")) != secret
    assert secret not in before
    left = write_broker_access(tmp_path, "s", {"GL-001": "orchestrator"}, topics=TOPICS)
    assert "GL-002" not in left.passwords.read_text() + left.acl.read_text()
    for path in (first.passwords, first.acl, *first.secrets.values()):
        assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_password_file_when_empty_missing_or_open_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "GL-002.password"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_password(path)
    path.touch(0o600)
    with pytest.raises(ConfigError, match="empty"):
        read_password(path)
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="lets others read"):
        read_password(path)


def test_hash_when_damaged_then_made_anew(tmp_path: Path) -> None:
    roles = {"GL-002": "agent"}
    access = write_broker_access(tmp_path, "s", roles, topics=TOPICS)
    for damaged in ("gl-s-GL-002:$7$1000$!$!\n", "gl-s-GL-002:plain\n"):
        access.passwords.write_text(damaged)
        write_broker_access(tmp_path, "s", roles, topics=TOPICS)
        assert access.passwords.read_text().startswith("gl-s-GL-002:$7$1000$")
        assert access.passwords.read_text() != damaged


def test_acl_when_written_then_each_role_has_its_own_topics_only() -> None:
    roles = {"GL-001": "orchestrator", "GL-002": "agent", "GL-007": "agent", "A": "alarm", "O": "observer"}
    only = Permissions(events={"emergency": PermissionRule(roles=("orchestrator", "alarm"), agents=("GL-007",))})
    text = acl_text("s", roles, topics=TOPICS, permissions=only)
    found = {part.split("\n")[0]: set(part.strip().split("\n")[1:]) for part in text.split("\nuser ")[1:]}
    assert found["gl-s-GL-002"] == {
        "topic write gl/s/agents/GL-002/response",
        "topic write gl/s/agents/GL-002/heartbeat",
        "topic write gl/s/events/heat_optimization",
        "topic read gl/s/agents/GL-002/command",
        "topic read gl/s/events/+",
    }
    assert "topic write gl/s/events/emergency" in found["gl-s-GL-007"]
    assert "topic write gl/s/events/emergency" in found["gl-s-A"]
    assert [entry for entry in found["gl-s-A"] if "read" in entry] == ["topic read gl/s/agents/+/response"]
    assert found["gl-s-O"] == {"topic write gl/s/agents/O/heartbeat", "topic read gl/s/#"}
    assert "topic write gl/s/agents/+/command" in found["gl-s-GL-001"]
