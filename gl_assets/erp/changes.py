"""Runs that land what changed in a time, in place of whole days: how they are asked for, and what they report."""

from collections.abc import Mapping
from datetime import date, datetime

import dagster as dg

from gl_assets.erp.bodies import SNAPSHOT, Lander
from gl_assets.erp.days import first_day, last_open_day
from resources.erp.connector import Changed
from resources.integrations import Integrations

SINCE_TAG, UNTIL_TAG = "gl/erp_changed_since", "gl/erp_changed_until"
"""Tags of a run that lands changes: the half-open time, by the system's clock, that they are stamped in."""


def tags_of(read: Changed) -> dict[str, str]:
    """Return the tags of a run that lands the changes of `read`."""
    return {SINCE_TAG: read.since.isoformat(), UNTIL_TAG: read.until.isoformat()}


def asked_for(tags: Mapping[str, str]) -> Changed | None:
    """Return what a run with these tags lands; None for one that pulls whole days."""
    since, until = tags.get(SINCE_TAG), tags.get(UNTIL_TAG)
    return Changed(datetime.fromisoformat(since), datetime.fromisoformat(until)) if since and until else None


def land_changes(context: dg.AssetExecutionContext, lander: Lander, config: Integrations, read: Changed) -> None:
    """Land the changes of `read`, and report each day they touched, also those beyond the run's own partitions.

    Raises:
        SourceError: They could not be read; what is stored is as it was.
    """
    zone, key = lander.feed.settings.time_zone, lander.feed.key
    changes = lander.land_changes(read, first_day(config, zone))
    context.log.info(
        "%s: %d records changed %s, %d of them written, %d days touched",
        *(lander.feed, changes.records, read, changes.written, len(changes.touched)),
    )
    own = set(context.partition_keys) if context.has_partition_key_range or context.has_partition_key else set()
    for day, metadata in lander.found.items():
        if day == SNAPSHOT:
            context.add_asset_metadata(metadata)
        elif day in own:
            context.add_asset_metadata(metadata, asset_key=key, partition_key=day)
        elif first_day(config, zone) <= date.fromisoformat(day) <= last_open_day(config, zone):
            context.log_event(dg.AssetMaterialization(key, partition=day, metadata=metadata))
