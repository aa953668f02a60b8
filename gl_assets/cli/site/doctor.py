"""`gl doctor`: try to reach every system, and say what is wrong and what to do."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
from rich.markup import escape
from rich.table import Table

from gl_assets.cli.site.collector_pages import ask_collector, connection_words
from gl_assets.cli.state import console, running_database_url
from resources.core.clock import SystemClock
from resources.core.errors import PlatformError
from resources.core.process.home import gl_home
from resources.databases.timescale.connection import URL_VARIABLE, connect, describe
from resources.databases.timescale.edition import detect, missing_features, timescale_version
from resources.databases.timescale.migrate import is_current
from resources.integrations import Integrations, load_integrations
from resources.scada.connector import SourceFacts
from resources.transport.http.call_stats import read_stats
from resources.transport.trust.certificate_files import WARN_BEFORE, certificates_in, first_to_expire, warnings_of

if TYPE_CHECKING:
    from resources.erp.config import SystemConfig
    from resources.erp.connector import ErpClient

_SKEW_WARNING_S = 5.0
_LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `level` is ok, warning or error."""

    what: str
    level: str
    says: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def doctor(*, as_json: bool) -> None:
    """Try to reach every system of the configuration, in parallel, and say what is wrong.

    Shows reachability, certificates and their expiry, clock skew, the database's edition and what it lacks, free disk.
    Exit code 1 if anything is broken.
    """
    config = load_integrations()
    with console.status("asking every system"):
        findings = list(examine(config))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)


def examine(config: Integrations) -> Iterator[Finding]:
    """Yield what was found, in a fixed order, whatever order the answers came in."""
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [("database", look_at_database), ("disk", look_at_disk)]
    looks.append(("certificates", lambda: look_at_certificates(config)))
    looks.append(("collector", lambda: look_at_collector(gl_home())))
    looks += [(f"source {name}", _source_look(config, name)) for name in config.sources]
    looks += [(f"erp {name}", _erp_look(config, name)) for name in config.erp.systems]
    if config.agents is not None:
        looks.append(("agents", _agents_look(config)))
    if config.alarms is not None:
        looks.append(("alarms", _alarms_look(config)))
    with ThreadPoolExecutor(max_workers=16) as pool:
        for found in [pool.submit(_guarded, what, look) for what, look in looks]:
            yield from found.result()


def look_at_database() -> Iterator[Finding]:
    """Yield which database answers, its edition and what that lacks."""
    url = running_database_url()
    if url is None:
        yield Finding(
            "database", "warning", f"{URL_VARIABLE} is not set and no embedded server runs: `gl up` starts one"
        )
        return
    with connect(url) as connection:
        edition = detect(connection)
        server = connection.execute("SHOW server_version").fetchone()
        now = connection.execute("SELECT clock_timestamp()").fetchone()
        skew_s = (now[0] - datetime.now(UTC)).total_seconds() if now else 0.0
        current = is_current(connection)
        version = timescale_version(connection)
    product = f"TimescaleDB {version} ({edition} edition)" if version else "no TimescaleDB"
    yield Finding("database", "ok", f"{describe(url)}: PostgreSQL {server[0] if server else '?'}, {product}")
    yield _clock("database", skew_s)
    if not current:
        yield Finding("database", "warning", "its schema is not this version's: `gl up` or `gl ingest` migrates it")
    for line in missing_features(edition):
        yield Finding("database", "warning", f"not in this edition: {line}")


def look_at_disk() -> Iterator[Finding]:
    """Yield how much room the buffer has."""
    home = gl_home()
    existing = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    says = f"{free / 1e9:.1f} GB free at {home}"
    if free < _LEAST_FREE_BYTES:
        yield Finding("disk", "error", f"{says}: the buffer needs at least 1 GiB; make room or set GL_HOME elsewhere")
    else:
        yield Finding("disk", "ok", says)


def look_at_certificates(config: Integrations) -> Iterator[Finding]:
    """Yield a warning for each certificate of the configuration that expires soon or cannot be read, else one line."""
    found, now = list(certificates_in(config)), datetime.now(UTC)
    warned = warnings_of(found, now)
    for one, words in warned:
        yield Finding(f"certificate {one.key}", "warning", words)
    nearest = first_to_expire(found)
    if nearest is not None and not warned:
        yield Finding("certificates", "ok", f"{len(found)} named, the first expires on {nearest:%Y-%m-%d}")


def look_at_collector(home: Path) -> Iterator[Finding]:
    """Yield how the collector that runs here fares with each source; nothing to say if none runs."""
    sources = ask_collector(home)
    if sources is None:
        yield Finding("collector", "ok", "none runs with this GL_HOME")
        return
    own = [finding for name, finding in sources.items() if not name.startswith("risk.")]
    well = sum(finding["level"] == "green" for finding in own)
    yield Finding("collector", "ok", f"runs, {well} of {len(own)} sources are well")
    for name, finding in sources.items():
        if finding["level"] != "green":
            yield Finding(f"collector, {name}", "warning", connection_words(finding))


