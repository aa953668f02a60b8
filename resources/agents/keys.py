"""Keys of the agents: a JWKS file of public keys, and one private key file for each agent.

Public keys carry `gl_agent` (who) and `gl_role` (what that one may send). Two keys of one agent are both valid while
rotating; removing a key from the file revokes it. Source: RFC 7517, RFC 8037 (Ed25519).
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from resources.agents.message import ROLES
from resources.agents.strict_json import StrictJsonError, loads
from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

PUBLIC_KEYS_FILE = "public-keys.jwks"
"""Name of the JWKS file that `generate_keys` writes."""

_KID = re.compile(r"([A-Za-z0-9_.\-]{1,64}):([0-9]{1,9})")
_UNKNOWN_KID_REREAD_S = 1.0


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies, whose it is and what role it has."""

    kid: str
    agent_id: str
    role: str
    key: OKPKey


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs; its kid begins with the agent's id."""

    kid: str
    agent_id: str
    key: OKPKey
    role: str


def load_private_key(path: Path) -> PrivateKey:
    """Return the private key in `path` (`<agent_id>.jwk`).

    Raises:
        ConfigError: The file is missing, readable by others, or not an Ed25519 private key with kid and gl_role.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"private key {path}: cannot be read ({error.strerror}); make it with `gl agents keys`"
        ) from error
    if mode & 0o077:
        raise ConfigError(f"private key {path}: mode {mode:04o} lets others read it; run chmod 600 on it")
    entry = _object(data, path)
    key, kid, agent_id, role = _entry(entry, path)
    if not key.is_private:
        raise ConfigError(f"private key {path}: holds a public key only; put the agent's own private key there")
    if path.stem != agent_id:
        raise ConfigError(
            f"private key {path}: its kid {kid} belongs to {agent_id}; the file must be named {agent_id}.jwk"
        )
    return PrivateKey(kid, agent_id, key, role)


class PublicKeys:
    """Everyone's public keys from a JWKS file, read again when the file changes; safe from any thread.

    A file that turned unreadable keeps the last good keys in force and is logged once.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Read `path`.

        Raises:
            ConfigError: The file is missing or is not a JWKS of Ed25519 public keys with kid, gl_agent and gl_role.
        """
        self._path = path
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._stamp = _stamp(path)
        self._keys = _read(path)
        self._reread_at = self._clock.monotonic()
        self._broken = False

    def get(self, kid: str) -> PublicKey | None:
        """Return the key of `kid`, None if there is none (then the file is read again, at most once a second)."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._reread(stamp)
        found = self._keys.get(kid)
        if found is None and self._clock.monotonic() - self._reread_at >= _UNKNOWN_KID_REREAD_S:
            self._reread(stamp)
            found = self._keys.get(kid)
        return found

    def role_of(self, agent_id: str) -> str | None:
        """Return the role of an agent's keys, None if it has none."""
        return next((key.role for key in self._keys.values() if key.agent_id == agent_id), None)

    def _reread(self, stamp: tuple[int, ...]) -> None:
        with self._lock:
            self._reread_at = self._clock.monotonic()
            try:
                self._keys = _read(self._path)
            except ConfigError as error:
                if not self._broken:
                    log.error("public_keys_unreadable", path=str(self._path), error=str(error), keeps=len(self._keys))
                self._broken = True
            else:
                self._broken = False
            self._stamp = stamp


def generate_keys(
    folder: Path,
    agent_ids: Iterable[str],
    *,
    orchestrator_id: str = "GL-001",
    rotate: bool = False,
    role: str | None = None,
) -> Path:
    """Make the missing keys of `agent_ids` in `folder` and return the path of the JWKS file that holds all public keys.

    Existing keys stay. With `rotate` each named agent gets a new private key with the next number; its former public
    key stays valid until it is removed from the JWKS file. The role is orchestrator for `orchestrator_id`, else agent,
    unless `role` says otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jwks = folder / PUBLIC_KEYS_FILE
    public = {k: v.key.as_dict(private=False) for k, v in _read(jwks).items()} if jwks.exists() else {}
    for agent_id in agent_ids:
        numbers = [int(kid.rpartition(":")[2]) for kid in public if kid.rpartition(":")[0] == agent_id]
        path = folder / f"{agent_id}.jwk"
        if path.exists() and not rotate:
            private = load_private_key(path)
            public.setdefault(private.kid, private.key.as_dict(private=False))
            continue
        given = role or ("orchestrator" if agent_id == orchestrator_id else "agent")
        kid = f"{agent_id}:{max(numbers, default=0) + 1}"
        if not _KID.fullmatch(kid):
            raise ConfigError(f"agent id {agent_id!r}: must be 1 to 64 letters, digits, _, . or -")
        parameters: Any = {"kid": kid, "alg": "EdDSA", "use": "sig", "gl_agent": agent_id, "gl_role": given}
        key = OKPKey.generate_key("Ed25519", parameters)
        _write(path, key.as_dict(private=True), 0o600)
        public[kid] = key.as_dict(private=False)
    _write(jwks, {"keys": list(public.values())}, 0o644)
    return jwks


def _write(path: Path, document: dict[str, Any], mode: int) -> None:
    # written beside and renamed, so that a reader never sees half a file and a private key is never open to others
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _read(path: Path) -> dict[str, PublicKey]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"public keys {path}: cannot be read ({error.strerror}); make them with `gl agents keys`"
        ) from error
    entries = _object(data, path).get("keys")
    if not isinstance(entries, list):
        raise ConfigError(f"public keys {path}: not a JWKS (an object with a list `keys`)")
    found: dict[str, PublicKey] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise ConfigError(f"public keys {path}: an entry of `keys` is not an object")
        key, kid, agent_id, role = _entry(entry, path)
        if key.is_private:
            raise ConfigError(
                f"public keys {path}: {kid} is a private key; remove it, and replace that key: it is no secret now"
            )
        if kid in found:
            raise ConfigError(f"public keys {path}: {kid} occurs twice")
        found[kid] = PublicKey(kid, agent_id, role, key)
    return found


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        document = loads(data)
    except StrictJsonError as error:
        raise ConfigError(f"key file {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"key file {path}: not a JSON object")
    return document


def _entry(entry: dict[str, Any], path: Path) -> tuple[OKPKey, str, str, str]:
    kid, role, owner = entry.get("kid"), entry.get("gl_role"), entry.get("gl_agent")
    match = _KID.fullmatch(kid) if isinstance(kid, str) else None
    if match is None or owner != match[1]:
        raise ConfigError(f"key file {path}: a key needs kid `<agent_id>:<n>` and gl_agent with the same agent id")
    if role not in ROLES:
        raise ConfigError(f"key file {path}: {kid} needs gl_role, one of {', '.join(ROLES)}")
    if entry.get("kty") != "OKP" or entry.get("crv") != "Ed25519":
        raise ConfigError(f"key file {path}: {kid} is not an Ed25519 key (kty OKP, crv Ed25519)")
    try:
        key = OKPKey.import_key({name: value for name, value in entry.items() if isinstance(value, str)})
        key.check_use("sig")
        _ = key.public_key
    except (JoseError, ValueError, TypeError) as error:
        raise ConfigError(f"key file {path}: {kid} is not a usable Ed25519 key") from error
    return key, match[0], match[1], role
