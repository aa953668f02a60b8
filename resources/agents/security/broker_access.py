"""Who may do what at the broker: a user with a password for everyone, and an access list, for Mosquitto.

The signatures already make a message's sender certain; the broker's own rules keep a stolen password from reading other
agents' commands, from flooding, and from taking over another's session. Each user is named like its client id,
`gl-{site}-{agent_id}`, so that a broker of the agents alone can tie the two (`use_username_as_clientid true`).

======================  ===========================================  ===============================================
role                    may publish                                  is given
======================  ===========================================  ===============================================
agent                   its own response and heartbeat; the topics   its own command; events
                        of events its permissions allow
orchestrator            every command; events                        every response and heartbeat; events
alarm                   every command, its own heartbeat; events     every response
observer                its own heartbeat                            everything of the site
======================  ===========================================  ===============================================

Source: mosquitto.conf(5) (`password_file`, `acl_file`), mosquitto_passwd(1): `$7$` is PBKDF2 with SHA-512.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resources.agents.wire.permissions import Permissions
from resources.core.configuration.settings import EnvSecret
from resources.core.errors import ConfigError
from resources.core.process.durable_file import replace_file
from resources.transport.broker import BrokerConfig

PASSWORDS_FILE, ACL_FILE = "broker.passwords", "broker.acl"
"""Names of Mosquitto's files in the folder of the keys."""

_ITERATIONS = 1000
"""The passwords are 192 random bits: no number of iterations makes them harder to guess, and the broker computes them
in its only thread whenever an agent connects. Mosquitto's own default is 101."""

_SALT_BYTES, _HASH_BYTES = 12, 64


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """What was written: Mosquitto's two files, and user -> file with its password."""

    passwords: Path
    acl: Path
    secrets: Mapping[str, Path]


def broker_user(site: str, agent_id: str) -> str:
    """Return the user, and the client id, of an agent."""
    return f"gl-{site}-{agent_id}"


def password_path(folder: Path, agent_id: str) -> Path:
    """Return where an agent's password lies."""
    return folder / f"{agent_id}.password"


class PasswordFile(EnvSecret):
    """A password in a file of its own; it is read at use, and never printed."""

    def __init__(self, path: Path) -> None:
        """Remember the path."""
        super().__init__(str(path))
        self._path = path

    def reveal(self) -> str:
        """Return the password.

        Raises:
            ConfigError: The file cannot be read, is empty, or others can read it.
        """
        return read_password(self._path)

    def __repr__(self) -> str:
        """Name the file, not the secret."""
        return f"the password in {self._path}"


def own_user(broker: BrokerConfig, site: str, agent_id: str, folder: Path) -> BrokerConfig:
    """Return `broker` with the agent's own user, whose password lies in `folder`."""
    password = PasswordFile(password_path(folder, agent_id))
    return broker.model_copy(update={"username": broker_user(site, agent_id), "password": password})


def write_broker_access(
    folder: Path,
    site: str,
    roles: Mapping[str, str],
    *,
    topics: Iterable[str],
    permissions: Permissions | None = None,
    rotate: Iterable[str] = (),
) -> BrokerAccess:
    """Write password file and access list of `roles` (agent_id -> role), and the missing passwords.

    Existing passwords stay, except of those named in `rotate`. An agent that is left out of `roles` has no access.

    Args:
        folder: Of the keys; each password goes into `<agent_id>.password`, mode 0600.
        site: Whose topics.
        roles: Everyone who has a key.
        topics: Every topic of events of the site.
        permissions: Which of these an agent may publish on; all of them if absent.
        rotate: Agents that get a new password.

    Raises:
        ConfigError: A password file is empty, or others can read it.
    """
    anew = set(rotate)
    lines, files = [], {}
    hashed = _hashes(folder / PASSWORDS_FILE)
    for agent_id in sorted(roles):
        user, path = broker_user(site, agent_id), password_path(folder, agent_id)
        if agent_id in anew or not path.exists():
            replace_file(path, secrets.token_urlsafe(24) + "\n", mode=0o600)
        password = read_password(path)
        held = hashed.get(user, "")
        # a hash that still fits stays: the file does not change, nor does the broker have to read it again
        lines.append(f"{user}:{held if _fits(held, password) else hash_password(password)}\n")
        files[user] = path
    replace_file(folder / PASSWORDS_FILE, "".join(lines), mode=0o600)
    acl = acl_text(site, roles, topics=topics, permissions=permissions or Permissions())
    replace_file(folder / ACL_FILE, acl, mode=0o600)
    return BrokerAccess(folder / PASSWORDS_FILE, folder / ACL_FILE, files)


def read_password(path: Path) -> str:
    """Return the password in a file.

    Raises:
        ConfigError: It cannot be read, is empty, or others can read it.
    """
    try:
        mode, text = path.stat().st_mode & 0o7777, path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"password {path}: cannot be read ({error.strerror}); `gl agents keys --broker`") from error
    if mode & 0o077:
        raise ConfigError(f"password {path}: mode {mode:04o} lets others read it; delete it and make a new one")
    if not text:
        raise ConfigError(f"password {path}: it is empty; delete it and make a new one with `gl agents keys --broker`")
    return text


def acl_text(site: str, roles: Mapping[str, str], *, topics: Iterable[str], permissions: Permissions) -> str:
    """Return Mosquitto's access list of a site; whatever it does not name is forbidden."""
    events = list(topics)
    parts = [f"# Access of the agents of {site}; written by `gl agents keys`, which replaces it.\n"]
    for agent_id in sorted(roles):
        role = roles[agent_id]
        allowed = permissions.topics_for(agent_id, role, events)
        entries = _entries(site, agent_id, role, allowed)
        parts.append("".join([f"\nuser {broker_user(site, agent_id)}\n", *(f"topic {entry}\n" for entry in entries)]))
    return "".join(parts)


def hash_password(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """Return a password as Mosquitto keeps it: `$7$iterations$salt$hash`."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    found = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, _HASH_BYTES)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(found).decode()}"


def _entries(site: str, agent_id: str, role: str, events: list[str]) -> list[str]:
    own = f"gl/{site}/agents/{agent_id}"
    everyone = f"gl/{site}/agents/+"
    publish = [f"write gl/{site}/events/{topic}" for topic in events]
    if role == "orchestrator":
        listen = [f"read {everyone}/response", f"read {everyone}/heartbeat", f"read gl/{site}/events/+"]
        return [f"write {everyone}/command", *publish, *listen]
    if role == "alarm":
        return [f"write {everyone}/command", f"write {own}/heartbeat", *publish, f"read {everyone}/response"]
    if role == "observer":
        return [f"write {own}/heartbeat", f"read gl/{site}/#"]
    listen = [f"read {own}/command", f"read gl/{site}/events/+"]
    return [f"write {own}/response", f"write {own}/heartbeat", *publish, *listen]


def _hashes(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {user: held for user, _, held in (line.partition(":") for line in lines)}


def _fits(held: str, password: str) -> bool:
    parts = held.split("$")
    if len(parts) != 5 or parts[1] != "7" or parts[2] != str(_ITERATIONS):
        return False
    try:
        salt = base64.b64decode(parts[3], validate=True)
    except ValueError:
        return False
    return secrets.compare_digest(hash_password(password, salt), held)
