"""The id of the message that a run sends: the same for every attempt of the run, and for the runs that repeat it."""

from datetime import datetime

import dagster as dg
import uuid_utils

from resources.core.errors import ConfigError


def message_id_of(context: dg.AssetExecutionContext | dg.OpExecutionContext, given: str | None = None) -> str:
    """Return the UUIDv7 of a run and of the runs that repeat it after a failure: its message is run once.

    Args:
        context: Of the run.
        given: The id that the run's configuration names, which goes before.

    Raises:
        ConfigError: None is given, and the run is not in Dagster's storage.
    """
    if given:
        return given
    root = context.run.root_run_id or context.run.run_id
    record = context.instance.get_run_record_by_id(root)
    begun: datetime | None = record.create_timestamp if record is not None else None
    if begun is None:
        raise ConfigError(f"run {root} is not in Dagster's storage: give the command a message_id")
    number = uuid_utils.UUID(root).int
    millis = int(begun.timestamp() * 1000)
    tail, middle = number & ((1 << 62) - 1), (number >> 64) & 0xFFF
    return str(uuid_utils.UUID(int=millis << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | tail))
