"""`gl agents keys`: making, showing, rotating and revoking the agents' keys, and their access to the broker."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from resources.agents.config import EVENT_TOPICS, AgentsConfig, required
from resources.agents.members.roster import everyone
from resources.agents.security.broker_access import BrokerAccess, broker_user, write_broker_access
from resources.agents.security.key_revocation import former_keys, revoke_keys, unlisted_keys
from resources.agents.security.keys import PUBLIC_KEYS_FILE, PublicKeys, generate_keys
from resources.agents.wire.message import ROLES
from resources.integrations import Integrations, load_integrations

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class _Site:
    """What the keys are for."""

    name: str
    agents: AgentsConfig

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*EVENT_TOPICS, *self.agents.topics)))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--agent", "agent_ids", multiple=True, metavar="ID", help="Only this agent; may be repeated.")
@click.option("--rotate", is_flag=True, help="Make a new key beside the old one, which stays valid until revoked.")
@click.option("--revoke", "revoked", multiple=True, metavar="KID", help="Revoke this key, such as GL-007:1.")
@click.option("--revoke-former", is_flag=True, help="Revoke the keys that a newer one has replaced: ends a rotation.")
@click.option(
    "--role", type=click.Choice(ROLES), default=None, help="Role of new keys; agent, or orchestrator for GL-001."
)
@click.option("--encryption", is_flag=True, help="Make keys for encrypted payloads, too: `<agent_id>.enc.jwks`.")
@click.option("--broker", is_flag=True, help="Write Mosquitto's users and access list, and a password for everyone.")
@click.option("--new-password", is_flag=True, help="With --broker: a new password for the agents named by --agent.")
@click.option("--show", is_flag=True, help="Only show which keys there are.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def keys(folder: Path, **given: Any) -> None:
    """Make the missing keys in FOLDER: `<agent_id>.jwk` for each agent, and public-keys.jwks for everyone.

    Give each agent its own files and the public file, nothing else. Running processes read the public file again when
    it changes: a revoked key is refused from then on, and is never put back.
    """
    site = _site(load_integrations())
    named = given["agent_ids"] or everyone(site.agents)
    changes = bool(given["revoked"] or given["revoke_former"])
    _check(given, changes=changes)
    if given["show"]:
        _show(folder, given["agent_ids"], as_json=given["as_json"])
        return
    if changes:
        kids = [*given["revoked"], *(former_keys(folder, named) if given["revoke_former"] else [])]
        jwks = revoke_keys(folder, kids)
    else:
        kids, jwks = [], _generate(folder, named, site, given)
    access = _broker_access(folder, site, named if given["new_password"] else ()) if given["broker"] else None
    _report(folder, named, kids, jwks, access, as_json=given["as_json"])


def _check(given: dict[str, Any], *, changes: bool) -> None:
    one = any(given[name] for name in ("rotate", "revoke_former", "new_password"))
    if one and not given["agent_ids"]:
        raise click.UsageError("--rotate, --revoke-former and --new-password need --agent: name whose keys are meant")
    if given["rotate"] and changes:
        raise click.UsageError("--rotate and --revoke exclude each other: revoke once everyone has the new public file")
    if given["new_password"] and not given["broker"]:
        raise click.UsageError("--new-password needs --broker: the password is the broker's")


def _generate(folder: Path, named: Iterable[str], site: _Site, given: dict[str, Any]) -> Path:
    return generate_keys(
        folder,
        named,
        orchestrator_id=site.agents.orchestrator_id,
        rotate=given["rotate"],
        role=given["role"],
        encryption=given["encryption"],
    )


def _broker_access(folder: Path, site: _Site, rotate: Iterable[str]) -> BrokerAccess:
    # whoever has a key that signs has access: revoking somebody's last one closes the broker to him as well
    entries = PublicKeys(folder / PUBLIC_KEYS_FILE).entries()
    roles = {entry.agent_id: entry.role for entry in entries if entry.use == "sig"}
    return write_broker_access(
        folder, site.name, roles, topics=site.topics, permissions=site.agents.permissions, rotate=rotate
    )


def _report(
    folder: Path, named: Iterable[str], kids: list[str], jwks: Path, access: BrokerAccess | None, *, as_json: bool
) -> None:
    agents, unlisted = list(named), unlisted_keys(folder, named)
    if as_json:
        found: dict[str, Any] = {"folder": str(folder), "public_keys": str(jwks), "agents": agents}
        found |= {"revoked": kids, "not_listed": unlisted}
        if access is not None:
            found |= {"broker_passwords": str(access.passwords), "broker_acl": str(access.acl)}
        click.echo(json.dumps(found))
        return
    if kids:
        console.print(f"revoked: {', '.join(kids)}; bring {jwks} to everyone")
    else:
        console.print(f"keys of {len(agents)} agents are in {folder}; public keys in {jwks}")
    for kid in unlisted:
        console.print(f"{kid} is revoked; `--rotate --agent {kid.rpartition(':')[0]}` makes a new key")
    if access is not None:
        console.print(
            f"broker: password_file {access.passwords} and acl_file {access.acl} for mosquitto.conf (send it SIGHUP "
            f"after a change); {len(access.secrets)} passwords in {folder}/<agent_id>.password, users "
            f"{broker_user('<site>', '<agent_id>')}"
        )


def _show(folder: Path, only: tuple[str, ...], *, as_json: bool) -> None:
    entries = [e for e in PublicKeys(folder / PUBLIC_KEYS_FILE).entries() if not only or e.agent_id in only]
    former = set(former_keys(folder, {entry.agent_id for entry in entries}))
    rows: list[dict[str, Any]] = [
        {
            "kid": entry.kid,
            "agent": entry.agent_id,
            "role": entry.role,
            "use": entry.use,
            "thumbprint": entry.key.thumbprint(),
            "replaced": entry.kid in former,
        }
        for entry in entries
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("kid", "role", "for", "SHA-256 thumbprint", "")
    for row in rows:
        use = "signatures" if row["use"] == "sig" else "encryption"
        note = "replaced by a newer one, still valid" if row["replaced"] else ""
        table.add_row(row["kid"], row["role"], use, row["thumbprint"], note)
    console.print(table)


def _site(integrations: Integrations) -> _Site:
    return _Site(integrations.site, required(integrations.agents))
