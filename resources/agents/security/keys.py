"""Keys of the agents: everyone's public keys from a JWKS file, private keys of who runs here, and making them.

Two keys of one agent are both valid while rotating; removing a key from the file, or naming it in `gl_revoked`, revokes
it. How the files look is in `key_file`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import OKPKey

from resources.agents.security.key_file import (
    KeyEntry,
    KeySetFile,
    alone,
    new_key,
    read_private,
    read_private_set,
    read_public,
    write_private,
    write_private_set,
)
from resources.agents.security.watched_file import WatchedFile
from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError

PUBLIC_KEYS_FILE = "public-keys.jwks"
"""Name of the JWKS file that `generate_keys` writes."""

_UNKNOWN_KID_REREAD_S = 1.0
_CONFIDANTS = ("orchestrator", "agent")

PublicKey = KeyEntry
"""A key of the JWKS file: it verifies, or payloads are encrypted to it."""


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
    entry = read_private(path)
    if entry.use != "sig":
        raise ConfigError(f"private key {path}: {entry.kid} is for encryption; a key that signs must be there")
    if path.stem != entry.agent_id:
        raise ConfigError(
            f"private key {path}: its kid {entry.kid} belongs to {entry.agent_id}; the file must be named "
            f"{entry.agent_id}.jwk"
        )
    return PrivateKey(entry.kid, entry.agent_id, entry.key, entry.role)


def load_encryption_keys(path: Path, agent_id: str) -> dict[str, OKPKey]:
    """Return kid -> private key of what payloads for `agent_id` may be encrypted to (`<agent_id>.enc.jwks`).

    Raises:
        ConfigError: The file is missing, readable by others, or holds a key that is not the agent's, or not for that.
    """
    found = {entry.kid: entry for entry in read_private_set(path)}
    wrong = next((e.kid for e in found.values() if e.agent_id != agent_id or e.use != "enc"), None)
    if wrong is not None or not found:
        raise ConfigError(
            f"private key {path}: {wrong or 'nothing in it'} is not a key to encrypt to of {agent_id}; make one with "
            f"`gl agents keys FOLDER --agent {agent_id} --encryption`"
        )
    return {kid: entry.key for kid, entry in found.items()}


class PublicKeys:
    """Everyone's public keys from a JWKS file, read again when the file changes; safe from any thread.

    A file that turned unreadable keeps the last good keys in force and is logged once.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Read `path`.

        Raises:
            ConfigError: The file is missing or is not a JWKS of Ed25519 public keys with kid, gl_agent and gl_role.
        """
        self._file = WatchedFile(path, read_public, unreadable="public_keys_unreadable")
        self._clock = clock or SystemClock()
        self._reread_at = self._clock.monotonic()

    def get(self, kid: str) -> PublicKey | None:
        """Return the key of `kid` that verifies, None if there is none.

        The file is read again when it changed, and for an unknown kid at most once a second.
        """
        found = self._current(kid).entries.get(kid)
        return found if found is not None and found.use == "sig" else None

    def encryption_key_of(self, agent_id: str) -> PublicKey | None:
        """Return the newest key that payloads for an agent are encrypted to, None if it has none."""
        entries = self._current(None).entries.values()
        found = [entry for entry in entries if entry.agent_id == agent_id and entry.use == "enc"]
        return max(found, key=lambda entry: entry.number, default=None)

    def role_of(self, agent_id: str) -> str | None:
        """Return the role of an agent's keys, None if it has none."""
        return next(
            (e.role for e in self._file.content.entries.values() if e.agent_id == agent_id and e.use == "sig"), None
        )

    def entries(self) -> list[PublicKey]:
        """Return every valid key."""
        return list(self._current(None).entries.values())

    def _current(self, kid: str | None) -> KeySetFile:
        found = self._file.current()
        if kid is None or kid in found.entries:
            return found
        # a key that was just published: seen at once where the file shows that it changed
        if not self._file.look() and self._clock.monotonic() - self._reread_at >= _UNKNOWN_KID_REREAD_S:
            self._reread_at = self._clock.monotonic()
            self._file.read()
        return self._file.content


