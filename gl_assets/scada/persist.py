"""The whole way of one window from the buffer's contents to the committed transaction.

Refine it step by step, hold the output against the schema, replace the window's rows together with its ledger, and
score what stands then. What must never be stored is decided before the transaction: a check that runs afterwards would
be too late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandera.errors
import pyarrow as pa
import structlog

from gl_assets.scada.refining import RefinedWindow, refine_window
from gl_assets.scada.window_scores import score_window
from gl_assets.schemas.sensor_readings import SensorReadings
from gl_assets.step_times import StepTimes
from gl_assets.transforms.frames import readings_frame
from gl_assets.transforms.pipeline.partitions import Dimensions, rejected_share
from gl_assets.transforms.pipeline.reasons import REJECTED_SCHEMA
from gl_assets.transforms.texts import named_texts
from resources.core.errors import DataError
from resources.core.readings import Status
from resources.core.rules import BIT
from resources.core.windows import partition_key
from resources.databases.timescale.notes.sensor_metadata import write_metadata
from resources.databases.timescale.quality.partition_scores import WHOLE
from resources.databases.timescale.rework.standing_rows import rejected_sequences
from resources.databases.timescale.window_store.ledger import entries
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.readings_table import Window
from resources.databases.timescale.window_store.window import (
    ReadingRows,
    SensorOrigin,
    SourceNumbers,
    StoreResult,
    WindowToStore,
)
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents

log = structlog.get_logger(__name__)

_SHOWN_REASONS = 10
"""Most reasons an outcome lists."""


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """What became of one revision of a window: what its asset reports."""

    window_start: datetime
    revision: int
    stored: bool
    why_not: str | None
    """A sentence, where nothing was written: this revision or a newer one stands already."""
    rows: int
    """Rows of the window and collector in the tables, numbers and texts; 0 where nothing was written."""
    rejected: int
    deduplicated: int
    reasons: Mapping[str, int]
    """Most frequent reasons of rejection -> rows."""
    missing_sources: tuple[str, ...]
    """Sources configured while the window was open of which there is neither a row nor a rejected one."""
    sources: Mapping[str, SourceNumbers]
    """Source -> what stands in the tables."""
    partial: bool
    complete: bool
    good_share: float
    """Share of status good among the numeric readings that can be stored; 1 where there are none."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Step -> seconds: validate, normalise, calibrate, convert, enrich, score, output, store."""
    scores: Mapping[str, Dimensions] = field(default_factory=dict)
    """Source -> the score of what stands in the tables; the whole window's under ""."""
    defects: Mapping[str, int] = field(default_factory=dict)
    """Rule -> readings whose score it lowered."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """A window, refined."""

    window: RefinedWindow
    texts: pa.Table
    rejects: pa.Table


def persist_window(
    contents: WindowContents, store: ReadingsStore, config: Integrations, *, run_id: str
) -> WindowOutcome:
    """Store one revision of a window and return what became of it.

    Raises:
        DataError: More than `quality.max_rejected_share` of the window's rows (where it is merged, with those that
            stand) are rejected, or a row that was to be
            stored breaks the schema; nothing of the window is stored, and what was stored before stays.
        UnreachableError: The database went away; nothing of the window is stored.
    """
    times = StepTimes()
    with store.transaction() as connection:
        window = refine_window(contents, config, connection, times)
    with times.step("output"):
        texts = named_texts(contents.texts, contents.sensors)
        rejects = pa.concat_tables([contents.rejects.select(REJECTED_SCHEMA.names), window.refined.rejected])
        rows = len(window.refined.good) + texts.num_rows
        _refuse_too_many_rejected(contents, (rows, rejects), _standing(store, contents, rejects, config.site), config)
        _validate(contents, window)
    parts = _Parts(window, texts, rejects)
    with times.step("store"):
        result = store.replace_window(_to_store(contents, parts, config, run_id=run_id))
    with times.step("enrich"), store.transaction() as connection:
        write_metadata(connection, config.site, (astuple(facts) for facts in window.facts))
    with times.step("score"):
        scores = score_window(contents, window if result.stored else None, store, config, run_id=run_id)
    outcome = _outcome(contents, parts, result, scores, times.seconds)
    log.info(
        "window_stored" if result.stored else "window_not_stored",
        window=partition_key(contents.window_start),
        revision=contents.revision,
        rows=outcome.rows,
        rejected=outcome.rejected,
        written=result.written,
        score=round(scores[WHOLE].score, 2),
        seconds=round(sum(times.seconds.values()), 3),
        **({} if result.stored else {"why": result.why_not}),
    )
    return outcome


def _standing(store: ReadingsStore, contents: WindowContents, rejects: pa.Table, site: str) -> tuple[int, int]:
    """Return how many rows and rejected rows stand of what a window is merged into: none where it is replaced.

    A few late messages say nothing of a window alone. Rejected rows that are merged again count once; good ones twice,
    which at most lets a window pass.
    """
    if contents.complete:
        return 0, 0
    with store.transaction() as connection:
        stored = entries(connection, [contents.window_start])
        mine = next((e for e in stored if (e.site, e.collector) == (site, contents.collector)), None)
        if mine is None:
            return 0, 0
        place = Window(site, contents.collector, contents.window_start, contents.window_end, "")
        there = rejected_sequences(connection, place)
    again = int(np.isin(rejects.column("sequence").to_numpy(), there).sum())
    return mine.rows, max(mine.rejected - again, 0)


def _refuse_too_many_rejected(
    contents: WindowContents, found: tuple[int, pa.Table], standing: tuple[int, int], config: Integrations
) -> None:
    rejects = found[1]
    rows, rejected = found[0] + standing[0], rejects.num_rows + standing[1]
    share, limit = rejected_share(rows, rejected), config.quality.max_rejected_share
    # nothing new is rejected: refusing it would not make the window better
    if rejects.num_rows and share > limit:
        raise DataError(
            f"window {partition_key(contents.window_start)} of {contents.collector}: {rejected} of "
            f"{rows + rejected} rows are rejected ({share:.1%}, limit {limit:.1%}), so nothing of it is "
            f"stored; most often: {_most_frequent(rejects)}. Mend the source or the tag's limits, or raise "
            "quality.max_rejected_share, and run the window again while the buffer holds it"
        )


def _most_frequent(rejects: pa.Table) -> str:
    return "; ".join(f"{reason} ({count})" for reason, count in list(_reasons(rejects).items())[:3])


def _reasons(rejects: pa.Table) -> dict[str, int]:
    found = Counter(reason for reasons in rejects.column("reasons").to_pylist() for reason in reasons)
    return dict(found.most_common(_SHOWN_REASONS))


def _validate(contents: WindowContents, window: RefinedWindow) -> None:
    try:
        # in place: the frame is ours alone, and a copy of a large one costs as much as all checks
        SensorReadings.validate(readings_frame(window.refined, window.sensors), lazy=True, inplace=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        broken = ", ".join(f"{check} ({count})" for check, count in cases["check"].value_counts().head(5).items())
        raise DataError(
            f"window {partition_key(contents.window_start)} of {contents.collector}: rows that were to be stored break "
            f"the schema of scada.sensor_readings: {broken}; nothing of it is stored. This is a fault of the platform: "
            "please report it"
        ) from error


def _to_store(contents: WindowContents, parts: _Parts, config: Integrations, *, run_id: str) -> WindowToStore:
    refined, sensors = parts.window.refined, parts.window.sensors
    rows = refined.good
    origins = zip(sensors.sensor_ids, sensors.sources, sensors.units, sensors.calibrated_units, strict=True)
    return WindowToStore(
        site=config.site,
        collector=contents.collector,
        window_start=contents.window_start,
        window_end=contents.window_end,
        revision=contents.revision,
        complete=contents.complete,
        partial=contents.partial,
        run_id=run_id,
        sensors=tuple(SensorOrigin(*origin) for origin in origins),
        readings=ReadingRows(
            sensor=rows.sensor,
            time_us=rows.time_us,
            value=rows.value,
            calibrated_value=rows.calibrated_value,
            received_us=rows.received_us,
            quality_score=refined.quality_score,
            status=rows.status.astype(np.int16),
            sequence=rows.sequence,
            defects=refined.defects,
        ),
        texts=parts.texts,
        rejects=parts.rejects,
        deduplicated=contents.deduplicated,
        calibrations=config.calibration_book.set_of(contents.window_start, contents.window_end),
    )


def _outcome(
    contents: WindowContents,
    parts: _Parts,
    result: StoreResult,
    scores: Mapping[str, Dimensions],
    seconds: Mapping[str, float],
) -> WindowOutcome:
    seen = _sources_with_rows(contents)
    refined = parts.window.refined
    status = refined.good.status
    return WindowOutcome(
        window_start=contents.window_start,
        revision=contents.revision,
        stored=result.stored,
        why_not=result.why_not,
        rows=result.rows,
        rejected=result.rejected,
        deduplicated=result.deduplicated,
        reasons=_reasons(parts.rejects),
        missing_sources=tuple(source for source in contents.expected_sources if source not in seen),
        sources=result.sources,
        partial=contents.partial,
        complete=contents.complete,
        good_share=float(np.count_nonzero(status == Status.GOOD) / len(status)) if len(status) else 1.0,
        seconds=seconds,
        scores=scores,
        defects=_defects(refined.defects),
    )


def _defects(defects: npt.NDArray[np.int16]) -> dict[str, int]:
    found = defects[defects != 0]
    counts = {rule: int(np.count_nonzero(found & bit)) for rule, bit in BIT.items()} if len(found) else {}
    return {rule: count for rule, count in counts.items() if count}


def _sources_with_rows(contents: WindowContents) -> set[str]:
    keys = np.unique(
        np.concatenate([part.column("sensor_key").to_numpy() for part in (contents.readings, contents.texts)])
    )
    source_of = dict(
        zip(
            contents.sensors.column("sensor_key").to_pylist(),
            contents.sensors.column("source").to_pylist(),
            strict=True,
        )
    )
    return {source_of[key] for key in keys.tolist()} | set(contents.rejects.column("source").to_pylist())
