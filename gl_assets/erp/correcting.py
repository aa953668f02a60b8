"""Making and replaying batches of rejected ERP records: corrected, or standardised again as they are.

Replaying is standardising the named days again: the same steps as ever, with the corrections in place of the records.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from gl_assets.erp.assets import build_erp_assets
from gl_assets.erp.checks import build_erp_checks
from gl_assets.erp.feeds import feeds_of, standard_key, tables_fed
from gl_assets.erp.schedules import RANGE_END, RANGE_START
from gl_assets.erp.tables import TABLES
from gl_assets.erp.writing import StandardWriter
from gl_assets.run_launcher import own_process_tag
from gl_assets.scada.run import open_instance
from resources.core.errors import DataError, PlatformError
from resources.databases.timescale.rework.corrections import NewCorrection, begin, note_replay
from resources.databases.timescale.rework.rejected_rows import RecordsAskedFor, rejected_records
from resources.erp.records import NO_KEY
from resources.erp.resources import build_erp_resources
from resources.erp.standardised.corrections import (
    CorrectedRecord,
    add_records,
    batch_records,
    landed_originals,
    open_batch,
)
from resources.integrations import Integrations
from resources.transport.text.json_text import dump_json, parse_json
from resources.wiring import TimescaleResource

MOST_RECORDS = 10_000
"""Most records of one batch."""

_RED_CHECK = "DagsterAssetCheckFailedError"
"""Class of the error by which Dagster ends a run after a blocking check: what its asset stored is stored."""

Correct = Callable[[Mapping[str, Any], int], Mapping[str, Any] | None]
"""(landed record, rejected_id) -> the record as it is to be; None: as it is."""


@dataclass(frozen=True, slots=True)
class ChosenRecords:
    """Rejected records as a batch has them."""

    rows: list[dict[str, Any]]
    """As `resources.erp.standardised.corrections.add_records` takes them."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Rejected records that cannot be replayed -> why."""


def choose_records(
    connection: psycopg.Connection[Any], config: Integrations, asked: RecordsAskedFor, correct: Correct
) -> ChosenRecords:
    """Return the rejected records asked for, corrected.

    Raises:
        DataError: There are none, or more than one batch takes.
    """
    found = rejected_records(connection, asked)
    gone = sorted(set(asked.ids or ()) - {row["rejected_id"] for row in found})
    if gone:
        raise DataError(
            f"{len(gone)} records are not rejected (any longer), such as {gone[0]}: their numbers change when a day is "
            "standardised again, and those that were corrected need --again; `gl rejected records` lists them"
        )
    if not found:
        raise DataError(
            "no rejected record is meant by that: `gl rejected records` lists them; those that were corrected are left "
            "out unless --again is given"
        )
    if len(found) > MOST_RECORDS:
        raise DataError(f"more than {MOST_RECORDS:,} rejected records are meant: narrow them down with --day")
    landed = landed_originals(connection, [row["rejected_id"] for row in found])
    known = _tables(config)
    chosen = ChosenRecords([])
    for row in found:
        number, part = row["rejected_id"], (row["system"], row["dataset"])
        if part not in known:
            chosen.left_out[str(number)] = f"{part[0]}/{part[1]} fills no standard table of this configuration"
        elif number not in landed:
            chosen.left_out[str(number)] = "its record is not landed under a business day (any longer): pull it again"
        else:
            digest, text = landed[number]
            corrected = correct(parse_json(text.encode()), number)
            if corrected is not None and row["source_key"].startswith(NO_KEY):
                chosen.left_out[str(number)] = "it has no key: a corrected one could not be told from the system's own"
                continue
            as_text = None if corrected is None else dump_json(dict(corrected)).decode()
            chosen.rows.append({**row, "landed_hash": digest, "original": text, "corrected": as_text})
    return chosen


def keep_records(connection: psycopg.Connection[Any], new: NewCorrection, chosen: ChosenRecords) -> int:
    """Keep a batch and put it in force; return its number. The caller commits.

    Raises:
        DataError: A corrected record holds what no database can keep.
    """
    try:
        correction_id = begin(connection, new, len(chosen.rows))
        add_records(connection, correction_id, chosen.rows)
    except psycopg.DataError as error:
        raise DataError(
            f"a corrected record cannot be kept ({error.diag.message_primary}); nothing was kept: leave out U+0000 and "
            "numbers of thousands of digits"
        ) from error
    open_batch(connection, correction_id)
    return correction_id


