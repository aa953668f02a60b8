"""Key files as they lie on the disk: JWK and JWKS documents, read strictly and replaced as a whole.

A key of the agents carries `kid` = `<agent_id>:<n>`, `gl_agent` (whose it is), `gl_role` (what that one may send) and
`use`: `sig` for an Ed25519 key that signs, `enc` for an X25519 key that payloads are encrypted to. The JWKS file may
hold a list `gl_revoked` of kids that must never count again, whatever else the file says of them.
Source: RFC 7517 (JWK), RFC 8037 (Ed25519, X25519).
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from resources.agents.wire.message import ROLES
from resources.agents.wire.strict_json import StrictJsonError, loads
from resources.core.errors import ConfigError
from resources.core.process.durable_file import replace_file

KID = re.compile(r"([A-Za-z0-9_.\-]{1,64}):([0-9]{1,9})")
"""What a kid looks like: the agent's id and a number that only grows."""

_USES = {"Ed25519": "sig", "X25519": "enc"}
_ALGORITHMS = {"sig": "EdDSA", "enc": "ECDH-ES"}


@dataclass(frozen=True, slots=True, eq=False)
class KeyEntry:
    """One key of a file: whose it is, the role it gives, and whether it signs (`sig`) or decrypts (`enc`).

    Two entries are the same only if they are one object: what was verified with one that is gone is verified again.
    """

    kid: str
    agent_id: str
    role: str
    use: str
    key: OKPKey

    @property
    def number(self) -> int:
        """The number in the kid: the greater, the newer."""
        return int(self.kid.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class KeySetFile:
    """A JWKS file: kid -> key, and the kids that were revoked."""

    entries: dict[str, KeyEntry]
    revoked: frozenset[str] = frozenset()

    def numbers(self, agent_id: str) -> list[int]:
        """Return the numbers that an agent's keys have or had here."""
        kids = (*self.entries, *self.revoked)
        return [int(number) for owner, _, number in (kid.rpartition(":") for kid in kids) if owner == agent_id]

    def write(self, path: Path) -> None:
        """Write the public halves to `path`."""
        document: dict[str, Any] = {"keys": [entry.key.as_dict(private=False) for entry in self.entries.values()]}
        if self.revoked:
            document["gl_revoked"] = sorted(self.revoked)
        replace_file(path, document, mode=0o644)


def new_key(agent_id: str, number: int, *, role: str, use: str) -> KeyEntry:
    """Return a new key.

    Raises:
        ConfigError: The agent id is not one.
    """
    kid = f"{agent_id}:{number}"
    if not KID.fullmatch(kid):
        raise ConfigError(f"agent id {agent_id!r}: must be 1 to 64 letters, digits, _, . or -")
    members: Any = {"kid": kid, "alg": _ALGORITHMS[use], "use": use, "gl_agent": agent_id, "gl_role": role}
    key = OKPKey.generate_key("Ed25519" if use == "sig" else "X25519", members)
    return KeyEntry(kid, agent_id, role, use, key)


def read_public(path: Path) -> KeySetFile:
    """Return the public keys of a JWKS file; revoked ones are left out.

    Raises:
        ConfigError: It cannot be read, is not a JWKS, or holds a key that is private, wrong or there twice.
    """
    document = _object(_bytes(path, "public keys"), path)
    revoked = document.get("gl_revoked", [])
    if not isinstance(revoked, list) or not all(isinstance(kid, str) for kid in revoked):
        raise ConfigError(f"public keys {path}: gl_revoked is not a list of kids")
    found: dict[str, KeyEntry] = {}
    for entry in _entries(document, path, "public keys"):
        if entry.key.is_private:
            raise ConfigError(
                f"public keys {path}: {entry.kid} is a private key; remove it, and replace that key: it is no secret "
                "now"
            )
        if entry.kid in found:
            raise ConfigError(f"public keys {path}: {entry.kid} occurs twice")
        found[entry.kid] = entry
    return KeySetFile({kid: entry for kid, entry in found.items() if kid not in revoked}, frozenset(revoked))


def read_private(path: Path) -> KeyEntry:
    """Return the one private key of a `.jwk` file.

    Raises:
        ConfigError: It cannot be read, others can read it, or it is not a private key of this wire.
    """
    refuse_readable_by_others(path)
    entry = parse_entry(_object(_bytes(path, "private key"), path), path)
    if not entry.key.is_private:
        raise ConfigError(f"private key {path}: holds a public key only; put the agent's own private key there")
    return entry


def read_private_set(path: Path) -> list[KeyEntry]:
    """Return the private keys of a `.enc.jwks` file, oldest first.

    Raises:
        ConfigError: As `read_private`.
    """
    refuse_readable_by_others(path)
    found = list(_entries(_object(_bytes(path, "private key"), path), path, "private key"))
    if not all(entry.key.is_private for entry in found):
        raise ConfigError(f"private key {path}: holds a public key; put the agent's own private keys there")
    return found


def write_private(path: Path, entry: KeyEntry) -> None:
    """Write one private key, mode 0600."""
    replace_file(path, entry.key.as_dict(private=True), mode=0o600)


def write_private_set(path: Path, entries: Iterable[KeyEntry]) -> None:
    """Write several private keys, mode 0600."""
    replace_file(path, {"keys": [entry.key.as_dict(private=True) for entry in entries]}, mode=0o600)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second maker of keys out: the JWKS file is read, changed and written."""
    with (folder / ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def refuse_readable_by_others(path: Path) -> None:
    """Refuse a secret that others can read.

    Raises:
        ConfigError: They can, or there is no such file.
    """
    try:
        mode = path.stat().st_mode & 0o7777
    except OSError as error:
        raise ConfigError(
            f"private key {path}: cannot be read ({error.strerror}); make it with `gl agents keys`"
        ) from error
    if mode & 0o077:
        raise ConfigError(f"private key {path}: mode {mode:04o} lets others read it; run chmod 600 on it")


def parse_entry(entry: dict[str, Any], path: Path) -> KeyEntry:
    """Return the key that a JWK says.

    Raises:
        ConfigError: It is not a key of this wire.
    """
    kid, role, owner = entry.get("kid"), entry.get("gl_role"), entry.get("gl_agent")
    match = KID.fullmatch(kid) if isinstance(kid, str) else None
    if match is None or owner != match[1]:
        raise ConfigError(f"key file {path}: a key needs kid `<agent_id>:<n>` and gl_agent with the same agent id")
    if role not in ROLES:
        raise ConfigError(f"key file {path}: {kid} needs gl_role, one of {', '.join(ROLES)}")
    use = _USES.get(str(entry.get("crv")))
    # a key has one purpose: what signs never decrypts, and what decrypts is never asked about a signature
    if entry.get("kty") != "OKP" or use is None or entry.get("use", "sig") != use:
        raise ConfigError(
            f"key file {path}: {kid} is neither an Ed25519 key that signs (kty OKP, crv Ed25519, use sig) nor an "
            "X25519 key to encrypt to (crv X25519, use enc)"
        )
    try:
        key = OKPKey.import_key({name: value for name, value in entry.items() if isinstance(value, str)})
        key.check_use(use)
        _ = key.public_key
    except (JoseError, ValueError, TypeError) as error:
        raise ConfigError(f"key file {path}: {kid} is not a usable {entry.get('crv')} key") from error
    return KeyEntry(match[0], match[1], role, use, key)


def _entries(document: dict[str, Any], path: Path, what: str) -> Iterable[KeyEntry]:
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise ConfigError(f"{what} {path}: not a JWKS (an object with a list `keys`)")
    for entry in entries:
        if not isinstance(entry, dict):
            raise ConfigError(f"{what} {path}: an entry of `keys` is not an object")
        yield parse_entry(entry, path)


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        make = "make it" if what == "private key" else "make them"
        raise ConfigError(f"{what} {path}: cannot be read ({error.strerror}); {make} with `gl agents keys`") from error


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        document = loads(data)
    except StrictJsonError as error:
        raise ConfigError(f"key file {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"key file {path}: not a JSON object")
    return document
