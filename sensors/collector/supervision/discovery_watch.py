"""Whether a source offers more than is configured: one look after each connection, for the log, metrics and health.

Nothing is changed by it: the tags of a collector are those it was started with. `gl tags discover SOURCE --write` takes
new ones into the tag list, and the next start of the collector reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from resources.core.clock import Clock
from resources.core.errors import ConfigError, SourceError
from resources.integrations import Integrations, tag_models
from resources.scada.connector import CanDiscover, CanDiscoverInSession, FoundItem, ScadaClient
from resources.scada.discovery import Comparison, compare, known_tags
from resources.scada.tag_lists import read_tag_list
from sensors.collector.health import Finding
from sensors.collector.state import SourceState

log = structlog.get_logger(__name__)

SETTLED_S = 5.0
"""A connection is looked at once it has lasted this long: what is being started up comes first."""

AGAIN_S = 60.0
"""Least time between two looks, however often the connection comes and goes: browsing is work for the device."""

AGAIN_BESIDE_S = 600.0
"""The same for a look that needs a connection of its own: a Sparkplug host asks every edge node for its birth by it."""

LOOK_EVERY_S = 0.5

_FEW = 5


@dataclass(slots=True)
class Offer:
    """What the last look at a source has found."""

    comparison: Comparison | None = None
    looks: int = 0
    failed: int = 0


class DiscoveryWatch:
    """Looks at one source after each of its connections."""

    def __init__(self, name: str, client: CanDiscover, config: Integrations, state: SourceState, clock: Clock) -> None:
        """Watch the source `name`, whose connections `state` tells of."""
        self.offer = Offer()
        self._name, self._client, self._config = name, client, config
        self._state, self._clock = state, clock

    async def run(self) -> None:
        """Look until cancelled."""
        looked_at, not_before = 0, self._clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            mark, since = self._clock.monotonic(), self._state.connected_since
            if since is None or self._state.connections == looked_at or mark < max(not_before, since + SETTLED_S):
                continue
            pause_s = AGAIN_S if isinstance(self._client, CanDiscoverInSession) else AGAIN_BESIDE_S
            looked_at, not_before = self._state.connections, mark + pause_s
            await self._look()

    async def _look(self) -> None:
        source = self._config.sources[self._name]
        self.offer.looks += 1
        try:
            async with asyncio.timeout(source.start_timeout.total_seconds()):
                found = await self._offered()
            # a large source has tens of thousands of items
            self.offer.comparison = await asyncio.to_thread(self._compared, found)
        except (SourceError, ConfigError, TimeoutError) as error:
            self.offer.failed += 1
            log.warning("discovery_failed", source=self._name, error=str(error) or "it took longer than start_timeout")
            return
        self._tell(self.offer.comparison)

    async def _offered(self) -> Sequence[FoundItem]:
        if isinstance(self._client, CanDiscoverInSession):
            return await self._client.discover_in_session()
        return await self._client.discover()

    def _compared(self, found: Iterable[FoundItem]) -> Comparison:
        source, items = self._config.sources[self._name], list(found)
        assert source.discover is not None
        listed: dict[str, Mapping[str, str]] = {}
        if source.tags_csv is not None and source.tags_csv.exists():
            rows = read_tag_list(source.tags_csv, tag_models()[source.kind]).rows
            listed = {row.get("sensor_id", ""): row for row in rows}
        return compare(self._name, source.discover, items, known_tags(source.tags, items, listed))

    def _tell(self, seen: Comparison) -> None:
        if seen.is_quiet:
            log.debug("nothing_new_offered", source=self._name, offered=seen.offered)
            return
        log.info(
            "source_offers_more",
            source=self._name,
            new=len(seen.new),
            renamed=len(seen.renamed) + len(seen.moved),
            missing=len(seen.missing),
            first_new=[item.path for _, item in seen.new[:_FEW]],
            first_missing=list(seen.missing[:_FEW]),
            remedy=_remedy(self._name),
        )


def watches(
    config: Integrations, clients: Iterable[ScadaClient], states: Mapping[str, SourceState], clock: Clock
) -> dict[str, DiscoveryWatch]:
    """Return source -> watch, for the sources with `discover` whose connector can."""
    return {
        client.name: DiscoveryWatch(client.name, client, config, states[client.name], clock)
        for client in clients
        if client.name in config.sources
        and config.sources[client.name].discover is not None
        and isinstance(client, CanDiscover)
    }


def findings(watched: Mapping[str, DiscoveryWatch], untagged: Iterable[str]) -> Iterator[Finding]:
    """Yield one finding per source that is watched; a warning where tags are not where they were, or there are none."""
    for name in untagged:
        yield Finding(f"tags.{name}", "warning", f"not collected: it has no tags yet; {_remedy(name)}")
    for name, watch in watched.items():
        seen = watch.offer.comparison
        if seen is None:
            yield Finding(f"tags.{name}", "green", "not looked at yet")
            continue
        changed, missing = len(seen.renamed) + len(seen.moved), len(seen.missing)
        facts = {"offered": seen.offered, "new": len(seen.new), "renamed": changed, "missing": missing}
        words = f"{len(seen.new)} new, {changed} renamed, {missing} missing of those configured"
        remedy = "" if seen.is_quiet else f"; {_remedy(name)}"
        yield Finding(f"tags.{name}", "warning" if changed or missing else "green", words + remedy, facts)


def _remedy(name: str) -> str:
    return f"run `gl tags discover {name} --write`, then start the collector again"