def rehearse_records(
    connection: psycopg.Connection[Any], config: Integrations, new: NewCorrection, chosen: ChosenRecords
) -> list[CorrectedRecord]:
    """Return what would come of a batch: it is carried out in a transaction that is rolled back."""
    outcome: list[CorrectedRecord] = []
    with connection.transaction() as rehearsal:
        correction_id = keep_records(connection, new, chosen)
        for table, days in parts_of(config, batch_records(connection, correction_id)).items():
            writer = StandardWriter(connection, TABLES[table], feeds_of(config, table), "rehearsal", config.site)
            if not days:
                writer.write(None)
            for day in days:
                writer.write(day)
        outcome = batch_records(connection, correction_id)
        raise psycopg.Rollback(rehearsal)
    return outcome


def parts_of(config: Integrations, records: Iterable[CorrectedRecord]) -> dict[str, list[date]]:
    """Return standard table -> business days that records lie in, ascending; none of master data.

    Raises:
        DataError: A dataset fills no standard table any longer.
    """
    known = _tables(config)
    parts: dict[str, set[date]] = {}
    for record in records:
        table = known.get((record.system, record.dataset))
        if table is None:
            raise DataError(f"{record.system}/{record.dataset} fills no standard table of this configuration")
        days = parts.setdefault(table, set())
        if record.partition_date is not None:
            days.add(record.partition_date)
    return {table: sorted(days) for table, days in parts.items()}


def _tables(config: Integrations) -> dict[tuple[str, str], str]:
    return {
        (feed.system, feed.dataset): table.name for table in tables_fed(config) for feed in feeds_of(config, table.name)
    }


def run_records(config: Integrations, home: Path, url: str, correction_id: int) -> dict[str, Any]:
    """Standardise the parts of a batch again in this process, and return what came of its records.

    Args:
        config: The configuration.
        home: GL_HOME; with the platform's Dagster storage at hand the runs appear in its UI.
        url: The platform's database, migrated.
        correction_id: The batch, in force.

    Raises:
        PlatformError: A run failed; the batch stays in force and can be replayed again.
    """
    timescale = TimescaleResource(url=url)
    with timescale.connection() as connection:
        parts = parts_of(config, _open(batch_records(connection, correction_id)))
    runs = [_run(config, home, timescale, table, span) for table, days in parts.items() for span in _spans(days)]
    with timescale.connection() as connection:
        if runs:
            note_replay(connection, correction_id, runs[-1].run_id)
        records = batch_records(connection, correction_id)
    red = sorted({f"{check.asset_key.to_user_string()}: {check.check_name}" for run in runs for check in _red(run)})
    return {"correction_id": correction_id, "runs": [run.run_id for run in runs], "red": red, **summed(records)}


def _red(run: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    return [check for check in run.get_asset_check_evaluations() if not check.passed]


def _open(records: Sequence[CorrectedRecord]) -> list[CorrectedRecord]:
    return [record for record in records if record.outcome == "pending"]


def summed(records: Sequence[CorrectedRecord]) -> dict[str, Any]:
    """Return outcome -> records, and why some are not stored."""
    outcomes: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for record in records:
        outcomes[record.outcome] = outcomes.get(record.outcome, 0) + 1
        for reason in record.why:
            reasons[reason] = reasons.get(reason, 0) + 1
    return {"rows": len(records), **outcomes, "reasons": reasons}


def _spans(days: Sequence[date]) -> list[tuple[date, date] | None]:
    """Return ranges of neighbouring days; a single None for master data, which has none."""
    spans: list[tuple[date, date]] = []
    for day in days:
        if spans and day - spans[-1][1] == timedelta(days=1):
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return [*spans] if spans else [None]


def _run(
    config: Integrations, home: Path, timescale: TimescaleResource, table: str, span: tuple[date, date] | None
) -> dg.ExecuteInProcessResult:
    """Materialise a standard table's days with its checks; a red check fails its own step, not what is stored.

    Raises:
        PlatformError: The days could not be standardised.
    """
    name = f"erp_{table}_corrections_job"
    definitions = dg.Definitions(
        assets=build_erp_assets(config),
        asset_checks=build_erp_checks(config),
        jobs=[
            dg.define_asset_job(
                name,
                selection=dg.AssetSelection.assets(standard_key(table)),
                executor_def=dg.in_process_executor,
            )
        ],
        resources={"timescale": timescale, **build_erp_resources(config.erp.systems)},
    )
    days = {} if span is None else {RANGE_START: span[0].isoformat(), RANGE_END: span[1].isoformat()}
    with open_instance(home) as instance:
        result = definitions.resolve_job_def(name).execute_in_process(
            instance=instance, tags={**own_process_tag(), **days}, raise_on_error=False
        )
    for failure in result.get_step_failure_events():
        error = failure.step_failure_data.error
        if error is None or error.cls_name != _RED_CHECK:
            raise PlatformError(error.message.strip() if error else f"standardising erp.{table} failed: see the log")
    return result
