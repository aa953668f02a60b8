"""A participant of the agents' wire: with what it signs, judges and decrypts, made from its key files. No database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resources.agents.security.encryption import EncryptPayloads, PayloadCipher
from resources.agents.security.judge import Judge
from resources.agents.security.keys import PublicKeys, encryption_keys_beside
from resources.agents.security.sealing import Sealer, SigningKey
from resources.agents.wire.permissions import Permissions
from resources.core.clock import Clock


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the keys of one participant are."""

    private_key: Path
    """`<agent_id>.jwk`; the file name is the participant's id."""
    public_keys: Path | PublicKeys
    """The JWKS file, or keys that several participants of a process share."""
    encryption_keys: Path | None = None
    """`<agent_id>.enc.jwks`; None: the file of that name beside the private key, where there is one."""

    def own_encryption_keys(self, agent_id: str) -> Path | None:
        """Return the file with which encrypted payloads are read; None if there is none."""
        return self.encryption_keys or encryption_keys_beside(self.private_key, agent_id)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who one is on the wire."""

    agent_id: str
    role: str
    sealer: Sealer
    judge: Judge


def identity_of(
    files: KeyFiles,
    site: str,
    clock: Clock,
    *,
    permissions: Permissions | None = None,
    encrypt: EncryptPayloads | None = None,
) -> Identity:
    """Return the identity that key files give.

    Args:
        files: The keys.
        site: The site whose messages are signed and judged.
        clock: For issue times and deadlines.
        permissions: Who may send what, beyond the wire's own rules.
        encrypt: Whether payloads go encrypted; None: where possible, for whoever can read encrypted ones.

    Raises:
        ConfigError: A key file is missing or wrong.
    """
    given = files.public_keys
    keys = given if isinstance(given, PublicKeys) else PublicKeys(given)
    signing = SigningKey(files.private_key)
    cipher = PayloadCipher.of(signing.agent_id, files.own_encryption_keys(signing.agent_id), keys)
    if encrypt is None:
        encrypt = "where_possible" if cipher.can_decrypt else "never"
    return Identity(
        signing.agent_id,
        signing.role,
        Sealer(signing, site, clock, cipher=cipher, encrypt=encrypt),
        Judge(keys, site, clock, permissions=permissions, cipher=cipher),
    )
