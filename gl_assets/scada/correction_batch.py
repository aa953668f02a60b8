"""Making a batch of corrected readings: which rejected rows, corrected how, rehearsed, and kept with who and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
import pyarrow as pa

from gl_assets.scada.correcting import Batch, ReadingsReplay, Replayed
from gl_assets.transforms.corrections.files import ID, lay_over
from gl_assets.transforms.corrections.ids import RejectedId
from gl_assets.transforms.corrections.originals import original_readings
from gl_assets.transforms.corrections.rules import Rules, apply_rules
from resources.core.errors import DataError
from resources.core.origins import names_of
from resources.databases.timescale.rework.corrections import NewCorrection, add_readings, begin
from resources.databases.timescale.rework.rejected_rows import ReadingsAskedFor, named_readings, rejected_readings
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations

MOST_ROWS = 100_000
"""Most rows of one batch."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rejected readings, and how they are meant to be corrected."""

    names: Sequence[str]
    """The id of each row."""
    original: pa.Table
    """QUARANTINED, as it was."""
    corrected: pa.Table
    """QUARANTINED, as it is to be."""


def choose_by_rules(
    connection: psycopg.Connection[Any], config: Integrations, asked: ReadingsAskedFor, rules: Rules
) -> Chosen:
    """Return the rejected readings asked for, as the rules correct them.

    Raises:
        DataError: There are none, or more than one batch takes.
    """
    asked = replace(asked, site=config.site, collectors=list(names_of(config.collector.name)), limit=MOST_ROWS + 1)
    rows = rejected_readings(connection, asked)
    if not rows:
        raise DataError(
            "no rejected reading of this site and collector is meant by that: `gl rejected readings` lists them; those "
            "that were corrected are left out unless --again is given"
        )
    if len(rows) > MOST_ROWS:
        raise DataError(f"more than {MOST_ROWS:,} rejected readings are meant: narrow them down with --from and --to")
    # arrival by arrival: of two rows corrected to one sensor and time the later one counts
    original = original_readings(rows[::-1])
    return Chosen(_names(rows[::-1]), original, apply_rules(original, rules))


def choose_by_file(
    connection: psycopg.Connection[Any], config: Integrations, corrected: Sequence[Mapping[str, Any]], *, name: str
) -> Chosen:
    """Return the rejected readings that a file names, as it corrects them.

    Raises:
        DataError: A row is there no longer, is of another site or collector, or cannot be read.
    """
    if len(corrected) > MOST_ROWS:
        raise DataError(f"{name}: more than {MOST_ROWS:,} rows: cut the file in two")
    ids = [RejectedId.parse(str(row[ID])) for row in corrected]
    own = names_of(config.collector.name)
    foreign = next((one for one in ids if one.site != config.site or one.collector not in own), None)
    if foreign is not None:
        raise DataError(
            f"{name}: {foreign} is not of site {config.site} and collector {config.collector.name}: correct it with "
            "the configuration that its readings were collected by"
        )
    rows = named_readings(connection, [(one.site, one.collector, one.window_start, one.sequence) for one in ids])
    names = _names(rows)
    gone = sorted({str(one) for one in ids} - set(names))
    if gone:
        raise DataError(f"{name}: {len(gone)} rows are not rejected readings (any longer), such as {gone[0]}")
    original = original_readings(rows)
    plain = [{**row, ID: str(one)} for row, one in zip(corrected, ids, strict=True)]
    return Chosen(names, original, lay_over(original, names, plain, name=name))


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(RejectedId(r["site"], r["collector"], r["window_start"], r["sequence"])) for r in rows]


def rehearse(store: ReadingsStore, config: Integrations, chosen: Chosen, *, now: datetime, replace: bool) -> Replayed:
    """Return what would come of a batch; nothing is written."""
    numbers = pa.array(range(chosen.corrected.num_rows), pa.int64())
    batch = Batch(0, now, chosen.corrected.append_column("number", numbers), replace=replace)
    return ReadingsReplay(config, store, batch, now=now).rehearse()


def keep(connection: psycopg.Connection[Any], new: NewCorrection, chosen: Chosen) -> int:
    """Keep a batch, whole, and return its number: from here on it can be replayed, and never changes."""
    with connection.transaction():
        correction_id = begin(connection, new, chosen.corrected.num_rows)
        add_readings(connection, correction_id, new.site, chosen.corrected.to_pylist())
    return correction_id
