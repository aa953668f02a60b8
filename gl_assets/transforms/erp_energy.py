"""Energy consumption: documents of an ERP as rows of standard fields. Frame in, frame out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import orjson
import pandas as pd
import pyarrow as pa

from gl_assets.schemas.erp_columns import INSTANT, SCORE, TEXT

UNKNOWN = "unknown"
"""energy_type of a meter that the configuration does not name."""

_COMPLETENESS = {"energy_type": 0.4, "plant_code": 0.2, "cost_center": 0.2, "period_start": 0.2}
"""What a row should have, and what its absence takes from the score of 1."""


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """What the configuration says of a meter."""

    energy_type: str
    plant_code: str | None = None
    location_code: str | None = None
    cost_center: str | None = None
    interval: timedelta | None = None
    """Time that a document covers, up to its reading."""


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """What the configuration says of the system the documents come from."""

    system: str
    company: str
    time_zone: str
    meters: Mapping[str, MeterFacts]


def standard_energy(documents: pd.DataFrame, facts: SystemFacts) -> pd.DataFrame:
    """Return documents as rows of `erp.energy_consumption`, in the order given.

    Args:
        documents: One row per document: the columns of `resources.erp.sap.codec.DOCUMENTS_SCHEMA` with Arrow types,
            and source_key, changed_at, ingested_at of the landed record.
        facts: System, company, zone of the documents' dates, meters.

    Returns:
        The columns of the schema ENERGY_CONSUMPTION, with Arrow types; times UTC; missing values are null.
    """
    frame = pd.DataFrame(index=documents.index)
    frame["system"] = pd.Series(facts.system, index=documents.index, dtype=TEXT)
    frame["source_key"] = documents["source_key"].astype(TEXT)
    frame["company"] = pd.Series(facts.company, index=documents.index, dtype=TEXT)
    frame["consumption_value"] = documents["amount"]
    frame["consumption_unit"] = documents["unit"]
    frame["consumption_id"] = documents["document"]
    frame["meter_id"] = documents["measuring_point"]
    frame["transaction_date"] = documents["reading_date"]
    for name in ("plant_code", "location_code", "cost_center"):
        frame[name] = _of_meter(documents, {point: getattr(meter, name) for point, meter in facts.meters.items()})
    energy_type = _of_meter(documents, {point: meter.energy_type for point, meter in facts.meters.items()})
    frame["energy_type"] = energy_type.fillna(UNKNOWN)
    frame["period_end"] = local_to_utc(documents, facts.time_zone)
    frame["period_start"] = _period_start(documents, frame["period_end"], facts)
    frame["changed_at"] = documents["changed_at"].astype(INSTANT)
    frame["ingested_at"] = documents["ingested_at"].astype(INSTANT)
    frame["quality_score"] = completeness(frame)
    frame["extra"] = _extra(documents)
    return frame


def local_to_utc(documents: pd.DataFrame, zone: str) -> pd.Series:
    """Return the instant of each reading, UTC, from its date and time by the clock of `zone`.

    The hour that a clock repeats in autumn is told apart by the order of documents: of two readings of a meter with the
    same local time the first is summer time. A time that spring leaves out is taken at the end of the gap.
    """
    dates = pd.to_datetime(documents["reading_date"].astype("object"), errors="coerce")
    times = pd.to_timedelta(documents["reading_time"].astype("string").astype("object"), errors="coerce")
    local = (dates + times).astype("datetime64[us]")
    # `document` ascends with the time of entry
    entered = documents.assign(local=local).sort_values("document")
    first = entered.groupby(["measuring_point", "local"], dropna=False).cumcount().reindex(documents.index) == 0
    localized = local.dt.tz_localize(zone, ambiguous=first.to_numpy(), nonexistent="shift_forward")
    return localized.dt.tz_convert("UTC").astype(INSTANT)


def completeness(frame: pd.DataFrame) -> pd.Series:
    """Return the quality score: 1 less what is not known of a row."""
    score = pd.Series(1.0, index=frame.index)
    for name, weight in _COMPLETENESS.items():
        missing = frame[name].isna() | (frame[name] == UNKNOWN if name == "energy_type" else False)
        score -= weight * missing.astype("float64")
    return score.clip(0, 1).round(6).astype(SCORE)


def _of_meter(documents: pd.DataFrame, values: Mapping[str, str | None]) -> pd.Series:
    known = {point: value for point, value in values.items() if value is not None}
    return documents["measuring_point"].astype("object").map(known).astype(TEXT)


def _period_start(documents: pd.DataFrame, period_end: pd.Series, facts: SystemFacts) -> pd.Series:
    lengths = {point: meter.interval for point, meter in facts.meters.items() if meter.interval is not None}
    length = pd.to_timedelta(documents["measuring_point"].astype("object").map(lengths))
    # pandas' own instants: an Arrow duration cannot be subtracted where it is null
    return (period_end.astype("datetime64[us, UTC]") - length).astype("datetime64[us, UTC]").astype(INSTANT)


def _extra(documents: pd.DataFrame) -> pd.Series:
    """Return the mapped fields beyond the standard ones, as JSON objects without nulls."""
    names = {"status": "reading_status", "counter_reading": "counter_reading_si", "text": "text"}
    struct = pa.Table.from_pandas(documents[list(names)].rename(columns=names), preserve_index=False).to_pylist()
    texts = [orjson.dumps({n: value for n, value in row.items() if value is not None}).decode() for row in struct]
    return pd.Series(texts, index=documents.index, dtype=TEXT)