def private_key_path(folder: Path, agent_id: str) -> Path:
    """Return where the private key that signs for an agent lies."""
    return folder / f"{agent_id}.jwk"


def encryption_keys_path(folder: Path, agent_id: str) -> Path:
    """Return where the private keys that payloads for an agent are encrypted to lie."""
    return folder / f"{agent_id}.enc.jwks"


def encryption_keys_beside(private_key: Path, agent_id: str) -> Path | None:
    """Return where an agent's keys for encrypted payloads lie beside the key it signs with; None if there are none."""
    path = encryption_keys_path(private_key.parent, agent_id)
    return path if path.exists() else None


def generate_keys(
    folder: Path,
    agent_ids: Iterable[str],
    *,
    orchestrator_id: str = "GL-001",
    rotate: bool = False,
    role: str | None = None,
    encryption: bool = False,
) -> Path:
    """Make the missing keys of `agent_ids` in `folder` and return the path of the JWKS file that holds all public keys.

    Existing keys stay. With `rotate` each named agent gets a new private key with the next number; its former public
    key stays valid until `revoke_keys`. The role is `role`, else that of the agent's former key, else orchestrator for
    `orchestrator_id` and agent for everyone else. With `encryption` the orchestrator and agents also get a key to
    encrypt payloads to (alarms and observers get nothing that is confidential). A private key that an existing JWKS
    file does not list was revoked: it is not put back, only `rotate` replaces it.

    Raises:
        ConfigError: A file is there and is not what it should be, or an agent id is not one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jwks = folder / PUBLIC_KEYS_FILE
    with alone(folder):
        is_new = not jwks.exists()
        known = KeySetFile({}) if is_new else read_public(jwks)
        made: list[KeyEntry] = []
        for agent_id in agent_ids:
            signing = _signing_key(folder, agent_id, known, relist=is_new)
            if signing is None or rotate:
                # the role is the key's: one that was made for alarms must not come back as an agent's
                given = role or ("orchestrator" if agent_id == orchestrator_id else "agent")
                given = signing.role if signing is not None and role is None else given
                signing = new_key(agent_id, _next_number(folder, agent_id, known), role=given, use="sig")
                made.append(signing)
                known.entries[signing.kid] = signing
            if encryption and signing.role in _CONFIDANTS:
                _add_encryption_key(folder, signing, known, rotate=rotate, relist=is_new)
        known.write(jwks)
        # published first: whoever runs here may sign with it as soon as it is there
        for entry in made:
            write_private(private_key_path(folder, entry.agent_id), entry)
    return jwks


def _signing_key(folder: Path, agent_id: str, known: KeySetFile, *, relist: bool) -> KeyEntry | None:
    """Return the key that signs for an agent so far, None if it has none; listed again where the list was lost."""
    path = private_key_path(folder, agent_id)
    if not path.exists():
        return None
    load_private_key(path)
    held = read_private(path)
    if relist:
        known.entries[held.kid] = held
    return held


def _add_encryption_key(folder: Path, signing: KeyEntry, known: KeySetFile, *, rotate: bool, relist: bool) -> None:
    path = encryption_keys_path(folder, signing.agent_id)
    held = read_private_set(path) if path.exists() else []
    if not held or rotate:
        number = _next_number(folder, signing.agent_id, known)
        # the former stays beside the new one: what was encrypted to it may still be on its way; written before it is
        # published, because others encrypt to it from then on
        held = [*held[-1:], new_key(signing.agent_id, number, role=signing.role, use="enc")]
        write_private_set(path, held)
        known.entries[held[-1].kid] = held[-1]
    elif relist:
        known.entries.update({entry.kid: entry for entry in held})


def _next_number(folder: Path, agent_id: str, known: KeySetFile) -> int:
    """Return a number that no key of the agent ever had, as far as the folder can tell."""
    numbers = known.numbers(agent_id)
    if (path := private_key_path(folder, agent_id)).exists():
        numbers.append(read_private(path).number)
    if (path := encryption_keys_path(folder, agent_id)).exists():
        numbers += [entry.number for entry in read_private_set(path)]
    return max(numbers, default=0) + 1