def _guarded(what: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except PlatformError as error:
        return [Finding(what, "error", str(error))]


def _source_look(config: Integrations, name: str) -> Callable[[], Iterator[Finding]]:
    def look() -> Iterator[Finding]:
        # the collector's own way of building a connector, so that what is tried is what will run
        from sensors.collector.sources import build_clients

        only = config.model_copy(update={"sources": {name: config.sources[name]}, "boilers": {}})
        (client,) = build_clients(only, only.catalog(), SystemClock())
        yield from _facts(f"source {name}", asyncio.run(client.probe()))

    return look


def _facts(what: str, facts: SourceFacts) -> Iterator[Finding]:
    details = "".join(f", {key} {value}" for key, value in facts.details.items())
    yield Finding(what, "ok", f"{facts.kind} {facts.endpoint}: {facts.security}{details}")
    if facts.certificate_expires_at is not None:
        left = facts.certificate_expires_at - datetime.now(UTC)
        level = "warning" if left < WARN_BEFORE else "ok"
        pin = f", SHA-256 {facts.certificate_sha256}" if facts.certificate_sha256 else ""
        yield Finding(what, level, f"certificate {facts.certificate_subject} expires in {left.days} days{pin}")
    if facts.clock_skew_s is not None:
        yield _clock(what, facts.clock_skew_s)


def _clock(what: str, skew_s: float) -> Finding:
    level = "warning" if abs(skew_s) > _SKEW_WARNING_S else "ok"
    return Finding(what, level, f"its clock differs from ours by {skew_s:+.1f} s")


def _erp_look(config: Integrations, name: str) -> Callable[[], Iterator[Finding]]:
    def look() -> Iterator[Finding]:
        from resources.erp.connector import CanLook
        from resources.erp.kinds import connector

        system, what = config.erp.systems[name], f"erp {name}"
        with closing(connector(system.kind).client_factory(name, system)) as client:
            if isinstance(client, CanLook):
                yield from (Finding(what, found.level, found.says) for found in client.look())
            else:
                yield from _by_reading(what, client, system)
        yield from look_at_connections(gl_home(), name)

    return look


def look_at_connections(home: Path, system: str) -> Iterator[Finding]:
    """Yield how the connections to an ERP system fared in all calls of this machine, those just made included."""
    held = read_stats(home).get(system)
    if held is None or not held.get("requests"):
        return
    pool = held.get("pool") or {}
    says = (
        f"{held['requests']:.0f} requests so far, {held['reuse']:.0%} on a kept connection; "
        f"{pool.get('active', 0):.0f} active and {pool.get('idle', 0):.0f} idle of {pool.get('maximum', 0):.0f}"
    )
    waited_s = held.get("waited_s", 0.0)
    yield Finding(
        f"erp {system} connections", "ok", says + (f"; {waited_s:.0f} s waited for turns" if waited_s else "")
    )


def _by_reading(what: str, client: ErpClient, system: SystemConfig) -> Iterator[Finding]:
    """Yield what a first page of each dataset says, of a system whose connector cannot look by itself."""
    from resources.erp.connector import Day, Whole

    yesterday = (datetime.now(UTC).astimezone(ZoneInfo(system.time_zone)) - timedelta(days=1)).date()
    for dataset, declared in system.datasets.items():
        page = next(iter(client.fetch(dataset, Whole() if declared.is_master else Day(yesterday))), None)
        count = 0 if page is None else page.server_count if page.server_count is not None else len(page.records)
        part = "" if declared.is_master else f" of {yesterday}"
        hint = "" if count else ": if there should be some, the client may lack the permission"
        says = f"{system.http.base_url}: token granted, {dataset}{part}: {count} records{hint}"
        yield Finding(what, "ok" if count else "warning", says)


def _agents_look(config: Integrations) -> Callable[[], Iterator[Finding]]:
    def look() -> Iterator[Finding]:
        from resources.agents.members.roster import everyone
        from resources.agents.orchestration.guard import encryption_faults
        from resources.agents.security.keys import PublicKeys, load_private_key

        agents = config.agents
        if agents is None:
            return
        load_private_key(agents.private_key)
        known = PublicKeys(agents.public_keys)
        expected = everyone(agents)
        yield from (Finding("agents", "warning", fault) for fault in encryption_faults(agents, expected))
        missing = [agent for agent in expected if known.role_of(agent) is None]
        if missing:
            yield Finding(
                "agents",
                "warning",
                f"{len(missing)} agents have no public key, among them {missing[0]}: `gl agents keys`",
            )
        else:
            yield Finding(
                "agents", "ok", f"keys of {len(expected) - 1} agents, private key of {agents.orchestrator_id}"
            )

    return look


def _alarms_look(config: Integrations) -> Callable[[], Iterator[Finding]]:
    def look() -> Iterator[Finding]:
        from resources.agents.security.keys import PublicKeys, load_private_key

        alarms, agents = config.alarms, config.agents
        if alarms is None or agents is None:
            return
        key = load_private_key(alarms.private_key)
        if key.role != "alarm":
            remedy = "`gl agents keys FOLDER --agent NEW_ID --role alarm`"
            yield Finding("alarms", "error", f"the key of {key.agent_id} has role {key.role}, not alarm: {remedy}")
        elif PublicKeys(agents.public_keys).get(key.kid) is None:
            yield Finding(
                "alarms", "error", f"{key.kid} is not in {agents.public_keys}: nobody will believe its alarms"
            )
        else:
            yield Finding("alarms", "ok", f"{len(alarms.rules)} rules, published as {key.agent_id}")

    return look


def _print(findings: list[Finding]) -> None:
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table(box=None, padding=(0, 2), show_header=False)
    for finding in findings:
        # a message may hold brackets, which are no markup
        table.add_row(f"[{colours[finding.level]}]{finding.level}[/]", finding.what, escape(finding.says))
    console.print(table)
