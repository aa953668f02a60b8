"""Taking keys out of the JWKS file for good, and telling which may be taken out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resources.agents.security.key_file import KeyEntry, KeySetFile, alone, read_public
from resources.agents.security.keys import PUBLIC_KEYS_FILE, load_private_key, private_key_path
from resources.core.errors import ConfigError


def revoke_keys(folder: Path, kids: Iterable[str]) -> Path:
    """Take keys out of the JWKS file in `folder` for good, and return its path.

    Raises:
        ConfigError: A kid is not in the file, or the file cannot be read.
    """
    jwks = folder / PUBLIC_KEYS_FILE
    with alone(folder):
        known = read_public(jwks)
        named = set(kids)
        unknown = sorted(named - known.entries.keys() - known.revoked)
        if unknown:
            raise ConfigError(
                f"public keys {jwks}: has no key {', '.join(unknown)}; `gl agents keys FOLDER --show` lists them"
            )
        left = {kid: entry for kid, entry in known.entries.items() if kid not in named}
        KeySetFile(left, known.revoked | named).write(jwks)
    return jwks


def former_keys(folder: Path, agent_ids: Iterable[str]) -> list[str]:
    """Return the kids of `agent_ids` that a newer key of the same agent and use has replaced.

    Raises:
        ConfigError: The JWKS file cannot be read.
    """
    wanted = set(agent_ids)
    newest: dict[tuple[str, str], KeyEntry] = {}
    found = [entry for entry in read_public(folder / PUBLIC_KEYS_FILE).entries.values() if entry.agent_id in wanted]
    for entry in sorted(found, key=lambda entry: entry.number):
        newest[entry.agent_id, entry.use] = entry
    return [entry.kid for entry in found if newest[entry.agent_id, entry.use] is not entry]


def unlisted_keys(folder: Path, agent_ids: Iterable[str]) -> list[str]:
    """Return the kids of private keys in `folder` that its JWKS file does not list: they were revoked.

    Raises:
        ConfigError: A file cannot be read.
    """
    listed = read_public(folder / PUBLIC_KEYS_FILE).entries
    paths = [private_key_path(folder, agent_id) for agent_id in agent_ids]
    kids = [load_private_key(path).kid for path in paths if path.exists()]
    return [kid for kid in kids if kid not in listed]
