"""Writing a tag of the configuration: the guard, the connectors and the record in the database put together.

`gl write` and the Dagster job `write_setpoint` come here; nothing else writes to the plant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from resources.core.clock import SystemClock
from resources.core.configuration.settings import TagConfig
from resources.core.process.people import host_here, user_here
from resources.core.tags import SensorCatalog
from resources.databases.timescale.notes.writes_audit import WritesAudit
from resources.integrations import Integrations
from resources.scada.clients import build_client
from resources.scada.connector import ScadaClient
from resources.scada.writes import Requester, Target, WriteGuard, WriteReport, WriteRequest

COMMAND, DAGSTER = "gl write", "dagster"
"""What a write may come through, as `requested_via` has it."""


def write_tag(
    config: Integrations, request: WriteRequest, requester: Requester, *, database_url: str, barred: str | None = None
) -> WriteReport:
    """Carry out a request and return what became of it; it is in `scada.writes_audit` by then, also if refused.

    Not to be called in an event loop: it runs one of its own.

    Args:
        config: The tags and their bounds, and the sources they belong to.
        request: What is to be written.
        requester: Who wants it.
        database_url: The platform's database; without it nothing is written.
        barred: Why this requester may not write at all, if the caller knows a reason.

    Raises:
        PlatformError: The attempt cannot be recorded; the message says whether anything was sent.
    """
    if barred is None and requester.via == DAGSTER and not config.writes.from_dagster:
        barred = "writes from Dagster are off: writes.from_dagster: true in the configuration lets them through"
    with WritesAudit(database_url, site=config.site) as audit:
        return WriteGuard(targets(config), audit).execute(request, requester, barred=barred)


def writable_tags(config: Integrations) -> dict[str, tuple[str, TagConfig]]:
    """Return sensor_id -> (source, tag) of the tags that may be written, in the order of the file."""
    return {
        tag.sensor_id: (name, tag)
        for name, source in config.sources.items()
        for tag in source.tags
        if tag.writable is not None
    }


def targets(config: Integrations) -> dict[str, Target]:
    """Return sensor_id -> target of every tag, read-only ones included: the guard says why they are refused."""
    catalog = config.catalog()
    return {
        tag.sensor_id: Target(name, tag, _connector(config, name, catalog), catalog)
        for name, source in config.sources.items()
        for tag in source.tags
    }


def _connector(config: Integrations, name: str, catalog: SensorCatalog) -> Callable[[], ScadaClient]:
    return partial(build_client, name, config.sources[name], catalog, SystemClock())


def person_here(via: str) -> Requester:
    """Return who runs this process, by the operating system's word: not by variables that anybody can set."""
    return Requester(user_here(), via, host_here())
